"""core/access/rights: roles in namespaces, and capabilities that may be claimed."""

from dataclasses import replace

import pytest

from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, Role
from orion_registry.core.authority import require_role
from orion_registry.core.commands import Register, Update
from orion_registry.core.frames import SessionRequest, Sessions
from orion_registry.core.model import Actor
from orion_registry.errors import AlreadyExists, NotFound, PermissionDenied, Reason
from tests.building import SECRET, World, ask, frames_of, make_spec, ref_of

AGENT, VIEWER = frozenset({Role.AGENT}), frozenset({Role.VIEWER})


def rights(*namespaces: str, roles: frozenset[Role] = AGENT, capabilities: tuple[str, ...] = ("*",)) -> Rights:
    return Rights(grants=(Grant(roles=roles, namespaces=namespaces, capabilities=capabilities),))


def test_a_role_holds_where_it_was_granted() -> None:
    here = rights("payments")
    assert here.anywhere(AGENT)
    assert here.inside("payments", AGENT)
    assert not here.inside("payments", VIEWER)
    assert not here.inside("default", AGENT)
    assert not here.everywhere(AGENT)


def test_an_asterisk_is_every_namespace() -> None:
    all_of_them = rights("*")
    assert all_of_them.inside("not-there-yet", AGENT)
    assert all_of_them.everywhere(AGENT)
    assert not all_of_them.everywhere(VIEWER)


def test_rights_are_hashed_once() -> None:
    """Each call looks its actor up by them."""

    class Grants(tuple[Grant, ...]):
        hashed = 0

        def __hash__(self) -> int:
            self.hashed += 1
            return super().__hash__()

    grants = Grants(rights("payments").grants)
    found = Rights(grants=grants)
    assert {found: 1, rights("other"): 2}[rights("payments")] == 1
    assert hash(found) == hash(rights("payments"))
    assert grants.hashed == 1


def test_nothing_granted_is_nothing() -> None:
    nothing = Rights()
    assert not nothing.anywhere(frozenset(Role))
    assert nothing.unclaimable("default", ["a"]) == "a"
    assert nothing.unclaimable("default", []) is None


def test_who_has_any_role_in_a_namespace_sees_it_and_nobody_else() -> None:
    for role in Role:
        assert rights("a", roles=frozenset({role})).sees("a")
        assert not rights("a", roles=frozenset({role})).sees("b")
    assert rights("*").sees("a")
    assert not rights("a", roles=frozenset()).sees("a"), "a grant of nothing"
    assert not Rights().sees("a")


def test_everything_is_everything() -> None:
    assert EVERYTHING.sees("any")
    for role in Role:
        assert EVERYTHING.everywhere(frozenset({role}))
    assert EVERYTHING.unclaimable("any", ["a.b"]) is None


def test_roles_of_one_grant_do_not_leak_into_the_namespaces_of_another() -> None:
    both = Rights(grants=(*rights("a").grants, *rights("b", roles=VIEWER).grants))
    assert both.inside("a", AGENT)
    assert both.inside("b", VIEWER)
    assert not both.inside("b", AGENT)
    assert not both.inside("a", VIEWER)


@pytest.mark.parametrize(
    ("pattern", "capability", "may"),
    [
        ("payments.*", "payments.refund", True),
        ("payments.*", "payments", False),
        ("payments.*", "paymentsx", False),
        ("payments", "payments", True),
        ("payments", "payments.refund", False),
        ("*", "anything", True),
    ],
)
def test_capabilities_are_claimed_by_pattern(pattern: str, capability: str, may: bool) -> None:
    assert (rights("n", capabilities=(pattern,)).unclaimable("n", [capability]) is None) is may


def test_what_a_viewer_may_see_is_nothing_to_claim() -> None:
    assert rights("n", roles=VIEWER).unclaimable("n", ["a"]) == "a"


