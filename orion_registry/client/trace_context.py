"""The caller's trace, for the registry to go on with: W3C context as OpenTelemetry writes it.

Nothing is imported where nobody traces: that costs one look into a table.
"""

import importlib
import sys

Metadata = tuple[tuple[str, str], ...]


def trace_metadata() -> Metadata | None:
    """Metadata that a call carries; None where nobody traces."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    propagate = importlib.import_module("opentelemetry.propagate")  # who makes spans need not have loaded it
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return tuple(headers.items()) or None
