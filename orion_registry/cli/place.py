"""A place in the events of a registry, as people hand it on: SEQ, or HISTORY:SEQ, which names the life as well."""

from dataclasses import dataclass

import click

from orion_registry.core import limits

LAST = 2**63 - 1
"""The wire's largest number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Just after an event. history_id: the life of the registry that its number is of; empty = whichever it is."""

    seq: int = 0
    history_id: str = ""

    def __str__(self) -> str:
        """As `read_place` reads it."""
        return f"{self.history_id}:{self.seq}" if self.history_id else str(self.seq)


def read_place(ctx: click.Context, param: click.Parameter, value: str) -> Place:
    """The callback of an option that takes a place.

    Raises:
        click.BadParameter: it is none.
    """
    history_id, colon, number = value.rpartition(":")
    if not (number.isascii() and number.isdigit()) or (colon and not limits.ID.fullmatch(history_id)):
        said = f"{value!r} is neither SEQ nor HISTORY:SEQ, such as 1500 or 9f86d081884c7d65:1500"
        raise click.BadParameter(said, ctx, param)
    if len(number) > len(str(LAST)) or int(number) > LAST:  # int() itself refuses some thousand digits
        raise click.BadParameter(f"SEQ must be 0 to {LAST:,}", ctx, param)
    return Place(seq=int(number), history_id=history_id)
