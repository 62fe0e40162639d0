"""A probe that finds what it is told to find: checks without a network."""

import asyncio
from collections import Counter

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.verdict import Outcome, Verdict


class ScriptedProbe:
    """Stands in for the prober of a daemon: `running_daemon(probe=ScriptedProbe())`.

    Attributes:
        verdict: what a run says whose check is not in `verdicts`.
        verdicts: what runs of a check say, by its name.
        detail: what they add.
        runs: how many began, by the check's name.
        addresses: where the agent of the latest run of a check connected from, by the check's name.
    """

    def __init__(self, verdict: Verdict = Verdict.PASSED) -> None:
        self.verdict = verdict
        self.verdicts: dict[str, Verdict] = {}
        self.detail = ""
        self.runs: Counter[str] = Counter()
        self.addresses: dict[str, str] = {}
        self._open = asyncio.Event()
        self._open.set()

    def hang(self) -> None:
        """From now on runs wait."""
        self._open.clear()

    def release(self) -> None:
        """Lets all waiting runs end."""
        self._open.set()

    async def __call__(self, check: CheckSpec, address: str) -> Outcome:
        """Makes one run."""
        self.runs[check.name] += 1
        self.addresses[check.name] = address
        await self._open.wait()
        verdict = self.verdicts.get(check.name, self.verdict)
        return Outcome(verdict=verdict, kind=check.probes[0].kind, detail=self.detail, latency_s=0.001)
