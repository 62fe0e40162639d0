"""The words of a filter: `status:unhealthy cap:math.add -tag:slow text`. Pure; the page has the same (docs/cli.md).

All terms must hold; a comma means any of these, a minus not. A value matches what begins with it, so that a filter
shows something while it is typed; `=` before it wants it whole. Case does not matter, and there is no wrong filter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

WORDS = ("status", "reason", "cap", "tag", "zone", "name", "agent", "id", "version", "type", "host", "ns", "meta", "is")
"""What may stand before a colon."""
STATES = ("ready", "degraded", "static", "draining")
"""What `is:` knows: may be selected; healthy, but second choice or not ready; nobody watches over it; taken out to
finish what it has."""
_ALIASES = {
    "capability": "cap",
    "capabilities": "cap",
    "tags": "tag",
    "service": "name",
    "service_name": "name",
    "agent_id": "agent",
    "service_id": "id",
    "service_type": "type",
    "namespace": "ns",
    "metadata": "meta",
    "statuses": "status",
}
_TERM = re.compile(r'(?:"[^"]*(?:"|$)|[^\s"])+')
_VALUE = re.compile(r'(?:"[^"]*(?:"|$)|[^,"])+')
_WORD = re.compile(r"[a-z_]+")

Facts = Mapping[str, tuple[str, ...]]
"""What a service has of each word, in lower case; of `meta` KEY=VALUE, of `is` the states that hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition. word: empty = any text; starts: what one of the word's values begins with, or is as a whole."""

    word: str
    starts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    negative: bool = False

    def holds(self, facts: Facts, text: str) -> bool:
        """Whether a service satisfies it."""
        return self._found(facts, text) is not self.negative

    def _found(self, facts: Facts, text: str) -> bool:
        if not self.word:
            return self.starts[0] in text
        return any(one.startswith(self.starts) or one in self.wholes for one in facts.get(self.word, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """All terms must hold; none lets everything through. unknown: words that mean nothing."""

    terms: tuple[Term, ...] = ()
    unknown: tuple[str, ...] = ()

    def matches(self, facts: Facts, text: str) -> bool:
        """Whether a service satisfies it. text: all that free text is looked for in, in lower case."""
        return all(term.holds(facts, text) for term in self.terms)


def read_query(line: str) -> Query:
    """What a person has typed, finished or not; a term without a value yet does not restrict."""
    terms: list[Term] = []
    unknown: list[str] = []
    for found in _TERM.finditer(line):
        negative = found[0].startswith("-") and len(found[0]) > 1
        term = _term(found[0][negative:], unknown, negative=negative)
        if term is not None:
            terms.append(term)
    return Query(terms=tuple(terms), unknown=tuple(unknown))


def _term(text: str, unknown: list[str], *, negative: bool) -> Term | None:
    given, colon, rest = text.partition(":")
    given = given.lower()
    word = _ALIASES.get(given, given)
    if colon and not text.startswith('"') and word in WORDS:
        return _word_term(word, _values(rest), unknown, negative=negative)
    if colon and _WORD.fullmatch(given) and not rest.startswith("//"):
        unknown.append(given)
    value = _unquoted(text).lower()
    return None if value in ("", "-") else Term(word="", starts=(value,), negative=negative)


def _word_term(word: str, values: list[str], unknown: list[str], *, negative: bool) -> Term | None:
    starts: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    match word:
        case "is":
            unknown += [f"is:{one}" for one in values if not any(state.startswith(one) for state in STATES)]
            wholes = tuple(one for one in values if one in STATES)
        case "meta":
            starts = tuple(one if "=" in one else f"{one}=" for one in values)
        case _:
            starts = tuple(one.removesuffix("*") for one in values if not one.startswith("="))
            wholes = tuple(one[1:] for one in values if one.startswith("="))
    return Term(word=word, starts=starts, wholes=wholes, negative=negative) if starts or wholes else None


def _values(text: str) -> list[str]:
    """The values between commas; one in quotes may have commas of its own."""
    values = (_unquoted(found[0]).lower() for found in _VALUE.finditer(text))
    return [value for value in values if value not in ("", "=")]


def _unquoted(text: str) -> str:
    return text.replace('"', "")