def test_a_capability_that_was_not_granted_is_not_registered() -> None:
    world = World()
    actor = Actor(identity="calc", rights=rights("default", capabilities=("math.*",)))
    with pytest.raises(PermissionDenied, match=r"service\.capabilities: 'calc' may not claim 'payments.refund'") as no:
        world.run(Register(spec=make_spec(capabilities=("math.add", "payments.refund")), secret=SECRET), actor)
    assert no.value.reason is Reason.NOT_ALLOWED
    world.run(Register(spec=make_spec(capabilities=("math.add",)), secret=SECRET), actor)
    (entry,) = world.registry._fleet.catalog
    spec = make_spec(capabilities=("payments.refund",))
    with pytest.raises(PermissionDenied):
        world.run(Update(ref=ref_of(entry), spec=spec, paths=("capabilities",)), actor)
    world.run(Update(ref=ref_of(entry), spec=make_spec(version="2"), paths=("version",)), actor)


def test_a_stream_carries_no_service_of_a_namespace_that_is_not_its_to_act_in() -> None:
    world = World()
    entry = world.add()
    viewer = Grant(roles=frozenset(VIEWER), namespaces=("default",))
    seeing = Rights(grants=(*rights("payments").grants, viewer))
    session = world.stream("agent", ask(entry), actor=Actor(identity="", rights=seeing))
    (result,) = frames_of(session, Sessions)[0].results
    assert result.error is not None
    assert result.error.reason is Reason.NOT_ALLOWED
    assert not entry.streams


def test_a_stream_learns_nothing_of_a_namespace_that_is_not_its_to_see() -> None:
    """Whatever it brings, a service there is answered as one that nothing has."""
    world = World()
    entry = world.add()
    there, nowhere = ask(entry), SessionRequest(ref=replace(ask(entry).ref, service_id="nowhere"))
    for agent_id in ("agent", "another"):
        session = world.stream(agent_id, there, nowhere, actor=Actor(identity="", rights=rights("payments")))
        seen, unknown = frames_of(session, Sessions)[0].results
        assert seen.error is not None
        assert unknown.error is not None
        assert seen.error.message.replace(entry.service_id, "nowhere") == unknown.error.message
        assert seen.error.reason is Reason.NO_SUCH_SERVICE


def test_a_taken_id_says_whose_it_is_to_those_alone_who_may_see_that() -> None:
    world = World()
    entry = world.add()
    spec = make_spec(namespace="payments", agent_id="another", service_id=entry.service_id)
    for namespaces, whose in (
        (("payments",), "another agent;"),
        (("payments", "default"), "agent 'agent' in 'default'"),
    ):
        actor = Actor(identity="calc", rights=rights(*namespaces))
        with pytest.raises(AlreadyExists, match=whose):
            world.run(Register(spec=spec, secret=SECRET), actor)


@pytest.mark.parametrize(
    "granted",
    [rights("default", roles=VIEWER), rights("default", capabilities=("other",))],
)
def test_a_stream_carries_no_service_that_its_opener_may_offer_no_more(granted: Rights) -> None:
    """Neither from its hello on, nor when less is granted while it is open; what is as it was goes on."""
    world = World()
    entry = world.add(capabilities=("math.add",))
    session = world.stream("agent", ask(entry), actor=Actor(identity="", rights=granted))
    (result,) = frames_of(session, Sessions)[0].results
    assert result.error is not None
    assert result.error.reason is Reason.NOT_ALLOWED
    session = world.live(entry)
    with pytest.raises(PermissionDenied) as refused:
        session.go_on_as(Actor(identity="", rights=granted))
    assert refused.value.reason is Reason.NOT_ALLOWED
    assert session.actor.rights is EVERYTHING
    still = Actor(identity="", rights=rights("default"))
    session.go_on_as(still)
    assert session.actor is still


def test_a_role_is_asked_for_where_a_service_is_and_who_has_none_there_learns_nothing() -> None:
    world = World()
    entry = world.add(namespace="payments")
    require_role(Actor(rights=rights("payments")), entry, Role.AGENT)
    with pytest.raises(PermissionDenied) as refused:
        require_role(Actor(rights=rights("payments", roles=VIEWER)), entry, Role.AGENT)
    assert refused.value.reason is Reason.NOT_ALLOWED
    with pytest.raises(NotFound) as hidden:
        require_role(Actor(rights=rights("default")), entry, Role.AGENT)
    assert hidden.value.reason is Reason.NO_SUCH_SERVICE
