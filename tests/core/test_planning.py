"""core/planning: who may register what, how a claim is judged, what is stored; a refused command changes nothing."""

from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core.access.rights import Grant, Rights, Role
from orion_registry.core.commands import Command, Register, Registered, Remove, SetOverlay, Unregister, Update
from orion_registry.core.facts import Delete, Put
from orion_registry.core.keys import derived_service_id
from orion_registry.core.model import Actor, RemovalReason, SessionRef
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.planning import IN_FLIGHT, Change, Registration, Removal, Settled, is_live, key_of
from orion_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Reason,
    Unavailable,
)
from tests.building import (
    LOCAL,
    OTHER_SECRET,
    SECRET,
    STATIC,
    STREAM,
    TTL,
    World,
    make_spec,
    ref_of,
)

ALICE, BOB = Actor(identity="alice"), Actor(identity="bob")


# What a command concerns.


def test_key_of_names_the_service() -> None:
    ref = SessionRef(service_id="s", epoch=1, secret="")
    derived = derived_service_id("default", "agent", "calc")
    assert key_of(Register(spec=make_spec())) == derived
    assert key_of(Register(spec=make_spec(service_id="s"))) == "s"
    assert key_of(Update(ref=ref, spec=make_spec(), paths=("tags",))) == "s"
    assert key_of(Unregister(ref=ref)) == "s"
    assert key_of(Remove(service_id="s", reason=RemovalReason.REMOVED)) == "s"


# Who may.


def of_role(role: Role, namespace: str = "default") -> Actor:
    return Actor(identity="o", rights=Rights(grants=(Grant(roles=frozenset({role}), namespaces=(namespace,)),)))


def test_a_command_is_judged_by_the_service_that_is_there_when_it_is_planned() -> None:
    """The door judges what it knows: a service may come, or be another one, while a command waits for its turn."""
    world = World()
    entry = world.add()
    ref, service_id = ref_of(entry), entry.service_id
    target = ServiceKey(service_id=service_id)
    drain = SetOverlay(target=target, mode=OverlayMode.DRAIN, weight=None, deadline_s=None, note="")
    agents: tuple[Command, ...] = (Update(ref=ref, spec=make_spec(tags=("a",)), paths=("tags",)), Unregister(ref=ref))
    operators: tuple[Command, ...] = (Remove(service_id=service_id, reason=RemovalReason.REMOVED), drain)
    for role, mine, others in ((Role.AGENT, agents, operators), (Role.OPERATOR, operators, agents)):
        for command in others:
            with pytest.raises(PermissionDenied) as refused:
                world.registry.plan(command, of_role(role), world.now)
            assert refused.value.reason is Reason.NOT_ALLOWED
        for command in (*mine, *others):
            with pytest.raises(NotFound):
                world.registry.plan(command, of_role(role, "elsewhere"), world.now)
        for command in mine:
            world.registry.plan(command, of_role(role), world.now)


# Registering.


def test_a_new_service() -> None:
    world = World()
    result = world.register(make_spec(port=80))
    record = result.entry.snapshot.record
    assert (result.created, result.secret, result.revision) == (True, "", 2)
    assert (record.generation, record.used_epoch, record.identity) == (1, 0, "")
    assert record.registered_wall == world.now.wall
    assert SECRET not in repr(record)
    assert result.entry.epoch == 1


def test_planning_changes_nothing() -> None:
    world = World()
    plan = world.registry.plan(Register(spec=make_spec(), secret=SECRET), LOCAL, world.now)
    assert isinstance(plan, Registration)
    assert plan.facts == (Put(record=plan.record),)
    assert (len(world.registry), world.registry.revision, world.edges) == (0, 1, [])


def test_a_secret_is_made_for_who_brings_none() -> None:
    world = World()
    made = world.register(secret="").secret
    assert len(made) == 64
    world.update(ref_of(world.registry.get(derived_service_id("default", "agent", "calc")), made), ("port",), port=1)
    assert world.register(secret="").secret != made


def test_the_right_secret_makes_an_update_that_keeps_the_session() -> None:
    world = World()
    entry = world.add(port=1)
    stream = world.live(entry)
    epoch = entry.epoch
    result = world.register(port=2)
    assert (result.created, result.entry, entry.epoch) == (False, entry, epoch)
    assert (entry.spec.port, entry.snapshot.record.generation) == (2, 2)
    assert stream.services
    assert entry.snapshot.ready
    assert entry.snapshot.record.registered_wall == 1_700_000_000.0


def test_another_secret_is_refused_while_a_session_is_live() -> None:
    world = World()
    entry = world.add()
    world.live(entry)
    with pytest.raises(AlreadyExists, match="live session") as caught:
        world.register(secret=OTHER_SECRET)
    assert caught.value.reason is Reason.AGENT_IN_USE
    assert caught.value.retry_after_s


