"""Providers of traces, as an operator would write them, but for where spans go."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

PLACE = "tests.server.traces:make_provider"
exported = InMemorySpanExporter()


def make_provider() -> TracerProvider:
    """Begins anew."""
    global exported  # noqa: PLW0603 - a provider that is shut down takes its exporter along
    exported = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider


def no_provider() -> str:
    return "something else"


def spans(name: str) -> list[ReadableSpan]:
    """Those that have ended, by name."""
    return [span for span in exported.get_finished_spans() if span.name == name]
