"""The words of a filter: `status:unhealthy capability:math.add -tag:slow text`. Pure; docs/cli.md has the grammar.

Terms stand apart by spaces, and all must hold. `WORD:VALUE` looks at one thing, anything else at all text of a
service; `-` before a term turns it round. A value is compared with the beginning, whatever its case, so that a filter
shows something while it is typed; in quotes it is the whole. `VALUE,VALUE` is either. A word without a value yet says
nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

WORDS = (
    "status",
    "reason",
    "ready",
    "name",
    "agent",
    "capability",
    "tag",
    "zone",
    "version",
    "type",
    "namespace",
    "id",
)
"""What a term may look at: the terms of other commands, and what is on the screen."""
_SHORT = {"cap": "capability"}
_TERM = re.compile(r'(?P<turned>-)?(?:(?P<word>[A-Za-z]+)[:=])?(?P<value>"[^"]*"?|\S+)?')

Facts = Mapping[str, tuple[str, ...]]
"""What a service has of each word, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition. word: empty = any text; values: any of them, in lower case; whole: not only the beginning."""

    word: str
    values: tuple[str, ...]
    whole: bool = False
    turned: bool = False

    def holds(self, facts: Facts, text: str) -> bool:
        """Whether a service satisfies it."""
        return self._found(facts, text) is not self.turned

    def _found(self, facts: Facts, text: str) -> bool:
        if not self.word:
            return self.values[0] in text
        has = facts.get(self.word, ())
        if self.whole:
            return any(value in has for value in self.values)
        return any(one.startswith(self.values) for one in has)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """All terms must hold; none lets everything through. unknown: what looks like a word, and is taken for text."""

    terms: tuple[Term, ...] = ()
    unknown: tuple[str, ...] = ()

    def matches(self, facts: Facts, text: str) -> bool:
        """Whether a service satisfies it. text: all that free text is looked for in, in lower case."""
        return all(term.holds(facts, text) for term in self.terms)


def read_query(text: str) -> Query:
    """What a person has typed, finished or not: there is no wrong filter."""
    terms, unknown = [], []
    for found in _TERM.finditer(text):
        word, value = (found["word"] or "").lower(), found["value"] or ""
        word = _SHORT.get(word, word)
        if word and word not in WORDS:
            if value:
                unknown.append(word)
            value, word = found[0].removeprefix("-"), ""
        if term := _term(word, value.lower(), turned=found["turned"] is not None):
            terms.append(term)
    return Query(terms=tuple(terms), unknown=tuple(unknown))


def _term(word: str, value: str, *, turned: bool) -> Term | None:
    whole = value.startswith('"')
    value = value.strip('"') if whole else value
    values = tuple(one for one in value.split(",") if one) if word and not whole else (value,) * bool(value)
    return Term(word=word, values=values, whole=whole and bool(word), turned=turned) if values else None
