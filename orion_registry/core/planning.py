"""Plans of durable commands: what they would store. Nothing of the command happens until its plan is applied.

Only the epoch of its ref counts as used at once, as with every ref.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from orion_registry.core import limits
from orion_registry.core.access.rights import Role
from orion_registry.core.admissible import check_spec
from orion_registry.core.authority import authorize, refuse_others, require_role
from orion_registry.core.checks.validation import check_custom
from orion_registry.core.commands import (
    Command,
    Import,
    Imported,
    OverlaysSet,
    Register,
    Registered,
    Remove,
    Removed,
    SetOverlay,
    Unregister,
    Update,
)
from orion_registry.core.credentials import SecretMaker, hash_secret, payload_hash, secret_matches
from orion_registry.core.entry import Entry
from orion_registry.core.facts import Delete, Fact, Put
from orion_registry.core.fleet import Fleet
from orion_registry.core.importing import Adoption, adoption
from orion_registry.core.keys import natural_key, service_id_of
from orion_registry.core.liveness import LIVE
from orion_registry.core.model import Actor, Now, Record, RemovalReason, ServiceSpec, StatusReasonCode
from orion_registry.core.overlay import ServiceKey
from orion_registry.core.overlay_plan import Overlaying, overlaying
from orion_registry.core.updating import merged
from orion_registry.core.validation import check_secret, check_text
from orion_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Reason,
    bad_field,
)

LIVE_RETRY_S = 1.0
"""When to try again while another session is live: soon after the kernel tells of a crashed peer."""

IN_FLIGHT = 1_024
"""Epochs that registrations planned before this one may still take: as many as can be in flight."""

_ROLES = {Update: Role.AGENT, Unregister: Role.AGENT, Remove: Role.OPERATOR, SetOverlay: Role.OPERATOR}
"""The role that a command needs where its service is, as in the method table."""

_WHERE = frozenset({"host", "port", "health_check_url", "checks"})
"""Fields that say where checks go: by default to nowhere but the address that whoever wrote them last came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Stores the record of a new service or of a claim; `anew` voids every earlier session. secret: as made for it."""

    record: Record
    secret: str = field(repr=False)
    anew: bool

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the store is to keep."""
        return (Put(record=self.record),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Stores the changed record of a service."""

    record: Record

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the store is to keep."""
        return (Put(record=self.record),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Deletes the record of a service."""

    service_id: str
    reason: RemovalReason

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the store is to forget."""
        return (Delete(service_id=self.service_id),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Nothing is to be stored: this is the answer."""

    result: Registered | Removed | Imported | OverlaysSet


Plan = Registration | Change | Removal | Adoption | Overlaying | Settled


def key_of(command: Command) -> str | None:
    """The service that a command concerns; commands of one service run one after the other.

    None: all of them; it runs alone.
    """
    match command:
        case Register():
            return service_id_of(command.spec)
        case Update() | Unregister():
            return command.ref.service_id
        case Remove():
            return command.service_id
        case SetOverlay() | Import():  # of an overlay it is not known before who is meant, and how many there will be
            return None


def plan(fleet: Fleet, secrets: SecretMaker, command: Command, actor: Actor, now: Now) -> Plan:
    """Says what a command would store.

    Raises:
        RegistryError: the command is refused; see the RPC of the same name.
    """
    _judge(fleet, command, actor)
    match command:
        case Register():
            return _plan_register(fleet, secrets, command, actor, now)
        case Update():
            return _plan_update(fleet, command, actor, now)
        case Unregister():
            authorize(fleet, command.ref, actor.identity, now)
            return Removal(service_id=command.ref.service_id, reason=RemovalReason.UNREGISTERED)
        case Remove():
            return _plan_remove(fleet, command)
        case Import():
            return _plan_import(fleet, command)
        case SetOverlay():
            return _plan_overlay(fleet, command, actor, now)


def _judge(fleet: Fleet, command: Command, actor: Actor) -> None:
    """Lets a command act on a service as it is by now: when the call came in that was another one, or unknown.

    Raises:
        RegistryError: see `require_role`.
    """
    role = _ROLES.get(type(command))
    if role is None:
        return
    service_id = key_of(command)
    if isinstance(command, SetOverlay) and isinstance(command.target, ServiceKey) and not command.target.is_natural:
        service_id = command.target.service_id
    entry = fleet.catalog.get(service_id) if service_id else None
    if entry is not None:
        require_role(actor, entry, role)


# Registering.


def _plan_register(fleet: Fleet, secrets: SecretMaker, command: Register, actor: Actor, now: Now) -> Plan:
    if limits.ID.fullmatch(command.spec.namespace):  # else it is refused below
        fleet.usage.registration(command.spec.namespace, now.mono)
    fleet.admission.registration(now.mono)
    check_text("request_id", command.request_id)
    if command.secret:
        check_secret("secret", command.secret)
    asked = check_spec(command.spec)
    check_custom(asked.checks, fleet.config.custom_checks)
    _refuse_unclaimable(asked, actor)
    spec = replace(asked, service_id=service_id_of(asked), host=_reachable_host(asked.host, actor))
    payload = payload_hash(asked, command.secret, command.takeover)
    fleet.epochs.require(IN_FLIGHT)
    entry = fleet.catalog.get(spec.service_id)
    if entry is None:
        fleet.usage.services((spec.namespace,))
    held = None if entry is None else entry.snapshot.record
    made = "" if command.secret else secrets.secret(spec.service_id, command.request_id)
    claim = _Claim.NEW if entry is None else _judge_claim(entry, spec, command, made, payload, actor)
    if entry is not None and claim is _Claim.RETRY:
        return Settled(result=_registered(entry, made))
    anew = claim is not _Claim.UPDATE or (held is not None and spec.liveness is not held.spec.liveness)
    record = Record(
        spec=spec,
        secret_hash=hash_secret(command.secret or made),
        identity=actor.identity,
        generation=1 if held is None else held.generation + 1,
        used_epoch=_fence(entry, anew),
        registered_wall=now.wall if held is None else held.registered_wall,
        request_id=command.request_id,
        payload_hash=payload,
        address=actor.address,
    )
    return Registration(record=record, secret=made, anew=anew)


def _fence(entry: Entry | None, anew: bool) -> int:
    """The epoch below which refs are stale: a claim anew voids every one that was given before."""
    if entry is None:
        return 0
    return entry.epoch + 1 if anew else entry.used_epoch


def _registered(entry: Entry, secret: str) -> Registered:
    snapshot = entry.snapshot
    return Registered(entry=entry, secret=secret, revision=snapshot.revision, created=snapshot.record.generation == 1)


class _Claim(Enum):
    """What a registration is to the service that it names."""

    NEW = auto()
    RETRY = auto()
    UPDATE = auto()
    TAKEOVER = auto()


def _judge_claim(entry: Entry, spec: ServiceSpec, command: Register, made: str, payload: str, actor: Actor) -> _Claim:
    """What a registration is to a service that is already there, or the error that it is refused with."""
    held = entry.snapshot.record
    if natural_key(held.spec) != natural_key(spec):
        whose = _whose(held.spec, actor)
        message = f"service.service_id: {spec.service_id!r} belongs to {whose}; choose another"
        raise AlreadyExists(Reason.AGENT_IN_USE, message)
    refuse_others(entry, actor.identity)
    if command.request_id and command.request_id == held.request_id:
        if payload != held.payload_hash:
            used = f"request_id: {command.request_id!r} was used with another payload for {held.service_id!r}"
            message = f"{used}; a new request needs a new id"
            raise InvalidArgument(Reason.REQUEST_ID_REUSED, message)
        same_caller = bool(command.secret) or held.identity == actor.identity
        if same_caller and secret_matches(command.secret or made, held.secret_hash):  # made: not in an earlier life
            return _Claim.RETRY
    if command.secret and secret_matches(command.secret, held.secret_hash):
        return _Claim.UPDATE
    if held.identity != actor.identity:
        raise PermissionDenied(Reason.NOT_OWNER, f"{spec.service_id!r} was registered by another identity")
    if is_live(entry) and not command.takeover:
        message = f"a live session holds {spec.service_id!r}: wait for its end, bring its secret, or set takeover"
        raise AlreadyExists(Reason.AGENT_IN_USE, message, retry_after_s=LIVE_RETRY_S)
    return _Claim.TAKEOVER


def _whose(spec: ServiceSpec, actor: Actor) -> str:
    """Whose a service is, in words for somebody: of a namespace that it may not see, it learns nothing."""
    if not actor.rights.sees(spec.namespace):
        return "another agent"
    return f"agent {spec.agent_id!r} in {spec.namespace!r}"


def is_live(entry: Entry) -> bool:
    """Whether somebody holds the service now: an open stream, here or at another member, or a beat within its ttl."""
    state = entry.liveness.code
    return bool(entry.streams) or state is StatusReasonCode.BEATING or (bool(entry.owner) and state in LIVE)


def _refuse_unclaimable(spec: ServiceSpec, actor: Actor) -> None:
    """Lets an identity claim only the capabilities that it was granted.

    Raises:
        PermissionDenied: NOT_ALLOWED.
    """
    capability = actor.rights.unclaimable(spec.namespace, spec.capabilities)
    if capability is not None:
        message = f"service.capabilities: {actor.identity!r} may not claim {capability!r} in {spec.namespace!r}"
        raise PermissionDenied(Reason.NOT_ALLOWED, message)


def _reachable_host(host: str, actor: Actor) -> str:
    """The host that callers will use: an empty one means the address that the registration came from."""
    peer = actor.address or "127.0.0.1"  # no address: a Unix socket, or in process
    if not host:
        return peer
    if _is(host, "unspecified"):
        raise bad_field("service.host", "an address that callers can reach, or empty for the peer's", host)
    if _is(host, "loopback") and not _is(peer, "loopback"):
        rule = f"reachable for callers: it came from {peer}, so leave it empty or give that machine's address"
        raise bad_field("service.host", rule, host)
    return host


def _is(host: str, what: str) -> bool:
    if host.lower() == "localhost":
        return what == "loopback"
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False  # a name; whoever resolves it will see
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(getattr(mapped, f"is_{what}"))


# Changing and removing.


def _plan_update(fleet: Fleet, command: Update, actor: Actor, now: Now) -> Plan:
    entry = authorize(fleet, command.ref, actor.identity, now)
    held = entry.snapshot.record
    if command.etag and command.etag != held.generation:
        message = f"etag: {command.etag} is stale, the generation is {held.generation}; read again, then update"
        raise FailedPrecondition(Reason.STALE_ETAG, message)
    spec = check_spec(merged(held.spec, command.spec, command.paths))
    if "capabilities" in command.paths:
        _refuse_unclaimable(spec, actor)
    if "host" in command.paths:
        spec = replace(spec, host=_reachable_host(spec.host, actor))
    if "checks" in command.paths:
        check_custom(spec.checks, fleet.config.custom_checks)
    record = replace(held, spec=spec, generation=held.generation + 1, used_epoch=entry.used_epoch)
    if not _WHERE.isdisjoint(command.paths):
        record = replace(record, address=actor.address)
    return Change(record=record)


def _plan_remove(fleet: Fleet, command: Remove) -> Plan:
    bound = command.at_revision or command.at_epoch
    entry = fleet.catalog.get(command.service_id) if bound else fleet.require(command.service_id)
    if (
        entry is None
        or (command.at_revision and entry.snapshot.revision != command.at_revision)
        or (command.at_epoch and entry.epoch != command.at_epoch)
    ):
        return Settled(result=Removed(revision=0))
    return Removal(service_id=command.service_id, reason=command.reason)


def _plan_overlay(fleet: Fleet, command: SetOverlay, actor: Actor, now: Now) -> Plan:
    found = overlaying(fleet, command, actor, now)
    if not found.facts:
        return Settled(result=found.answer(fleet.revision))
    return found


# Importing.


def _plan_import(fleet: Fleet, command: Import) -> Plan:
    found = adoption(fleet, command.stored)
    if not found.facts:
        return Settled(result=Imported(added=0, kept=found.kept, revision=fleet.revision))
    return found
