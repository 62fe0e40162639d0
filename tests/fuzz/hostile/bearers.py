"""Tokens that are almost good: bits flipped, cut, joined, put together from two."""

import random
from collections.abc import Sequence

ID_AT, ID_END = 6, 18
"""Where the id stands in orion_<id>_<secret>."""


class BearerMaker:
    """Makes tokens from a seed; never one that counts."""

    def __init__(self, rng: random.Random, good: Sequence[str], dead: Sequence[str]) -> None:
        self._rng = rng
        self._good = tuple(good)
        self._dead = tuple(dead)

    def make(self) -> tuple[str, str]:
        """What was done, and the header's value."""
        while True:
            kind, text = self._one()
            if text not in self._good:
                return kind, f"Bearer {text}"

    def _one(self) -> tuple[str, str]:
        rng = self._rng
        token, other = rng.choice(self._good), rng.choice(self._good)
        match rng.randrange(9):
            case 0:
                return "bits flipped", self._flipped(token)
            case 1:
                return "cut short", token[: rng.randrange(len(token))]
            case 2:
                return "longer", token + "".join(rng.choice("aA0_-=.") for _ in range(rng.randrange(1, 9)))
            case 3:
                return "another's id, own secret", other[:ID_END] + token[ID_END:]
            case 4:
                return "a character changed", self._changed(token)
            case 5:
                return "secret of another length", token[: ID_END + 1] + "A" * rng.choice((0, 1, 42, 44, 86, 4_000))
            case 6:
                return "revoked or ended", rng.choice(self._dead)
            case 7:
                return "another case", rng.choice((token.upper(), token.swapcase(), token.title()))
            case _:
                letters = list(token[ID_END + 1 :])
                rng.shuffle(letters)
                return "secret shuffled", token[: ID_END + 1] + "".join(letters)

    def _flipped(self, token: str) -> str:
        """One bit of one character, as far as that can stand in a header."""
        at = self._rng.randrange(len(token))
        changed = chr(ord(token[at]) ^ (1 << self._rng.randrange(7)))
        return token[:at] + (changed if " " < changed < "\x7f" else "!") + token[at + 1 :]

    def _changed(self, token: str) -> str:
        at = self._rng.randrange(ID_AT, len(token))
        return token[:at] + self._rng.choice("abcxyzABCXYZ0189_-") + token[at + 1 :]
