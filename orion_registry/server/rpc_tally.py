"""RPCs in counts: how many of each method ended how, how long they took, and what was refused."""

from collections import Counter
from collections.abc import Callable, Iterable

import grpc

from orion_registry.core.tally import Histogram
from orion_registry.errors import Reason
from orion_registry.server.methods import Kind, Method

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

OK: int = grpc.StatusCode.OK.value[0]
CANCELLED: int = grpc.StatusCode.CANCELLED.value[0]
INTERNAL: int = grpc.StatusCode.INTERNAL.value[0]

CODE_NAMES: dict[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}

Ended = Callable[[int, float], None]
"""Takes the end of a call: its code, and the seconds that it took."""


class MethodTally:
    """Counts of one method.

    Attributes:
        codes: calls that ended, by the number of their code.
        open: streams that have not.
        times: seconds of unary calls.
        refused: errors of the registry's, by reason.
    """

    __slots__ = ("codes", "open", "refused", "times")

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter({OK: 0})
        self.open = 0
        self.times = Histogram(BOUNDS)
        self.refused: Counter[Reason] = Counter()

    def ended(self, code: int, seconds: float) -> None:
        """A call is over."""
        self.codes[code] += 1
        self.times.observe(seconds)


class RpcTally:
    """Counts of all methods."""

    def __init__(self, table: Iterable[Method]) -> None:
        self.methods = {method: MethodTally() for method in table}

    def unary(self) -> Iterable[tuple[Method, MethodTally]]:
        """Those whose calls take a time that says something."""
        return ((method, tally) for method, tally in self.methods.items() if method.kind is Kind.UNARY)
