"""A scenario's file: paragraphs of prose, and blocks of commands with all that they print after a line `----`.

Paragraphs are parted by empty lines. Prose begins with a capital letter or a sign, a block with a command, so a block
whose `----` was forgotten is noticed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

RULE = "----"


class BadScript(Exception):
    """A line that means nothing; the message names file and line."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """A paragraph for the reader."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command, and the line that it stands on."""

    line: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands, and what they print. printed None: there is no `----` yet."""

    commands: tuple[Command, ...]
    printed: tuple[str, ...] | None

    @property
    def lines(self) -> tuple[str, ...]:
        """The block as it stands in its file."""
        return (*(command.text for command in self.commands), RULE, *(self.printed or ()))

    def printing(self, lines: Iterable[str]) -> "Block":
        """The same commands with another output."""
        return replace(self, printed=tuple(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A scenario."""

    file: str
    parts: tuple[Prose | Block, ...]

    @property
    def text(self) -> str:
        """The file's contents."""
        return "\n\n".join("\n".join(part.lines) for part in self.parts) + "\n"


def read(path: Path) -> Script:
    """Reads a scenario's file.

    Raises:
        BadScript: it is not one.
    """
    return parse(path.read_text(), path.name)


def parse(text: str, file: str) -> Script:
    """Reads a scenario.

    Raises:
        BadScript: a block without commands, or nothing but prose.
    """
    parts = tuple(_part(file, paragraph) for paragraph in _paragraphs(text))
    if not any(isinstance(part, Block) for part in parts):
        raise BadScript(file, 1, "no commands")
    return Script(file=file, parts=parts)


def _paragraphs(text: str) -> Iterator[list[Command]]:
    """Runs of lines that are not empty, with their numbers."""
    numbered = [Command(line=number, text=line.rstrip()) for number, line in enumerate(text.splitlines(), 1)]
    for filled, lines in groupby(numbered, lambda line: bool(line.text)):
        if filled:
            yield list(lines)


def _part(file: str, lines: list[Command]) -> Prose | Block:
    texts = [line.text for line in lines]
    if RULE not in texts:
        if texts[0][0].islower():
            return Block(commands=tuple(lines), printed=None)
        return Prose(lines=tuple(texts))
    at = texts.index(RULE)
    if at == 0:
        raise BadScript(file, lines[0].line, f"no command before {RULE}")
    return Block(commands=tuple(lines[:at]), printed=tuple(texts[at + 1 :]))