def test_a_takeover_is_a_new_life_and_voids_the_old_one() -> None:
    world = World()
    entry = world.add()
    stream = world.live(entry)
    old = ref_of(entry)
    world.register(secret=OTHER_SECRET, takeover=True)
    assert entry.epoch > old.epoch
    assert not stream.services
    assert stream.ended
    for ref, reason in [(old, Reason.WRONG_SECRET), (replace(old, secret=OTHER_SECRET, epoch=1), Reason.STALE_EPOCH)]:
        with pytest.raises((PermissionDenied, FailedPrecondition)) as caught:
            world.run(Unregister(ref=ref))
        assert caught.value.reason is reason


def test_without_a_live_session_anybody_of_the_same_identity_may_claim() -> None:
    world = World()
    entry = world.add()
    world.close(world.live(entry))
    world.register(secret=OTHER_SECRET)
    world.update(ref_of(entry, OTHER_SECRET), ("port",), port=5)
    assert entry.spec.port == 5


def test_another_identity_may_not_claim_whatever_it_brings() -> None:
    world = World()
    entry = world.register(actor=ALICE).entry
    for secret, takeover in ((OTHER_SECRET, False), (OTHER_SECRET, True), (SECRET, False), (SECRET, True)):
        with pytest.raises(PermissionDenied, match="another identity") as caught:
            world.register(secret=secret, takeover=takeover, actor=BOB)
        assert caught.value.reason is Reason.NOT_OWNER
    assert entry.snapshot.record.identity == "alice"
    with pytest.raises(PermissionDenied, match="another identity"):
        world.register(secret=OTHER_SECRET)  # nobody in particular, without the secret


def test_an_id_belongs_to_its_key() -> None:
    world = World()
    world.add(service_id="s")
    for fields in ({"agent_id": "b"}, {"service_name": "other"}, {"namespace": "other"}):
        with pytest.raises(AlreadyExists, match="belongs to agent 'agent'"):
            world.register(make_spec(**{"service_id": "s", **fields}))


@pytest.mark.parametrize("mode", [STREAM, TTL, STATIC])
def test_live_means_an_open_stream_or_a_beat_in_time(mode: Any) -> None:
    world = World()
    entry = world.add(liveness=mode)
    assert not is_live(entry), "STATIC says nothing of a session"
    if mode is TTL:
        world.registry.beat(ref_of(entry), None, entry.self_report, world.now)
        assert is_live(entry)
        world.pass_time(31)
        assert not is_live(entry)


# The same request again.


def test_a_retry_is_answered_as_the_first_time() -> None:
    world = World()
    first = world.register(secret="", request_id="r1")
    world.pass_time(1)
    again = world.register(secret="", request_id="r1")
    assert (again.secret, again.revision, again.created) == (first.secret, first.revision, True)
    assert len(world.edges) == 1
    plan = world.registry.plan(Register(spec=make_spec(), request_id="r1"), LOCAL, world.now)
    assert isinstance(plan, Settled)


@pytest.mark.parametrize("change", [{"port": 9}, {"secret": OTHER_SECRET}, {"takeover": True}], ids=str)
def test_another_payload_under_the_same_request_id_is_refused(change: dict[str, Any]) -> None:
    world = World()
    world.register(request_id="r1")
    with pytest.raises(InvalidArgument) as caught:
        world.register(**{"request_id": "r1", **change})
    assert caught.value.reason is Reason.REQUEST_ID_REUSED


def test_a_new_request_id_is_a_new_request() -> None:
    world = World()
    world.register(request_id="r1")
    assert world.register(request_id="r2").entry.snapshot.record.generation == 2
    assert world.register(request_id="r1").entry.snapshot.record.generation == 3, "only the last is remembered"


def test_a_retry_of_another_identity_is_not_told_the_secret() -> None:
    world = World()
    made = world.register(secret="", request_id="r1", actor=ALICE).secret
    with pytest.raises(PermissionDenied) as caught:
        world.register(secret="", request_id="r1", actor=BOB)
    assert caught.value.reason is Reason.NOT_OWNER
    assert made


def test_a_retry_in_a_later_life_gets_a_secret_that_works() -> None:
    """The made secret is known within one life only; the old answer would lock the agent out."""
    world = World()
    world.register(secret="", request_id="r1")
    after = world.restart()
    result = after.register(secret="", request_id="r1")
    after.update(ref_of(result.entry, result.secret), ("port",), port=1)
    assert result.entry.spec.port == 1


# Bad requests.


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"request_id": "r" * 129}, "request_id"),
        ({"secret": "short"}, "secret"),
        ({"port": 70_000}, "service.port"),
    ],
    ids=str,
)
def test_a_bad_registration_is_refused(fields: dict[str, Any], field: str) -> None:
    world = World()
    with pytest.raises(InvalidArgument, match=field):
        world.register(**fields)
    assert len(world.registry) == 0


