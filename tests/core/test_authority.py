"""core/authority: the right secret and a current epoch; an old session can never act for a new one."""

from collections.abc import Callable

import pytest

from orion_registry.core.authority import authorize
from orion_registry.core.commands import Unregister, Update
from orion_registry.core.frames import Hello, Lost, LostReason, SessionRequest, Sessions
from orion_registry.core.model import Actor, Load, ServiceStatus, SessionRef
from orion_registry.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Reason
from tests.building import OTHER_SECRET, SECRET, World, ask, frames_of, make_spec, ref_of, state_of


def test_the_ref_of_a_registration_is_good() -> None:
    world = World()
    entry = world.add()
    assert authorize(world.registry._fleet, ref_of(entry), "", world.now) is entry
    assert entry.used_epoch == entry.epoch


def test_refusals() -> None:
    world = World()
    entry = world.add()
    fleet = world.registry._fleet
    with pytest.raises(NotFound):
        authorize(fleet, SessionRef(service_id="nobody", epoch=1, secret=SECRET), "", world.now)
    with pytest.raises(PermissionDenied) as wrong:
        authorize(fleet, ref_of(entry, OTHER_SECRET), "", world.now)
    assert wrong.value.reason is Reason.WRONG_SECRET
    assert OTHER_SECRET not in str(wrong.value)
    for epoch in (-1, entry.epoch + 1):
        with pytest.raises(InvalidArgument, match=r"ref\.epoch"):
            authorize(fleet, ref_of(entry, epoch=epoch), "", world.now)
    assert entry.used_epoch == 0, "a refused ref uses nothing"


def test_a_used_epoch_makes_lower_ones_stale() -> None:
    world = World()
    entry = world.add()
    first = entry.epoch
    world.live(entry)
    with pytest.raises(FailedPrecondition) as caught:
        authorize(world.registry._fleet, ref_of(entry, epoch=first), "", world.now)
    assert caught.value.reason is Reason.STALE_EPOCH
    authorize(world.registry._fleet, ref_of(entry), "", world.now)


def test_an_epoch_of_an_earlier_life_is_taken_up() -> None:
    """The store keeps no epoch of a resume: after a restart the agent's own word counts."""
    world = World()
    entry = world.add()
    world.close(world.live(entry))
    held = ref_of(entry)
    after = world.restart()
    entry = after.registry.get(entry.service_id)
    assert entry.epoch == 0
    assert authorize(after.registry._fleet, held, "", after.now).epoch == held.epoch
    assert after.edges[-1].after is not None
    assert after.edges[-1].after.epoch == held.epoch


def test_a_newer_session_that_acts_takes_the_service_off_older_streams() -> None:
    world = World()
    entry = world.add()
    old = world.live(entry)
    new = world.live(entry, epoch=entry.epoch)
    assert len(entry.streams) == 2
    authorize(world.registry._fleet, ref_of(entry), "", world.now)
    assert list(entry.streams) == [new]
    assert frames_of(old, Lost) == [Lost(service_id=entry.service_id, reason=LostReason.SUPERSEDED)]
    assert old.end is not None
    assert old.end.reason is Reason.SUPERSEDED
    assert entry.snapshot.ready


def test_a_stream_that_keeps_another_service_goes_on() -> None:
    world = World()
    entry, other = world.add(), world.add(service_name="other")
    old = world.stream("agent", ask(entry), ask(other))
    world.beat(old)
    world.live(entry)
    assert list(old.services) == [other.service_id]
    assert not old.ended


def test_a_service_without_any_stream_is_not_called_open() -> None:
    """The newer session acted by a unary call after its own stream had broken: nobody would tell of its end."""
    world = World()
    entry = world.add()
    old = world.live(entry)
    new = world.live(entry, epoch=entry.epoch)
    newest = ref_of(entry)
    world.close(new)
    assert state_of(entry) == ("HEALTHY", "STREAM_OPEN"), "the old one still carries it"
    authorize(world.registry._fleet, newest, "", world.now)
    assert old.ended
    assert not entry.streams
    assert state_of(entry) == ("STARTING", "AWAITING_BEAT")
    world.pass_time(10)
    assert state_of(entry) == ("UNHEALTHY", "NOT_SEEN")


OWNER = Actor(identity="spiffe://fleet/calc", address="10.0.0.7")
THIEF = Actor(identity="spiffe://fleet/thief", address="10.0.0.8")


def test_a_stolen_secret_alone_is_worth_nothing() -> None:
    """Whoever is known as somebody else may neither act for a service nor claim it, whatever it knows."""
    world = World()
    entry = world.register(actor=OWNER).entry
    ref = ref_of(entry)
    acts: dict[str, Callable[[Actor], object]] = {
        "update": lambda who: world.run(Update(ref=ref, spec=make_spec(zone="b"), paths=("zone",)), who),
        "claim": lambda who: world.register(actor=who, takeover=True),
        "claim with another secret": lambda who: world.register(actor=who, secret=OTHER_SECRET, takeover=True),
        "report": lambda who: world.registry.report_status(ref, ServiceStatus.STOPPING, world.now, who.identity),
        "unregister": lambda who: world.run(Unregister(ref=ref), who),
    }
    for act in acts.values():
        with pytest.raises(PermissionDenied) as refused:
            act(THIEF)
        assert refused.value.reason is Reason.NOT_OWNER
    assert entry.spec.zone == ""
    stream = world.registry.open_stream(THIEF, lambda: None)
    stream.receive(Hello(agent_id="agent", sessions=(SessionRequest(ref=ref, load=Load()),)), world.now)
    (answer,) = frames_of(stream, Sessions)[0].results
    assert answer.error is not None
    assert answer.error.reason is Reason.NOT_OWNER
    assert entry.used_epoch == 0, "a refused ref uses nothing"
    world.run(Unregister(ref=ref), OWNER)


def test_where_nobody_is_known_the_secret_counts() -> None:
    """What was registered before there were identities goes to the first that brings its secret."""
    world = World()
    entry = world.add()
    assert authorize(world.registry._fleet, ref_of(entry), OWNER.identity, world.now) is entry
    assert world.register(actor=OWNER).entry is entry
    assert entry.snapshot.record.identity == OWNER.identity
    with pytest.raises(PermissionDenied):
        authorize(world.registry._fleet, ref_of(entry), THIEF.identity, world.now)
    assert authorize(world.registry._fleet, ref_of(entry), "", world.now) is entry, "a Unix socket of the machine"
