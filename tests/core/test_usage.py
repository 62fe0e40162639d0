"""core/access/usage: namespaces get no more than their quota, say so, and lose nothing that they have."""

import pytest

from orion_registry.core.access.quota import Quota, Quotas
from orion_registry.core.access.usage import BUCKETS, Usage
from orion_registry.core.commands import Register, Remove
from orion_registry.core.entry import Entry
from orion_registry.core.facts import Stored
from orion_registry.core.frames import Detach, Sessions
from orion_registry.core.model import RemovalReason
from orion_registry.core.selector import Selector
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import Limit, Reason, ResourceExhausted
from tests.building import LOCAL, SECRET, World, ask, frames_of, make_record, make_spec


def limited(namespace: str = "*", **quota: int) -> World:
    world = World()
    world.registry.set_quotas(Quotas(by_namespace={namespace: Quota(**quota)}))
    return world


def refusal_of(session: HeartbeatSession) -> list[ResourceExhausted | None]:
    """What the last sessions frame says of each service."""
    errors = [result.error for result in frames_of(session, Sessions)[-1].results]
    assert all(error is None or isinstance(error, ResourceExhausted) for error in errors)
    return errors  # type: ignore[return-value] # has just been looked at


def count(world: World) -> tuple[int, int, int]:
    return world.registry._fleet.usage.of("default")


# Services.


def test_a_new_service_beyond_the_quota_is_refused_and_one_that_is_there_registers_again() -> None:
    world = limited(services=2)
    world.add("a")
    world.add("b")
    with pytest.raises(ResourceExhausted) as no:
        world.add("c")
    assert (no.value.reason, no.value.limit) == (Reason.TOO_LARGE, Limit.NAMESPACE_SERVICES)
    assert no.value.message == "namespace 'default' may have 2 services (quota services) and has 2"
    assert no.value.retry_after_s
    assert world.add("a", version="2").spec.version == "2"
    world.remove(world.found()[1])
    world.add("c")


def test_the_others_do_not_pay_for_one_namespace() -> None:
    world = limited("payments", services=1)
    world.add("a", namespace="payments")
    with pytest.raises(ResourceExhausted):
        world.add("b", namespace="payments")
    world.add("b")
    world.add("c")


def test_each_of_the_others_has_the_quota_by_itself() -> None:
    world = limited("*", services=1)
    for namespace in ("x", "y", "z"):
        world.add("a", namespace=namespace)
        with pytest.raises(ResourceExhausted, match=f"namespace '{namespace}'"):
            world.add("b", namespace=namespace)


def test_registrations_on_their_way_to_the_store_have_their_place() -> None:
    world = limited(services=1)
    registry = world.registry

    def plan(agent_id: str) -> object:
        return registry.plan(Register(spec=make_spec(agent_id), secret=SECRET), LOCAL, world.now)

    first = registry.plan(Register(spec=make_spec("a"), secret=SECRET), LOCAL, world.now)
    registry.begin(first)
    with pytest.raises(ResourceExhausted):
        plan("b")
    registry.abandon(first)
    second = registry.plan(Register(spec=make_spec("b"), secret=SECRET), LOCAL, world.now)
    registry.begin(second)
    registry.apply(second, world.now)
    with pytest.raises(ResourceExhausted, match="has 1"):
        plan("c")
    gone = Remove(service_id=world.found()[0], reason=RemovalReason.REMOVED)
    registry.apply(registry.plan(gone, LOCAL, world.now), world.now)
    assert plan("c"), "the place is free again"


def test_an_import_beyond_the_quota_adds_nothing() -> None:
    world = limited(services=2)
    world.add("a")
    records = tuple(make_record(make_spec(name, service_id=f"s-{name}")) for name in ("b", "c"))
    with pytest.raises(ResourceExhausted, match="may have 2 services"):
        world.take_in(Stored(records=records, epochs_below=10))
    assert len(world.registry) == 1
    assert world.take_in(Stored(records=records[:1], epochs_below=10)).added == 1


def test_a_smaller_quota_puts_nobody_out() -> None:
    world = World()
    entries = [world.add(name) for name in ("a", "b", "c")]
    sessions = [world.live(entry) for entry in entries]
    buffer = world.registry.watch(Selector())
    world.registry.set_quotas(Quotas(by_namespace={"*": Quota(services=1, streams=1, watches=1)}))
    world.beats(sessions[0], 2.0)
    assert count(world) == (3, 3, 1)
    assert not any(session.ended for session in sessions)
    with pytest.raises(ResourceExhausted, match="has 3"):
        world.add("d")
    world.registry.unwatch(buffer)
    world.registry.set_quotas(Quotas(by_namespace={"*": Quota(services=4)}))
    world.add("d")


# Registrations.


