"""Spans on the command line."""

from typing import Any

import click


class Span(click.ParamType):  # type: ignore[type-arg] # generic in newer versions alone
    """A span such as 30s."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Seconds."""
        from orion_registry.server.setting_kinds import read_duration

        if isinstance(value, float):
            return value
        try:
            return read_duration(value)
        except ValueError:
            self.fail(f"{value!r} is no span such as 500ms, 30s, 10m, 2h, 90d", param, ctx)


SPAN = Span()
