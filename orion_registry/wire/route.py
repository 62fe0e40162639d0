"""Results and notices of Route as bytes: fields of RouteResponse; put one behind the other they are a message."""

from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.leases import Lease
from orion_registry.errors import RegistryError
from orion_registry.wire.balancer_answers import encode_selection, encode_ttl
from orion_registry.wire.encode import HasSnapshot, encode_entry
from orion_registry.wire.packing import blob, number, varint
from orion_registry.wire.status import encode_error
from orion_registry_pb.v1 import balancer_pb2 as pb

_DONE = {"release": blob(4, b""), "report": blob(6, b"")}


def result_done(command_id: int, what: str) -> bytes:
    """The result of a command that has nothing more to say: "release" or "report"."""
    done = _DONE[what]
    if not command_id:
        return blob(1, done)
    name = varint(command_id)
    return b"".join((b"\x0a", varint(1 + len(name) + len(done)), b"\x08", name, done))


def result_granted(command_id: int, lease: Lease, entry: HasSnapshot) -> bytes:
    """The result of a select that was given one fresh lease: `result_selected` of `encode_selection`, joined once."""
    name, service, ttl = lease.selection_id.encode(), encode_entry(entry), encode_ttl(lease.ttl_s)
    service_size = varint(len(service))
    size = 3 + len(name) + len(service_size) + len(service) + len(ttl)
    if len(name) > 0x7F or not _TWO_BYTES_FROM <= size <= _TWO_BYTES_TO:
        return result_selected(command_id, encode_selection(lease, entry, lease.ttl_s))
    id_field = b"\x08" + varint(command_id) if command_id else b""
    answer = size + 3  # SelectServiceResponse: a tag and a length of two bytes more
    result = answer + 3 + len(id_field)
    heads = (
        bytes((0x0A, result & 0x7F | 0x80, result >> 7)),  # RouteResponse.results
        id_field,
        bytes((0x1A, answer & 0x7F | 0x80, answer >> 7, 0x0A, size & 0x7F | 0x80, size >> 7, 0x0A, len(name))),
    )
    return b"".join((*heads, name, b"\x12", service_size, service, ttl))


_TWO_BYTES_FROM, _TWO_BYTES_TO = 0x80, 0x3FFF - 17
"""Sizes of a selection that, as those of the two messages around it, are written in two bytes: nearly every one."""


def result_error(command_id: int, error: RegistryError) -> bytes:
    """The result of a command that was refused."""
    return blob(1, number(1, command_id) + blob(2, encode_error(error).SerializeToString()))


def result_selected(command_id: int, selections: bytes) -> bytes:
    """The result of a select: the bytes of a SelectServiceResponse."""
    # As blob(1, number(1, command_id) + blob(3, selections)), joined once.
    name, size = number(1, command_id), varint(len(selections))
    inner = len(name) + 1 + len(size) + len(selections)
    return b"".join((b"\x0a", varint(inner), name, b"\x1a", size, selections))


def result_renewed(command_id: int, renewals: bytes) -> bytes:
    """The result of a renewal: the bytes of a RenewSelectionsResponse."""
    return blob(1, number(1, command_id) + blob(5, renewals))


def result_waiting(command_id: int, position: int) -> bytes:
    """The first result of a select that waits."""
    return blob(1, number(1, command_id) + blob(7, number(1, position)))


def result_cancelled(command_id: int, waited: bool) -> bytes:
    """The result of a CancelWait."""
    return blob(1, number(1, command_id) + blob(8, number(1, int(waited))))


def notice_lost(lease: Lease, reason: StatusReasonCode | None) -> bytes:
    """The service of a lease has died."""
    return _notice(lease, pb.SELECTION_NOTICE_KIND_SERVICE_LOST, reason or 0)


def notice_expired(lease: Lease) -> bytes:
    """A lease ended by time."""
    return _notice(lease, pb.SELECTION_NOTICE_KIND_EXPIRED, 0)


def _notice(lease: Lease, kind: int, reason: int) -> bytes:
    names = blob(1, lease.selection_id.encode()) + blob(2, lease.slots.service_id.encode())
    return blob(2, names + number(3, kind) + number(4, reason))
