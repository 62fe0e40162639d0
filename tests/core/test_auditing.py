"""core/auditing: a record for each service and overlay that a command changes, with what was there and what is."""

from dataclasses import replace

from orion_registry.core.audit import AuditFilter, record_of_line
from orion_registry.core.commands import Command, Import, Register, Remove, SetOverlay, Unregister, Update
from orion_registry.core.facts import Audit, Stored
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector
from tests.building import LOCAL, SECRET, STATIC, World, make_record, make_spec, ref_of
from tests.core.test_audit import CHAIN, LINE

OPERATOR = Actor(identity="ops", address="10.0.0.9")


def told(world: World, command: Command, actor: Actor = LOCAL) -> tuple[Audit, ...]:
    """What the chain is told of a command, which then comes to pass."""
    plan = world.registry.plan(command, actor, world.now)
    audits = world.registry.audits(plan, command, actor, world.now)
    world.run(command, actor)
    return audits


def test_each_command_says_what_was_there_and_what_is() -> None:
    world = World()
    spec = make_spec(service_id="s", liveness=STATIC)
    (made,) = told(world, Register(spec=spec, secret=SECRET))
    first = world.stored["s"]
    assert (made.entry.method, made.entry.target, made.entry.namespace) == ("RegisterService", "s", "default")
    assert (made.entry.address, made.entry.identity, made.entry.wall) == ("127.0.0.1", "", world.now.wall)
    assert (made.entry.history_id, made.entry.outcome) == (world.registry.history_id, "OK")
    assert (made.before, made.after) == (None, first)
    entry = world.registry.get("s")
    (changed,) = told(world, Update(ref=ref_of(entry), spec=replace(spec, tags=("x",)), paths=("tags",)))
    assert (changed.entry.method, changed.before, changed.after) == ("UpdateService", first, world.stored["s"])
    last = world.stored["s"]
    (gone,) = told(world, Unregister(ref=ref_of(entry)))
    assert (gone.entry.method, gone.before, gone.after) == ("UnregisterService", last, None)


def test_a_removal_says_by_whom() -> None:
    methods = {
        RemovalReason.REMOVED: "RemoveService",
        RemovalReason.UNREGISTERED: "Heartbeat",
        RemovalReason.EXPIRED: "EXPIRED",
    }
    for reason, method in methods.items():
        world = World()
        world.register(make_spec(service_id="s"))
        held = world.stored["s"]
        (gone,) = told(world, Remove(service_id="s", reason=reason), OPERATOR)
        assert (gone.entry.method, gone.entry.identity, gone.before) == (method, "ops", held)


def test_each_overlay_has_its_record() -> None:
    world = World()
    for name in ("a", "b"):
        world.register(make_spec(name, service_id=name))
    both = Selector(include_not_ready=True)
    first = told(world, SetOverlay(target=both, mode=OverlayMode.QUARANTINE), OPERATOR)
    assert [(one.entry.method, one.entry.target) for one in first] == [
        ("SetOverlay", f"default/{name}/calc/{name}") for name in ("a", "b")
    ]
    assert [(one.before, one.after) for one in first] == [(None, one) for one in world.overlays.values()]
    held = dict(world.overlays)
    (again,) = told(world, SetOverlay(target=ServiceKey(service_id="a"), mode=OverlayMode.MAINTENANCE), OPERATOR)
    key = again.entry.target
    assert (again.before, again.after) == (held[key], world.overlays[key])
    last = dict(world.overlays)
    cleared = told(world, SetOverlay(target=both, mode=OverlayMode.NONE), OPERATOR)
    assert [(one.before, one.after) for one in cleared] == [(last[one.entry.target], None) for one in cleared]
    assert len(cleared) == 2


def test_what_changes_nothing_is_not_told() -> None:
    world = World()
    world.register(make_spec(service_id="s"))
    assert told(world, Remove(service_id="s", reason=RemovalReason.EXPIRED, at_revision=99)) == ()
    assert told(world, SetOverlay(target=ServiceKey(service_id="s"), mode=OverlayMode.NONE)) == ()


def test_an_import_tells_of_each_that_it_adds() -> None:
    world = World()
    world.register(make_spec("a", service_id="a"))
    hashes = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}
    records = tuple(make_record(make_spec(name, service_id=name), **hashes) for name in ("a", "b"))
    found = told(world, Import(stored=Stored(records=records)), OPERATOR)
    assert [(one.entry.method, one.before, one.after) for one in found] == [("ImportSnapshot", None, records[1])]


def test_a_filter_lets_through_what_is_asked_for() -> None:
    record = record_of_line(LINE)
    assert record == CHAIN[0]
    for name in ("identity", "method", "namespace", "target", "outcome"):
        assert AuditFilter(**{name: getattr(record, name)}).passes(record)
        assert not AuditFilter(**{name: "another"}).passes(record)
    assert AuditFilter().passes(record)