def test_registrations_come_in_at_their_rate_and_the_rest_is_told_its_turn() -> None:
    world = limited(registrations_per_minute=60)
    for number in range(60):
        world.add(f"agent-{number}")
    with pytest.raises(ResourceExhausted) as no:
        world.add("one-more")
    assert (no.value.reason, no.value.limit) == (Reason.RATE_LIMITED, Limit.NAMESPACE_REGISTRATIONS)
    assert no.value.retry_after_s == pytest.approx(1.0)
    assert no.value.message.startswith("namespace 'default' may register 60 services a minute")
    world.add("elsewhere", namespace="other")
    world.pass_time(1.1)
    world.add("one-more")


def test_another_rate_holds_at_once() -> None:
    world = limited(registrations_per_minute=1)
    world.add("a")
    with pytest.raises(ResourceExhausted):
        world.add("b")
    world.registry.set_quotas(Quotas(by_namespace={"*": Quota(registrations_per_minute=2)}))
    world.add("b")
    world.registry.set_quotas(Quotas())
    world.add("c")


def test_names_that_are_none_fill_no_table() -> None:
    usage = Usage(lambda _: 0)
    usage.quotas = Quotas(by_namespace={"*": Quota(registrations_per_minute=5)})
    for number in range(BUCKETS + 10):
        usage.registration(f"n{number}", 0.0)
    assert len(usage._buckets) == BUCKETS
    assert "n0" not in usage._buckets


# Streams.


def test_a_service_beyond_the_quota_of_streams_is_refused_alone() -> None:
    world = limited("payments", streams=1)
    first, second, other = (
        world.add("a", namespace="payments"),
        world.add("b", namespace="payments"),
        world.add("b", service_name="else"),
    )
    world.live(first)
    session = world.stream("b", ask(second), ask(other))
    refused, fine = refusal_of(session)
    assert refused is not None
    assert (refused.reason, refused.limit) == (Reason.TOO_LARGE, Limit.NAMESPACE_STREAMS)
    assert refused.message == "namespace 'payments' may have 1 streams (quota streams) and has 1"
    assert fine is None
    assert not session.ended
    assert world.registry.refused.counts == {Limit.NAMESPACE_STREAMS: 1}


def test_a_stream_counts_once_for_all_its_services_of_a_namespace() -> None:
    world = limited(streams=1)
    entries = [world.add("a", service_name=name) for name in ("x", "y", "z")]
    session = world.stream("a", *map(ask, entries))
    assert refusal_of(session) == [None] * 3
    session.receive(Detach(service_ids=(entries[0].service_id, entries[1].service_id)), world.now)
    other = world.add("b")
    assert refusal_of(world.stream("b", ask(other))) != [None], "the third holds the place"
    session.receive(Detach(service_ids=(entries[2].service_id,)), world.now)
    assert refusal_of(world.stream("b", ask(other))) == [None]


def ends(world: World, entry: Entry, session: HeartbeatSession, how: str) -> None:
    match how:
        case "closed":
            world.close(session)
        case "removed":
            world.remove(entry.service_id)
        case "claimed":
            world.register(agent_id="a", secret=SECRET[::-1], takeover=True)


@pytest.mark.parametrize("how", ["closed", "removed", "claimed"])
def test_however_a_stream_loses_its_services_its_place_is_free(how: str) -> None:
    world = limited(streams=1)
    entry = world.add("a")
    session = world.live(entry)
    assert count(world)[1] == 1
    ends(world, entry, session, how)
    assert count(world)[1] == 0


def test_an_agent_that_comes_back_is_not_kept_out_by_its_own_old_stream() -> None:
    world = limited(streams=1)
    entry = world.add("a")
    old = world.live(entry)
    new = world.live(entry)
    assert (old.ended, new.ended) == (True, False)
    assert count(world)[1] == 1


def test_hellos_that_never_beat_hold_one_place_more_at_most() -> None:
    """Until its first beat a new stream takes the service from no other: such streams do not pile up."""
    world = limited(streams=2)
    entry = world.add("a")
    asked = ask(entry, epoch=entry.epoch)
    got = [refusal_of(world.stream("a", asked)) for _ in range(10)]
    assert got.count([None]) == 3
    assert count(world)[1] == 3


# Watches.


def test_watches_beyond_the_quota_are_refused_until_one_ends() -> None:
    world = limited(watches=2)
    buffers = [world.registry.watch(Selector()) for _ in range(2)]
    with pytest.raises(ResourceExhausted) as no:
        world.registry.watch(Selector(tags=("else",)))
    assert (no.value.reason, no.value.limit) == (Reason.TOO_LARGE, Limit.NAMESPACE_WATCHES)
    assert no.value.message == "namespace 'default' may have 2 watches (quota watches) and has 2"
    world.registry.watch(Selector(namespace="other"))
    world.registry.unwatch(buffers[0])
    world.registry.watch(Selector())
