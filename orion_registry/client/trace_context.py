"""The caller's trace, for the registry to go on with: W3C context as OpenTelemetry writes it.

Nothing is imported: who traces has loaded OpenTelemetry already, and who does not pays one look into a table.
"""

import sys

Metadata = tuple[tuple[str, str], ...]


def trace_metadata() -> Metadata | None:
    """Metadata that a call carries; None where nobody traces."""
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is None:
        return None
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return tuple(headers.items()) or None
