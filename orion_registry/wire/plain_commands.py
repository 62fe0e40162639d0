"""Messages of Route callers, taken apart by hand where all their commands are plain.

Plain are a release, and a select whose bytes the stream has sent before and that is answered at once; each encoded as
every encoder does it: fields in the order of their numbers, each once, nothing besides. Whatever else comes, all that
has to be refused with it, is left to protobuf: it knows how. See `packing` for the format.
"""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from orion_registry.core import limits
from orion_registry.core.selection.performance import Outcome
from orion_registry.errors import InvalidArgument
from orion_registry.wire.balancer import Wanted
from orion_registry.wire.packing import blob, number
from orion_registry.wire.spans import decode_span
from orion_registry_pb.v1 import balancer_pb2 as pb

KNOWN = 32
"""Selects that a stream's `PlainCommands` knows: callers ask the same over and over."""
_COMMAND, _ID, _RELEASE = 0x0A, 0x08, 0x1A
"""Tags: commands of RouteRequest; id and release of RouteCommand."""
_SELECTION_ID, _RESPONSE_TIME = 0x0A, 0x1A
"""Tags of ReleaseServiceRequest."""
_OUTCOMES = {number(2, outcome): outcome for outcome in Outcome}
"""Outcomes by their field of ReleaseServiceRequest."""
_ID_BITS = 63
"""Of the ids that are read here."""

A_RELEASE = pb.RouteCommand(release=pb.ReleaseServiceRequest())
"""Stands for every release where it is judged who may do that, and how often: whose lease it is shows later."""

PlainCommand = tuple[int, Wanted | None, str, Outcome, float | None]
"""Its id; what a select wants, or None and of a release the selection_id, the outcome and the response time."""


class PlainCommands:
    """Takes messages of one stream apart."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Wanted] = {}

    def learn(self, data: bytes, wanted: Wanted) -> None:
        """A select, serialised, stands for this: from now on it need not be decoded any more."""
        if wanted.plain is not None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[blob(2, data)] = wanted

    def forget(self) -> None:
        """A hello came: what was learnt was decoded with what was said before."""
        self._known.clear()

    def read(self, data: bytes) -> list[PlainCommand]:
        """The commands of a message; none if not all of them are plain."""
        try:
            return self._read(data)
        except (IndexError, UnicodeDecodeError):  # it ends too early, or protobuf would refuse it
            return []

    def _read(self, data: bytes) -> list[PlainCommand]:
        known, outcomes, unknown = self._known, _OUTCOMES, Outcome.UNKNOWN
        found: list[PlainCommand] = []
        at, end = 0, len(data)
        while at < end:
            size = data[at + 1]
            if data[at] != _COMMAND or (size > 0x7F and data[at + 2] > 0x7F):
                return []
            at += 2
            if size > 0x7F:
                size += (data[at] - 1) << 7
                at += 1
            stop = at + size
            command_id = 0
            if data[at] == _ID:
                command_id, at = _varint(data, at + 1) if data[at + 1] > 0x7F else (data[at + 1], at + 2)
            wanted = known.get(data[at:stop])
            if wanted is not None:
                found.append((command_id, wanted, "", unknown, None))
            else:
                name = at + 4  # after two tags and two lengths
                name_end = name + data[at + 3]
                if data[at] != _RELEASE or data[at + 1] != stop - at - 2 or data[at + 2] != _SELECTION_ID:
                    return []
                if data[at + 1] > 0x7F or name_end > stop:
                    return []
                outcome, time_s = outcomes.get(data[name_end:stop]), None
                if outcome is None:
                    outcome, time_s = _timed(data[name_end:stop])
                    if outcome is None:
                        return []
                found.append((command_id, None, data[name:name_end].decode(), outcome, time_s))
            at = stop
        return found if at == end and len(found) <= limits.COMMANDS else []


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and what is behind it. Raises IndexError, as if the data ended, for one of more than 63 bits."""
    value = shift = 0
    while (byte := data[at]) > 0x7F:
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if shift >= _ID_BITS:
            raise IndexError
    return value | byte << shift, at + 1


def _timed(data: bytes) -> tuple[Outcome | None, float | None]:
    """An outcome and a response time, each a field; no outcome if it is anything else, or has to be refused."""
    split = 0 if data[0] == _RESPONSE_TIME else 2
    outcome = _OUTCOMES.get(data[:split])
    if outcome is None or data[split] != _RESPONSE_TIME or data[split + 1] != len(data) - split - 2:
        return None, None
    try:
        return outcome, decode_span("response_time", Duration.FromString(data[split + 2 :]))
    except (DecodeError, InvalidArgument):
        return None, None
