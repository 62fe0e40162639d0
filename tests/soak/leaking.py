"""The real daemon with a leak: python -m tests.soak.leaking SETTINGS. It shows that a soak finds one.

Each selection leaves 2 kB behind, and each tenth one a task that never ends.
"""

import asyncio
from typing import Any

from orion_registry.cli.main import main
from orion_registry.runtime.selections import Selections

_LEFT: list[Any] = []


def leak() -> None:
    """Plants it."""
    sound = Selections.select

    def select(self: Selections, *arguments: Any, **named: Any) -> Any:
        _LEFT.append(bytes(2_000))
        if len(_LEFT) % 10 == 0:
            _LEFT.append(asyncio.ensure_future(asyncio.Event().wait()))
        return sound(self, *arguments, **named)

    Selections.select = select  # type: ignore[method-assign]  # on purpose


if __name__ == "__main__":
    import sys

    leak()
    sys.argv[1:1] = ["serve"]
    main()
