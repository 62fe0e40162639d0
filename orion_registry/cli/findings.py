"""What `orion-registry doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "OK"
    NOTE = "NOTE"
    """Worth knowing: it may be meant so."""
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: what, how it is, and what to do about it (empty: nothing)."""

    verdict: Verdict
    what: str
    told: str
    todo: str = ""


def ok(what: str, told: str) -> Finding:
    """All is well there."""
    return Finding(verdict=Verdict.OK, what=what, told=told)


def note(what: str, told: str, todo: str = "") -> Finding:
    """Worth knowing."""
    return Finding(verdict=Verdict.NOTE, what=what, told=told, todo=todo)


def problem(what: str, told: str, todo: str) -> Finding:
    """Something to mend."""
    return Finding(verdict=Verdict.PROBLEM, what=what, told=told, todo=todo)