def test_registrations_stop_before_epochs_run_out() -> None:
    world = World(epoch_block=16_384)
    epochs = world.registry._fleet.epochs
    while epochs.left > IN_FLIGHT:
        epochs.take()
    with pytest.raises(Unavailable) as caught:
        world.add()
    assert caught.value.reason is Reason.STORE_DOWN


# Where a service is reached.

HOSTS = [
    ("", "10.0.0.7", "10.0.0.7"),
    ("", "", "127.0.0.1"),
    ("localhost", "", "localhost"),
    ("LOCALHOST", "127.0.0.1", "LOCALHOST"),
    ("127.0.0.1", "::1", "127.0.0.1"),
    ("10.0.0.9", "10.0.0.7", "10.0.0.9"),
    ("service.example", "10.0.0.7", "service.example"),
    ("localhost", "10.0.0.7", None),
    ("127.0.0.2", "10.0.0.7", None),
    ("[::1]", "10.0.0.7", None),
    ("::ffff:127.0.0.1", "10.0.0.7", None),
    ("0.0.0.0", "127.0.0.1", None),
    ("::", "", None),
]


@pytest.mark.parametrize(("host", "peer", "reached"), HOSTS)
def test_a_host_is_one_that_callers_can_reach(host: str, peer: str, reached: str | None) -> None:
    world, actor = World(), Actor(address=peer)
    if reached is None:
        with pytest.raises(InvalidArgument, match=r"service\.host"):
            world.register(host=host, actor=actor)
    else:
        assert world.register(host=host, actor=actor).entry.spec.host == reached


# Updating.


def test_an_update_stores_what_it_names() -> None:
    world = World()
    entry = world.add(port=1, zone="a")
    plan = world.registry.plan(
        Update(ref=ref_of(entry), spec=make_spec(port=2, zone="b"), paths=("port",)), LOCAL, world.now
    )
    assert isinstance(plan, Change)
    assert plan.facts == (Put(record=plan.record),)
    assert (plan.record.spec.port, plan.record.spec.zone, plan.record.generation) == (2, "a", 2)
    assert plan.record.used_epoch == entry.epoch
    assert entry.spec.port == 1


def test_a_stale_etag_is_refused() -> None:
    world = World()
    ref = ref_of(world.add())
    world.update(ref, ("port",), etag=1, port=2)
    with pytest.raises(FailedPrecondition, match="generation is 2") as caught:
        world.update(ref, ("port",), etag=1, port=3)
    assert caught.value.reason is Reason.STALE_ETAG
    world.update(ref, ("port",), port=3)


def test_an_update_is_checked() -> None:
    world = World()
    ref = ref_of(world.add())
    with pytest.raises(InvalidArgument, match=r"service\.port"):
        world.update(ref, ("port",), port=-1)


def test_an_updated_host_is_judged_only_if_it_is_named() -> None:
    world = World()
    ref = ref_of(world.add(host="127.0.0.1"))
    far = Actor(address="10.0.0.7")
    world.update(ref, ("tags",), tags=("a",), actor=far)
    with pytest.raises(InvalidArgument):
        world.update(ref, ("host",), host="localhost", actor=far)
    assert world.update(ref, ("host",), host="", actor=far).entry.spec.host == "10.0.0.7"


# Removing.


def test_removals() -> None:
    world = World()
    entry = world.add()
    plan = world.registry.plan(Unregister(ref=ref_of(entry)), LOCAL, world.now)
    assert isinstance(plan, Removal)
    assert (plan.reason, plan.facts) == (RemovalReason.UNREGISTERED, (Delete(service_id=entry.service_id),))
    with pytest.raises(NotFound):
        world.remove("nobody")
    assert world.remove(entry.service_id).revision == world.registry.revision
    assert world.edges[-1].removal is RemovalReason.REMOVED


def test_a_removal_at_a_revision_spares_who_came_back() -> None:
    world = World()
    entry = world.add()
    at = entry.snapshot.revision
    world.live(entry)
    assert world.remove(entry.service_id, at_revision=at).revision == 0
    assert world.remove(entry.service_id, at_revision=entry.snapshot.revision).revision > 0
    assert world.remove(entry.service_id, at_revision=at).revision == 0, "gone already is no error"


def test_a_removal_at_an_epoch_spares_a_newer_session() -> None:
    world = World()
    entry = world.add()
    old = entry.epoch
    world.live(entry)
    assert world.remove(entry.service_id, at_epoch=old).revision == 0
    assert world.remove(entry.service_id, at_epoch=entry.epoch).revision > 0


def test_registered_answers_say_what_was_found() -> None:
    world = World()
    assert isinstance(world.register(), Registered)
    assert world.register().created is False
