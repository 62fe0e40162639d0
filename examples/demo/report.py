"""What the demo says: numbered steps with marks for people, or one JSON document."""

import json
import os
import sys
import time
from typing import Any


class StepFailed(Exception):
    """Something that a step promises did not hold."""


class Report:
    """Collects steps; prints them as they happen unless JSON was asked for."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._colour = not as_json and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._began = self._step_began = time.monotonic()
        self.steps: list[dict[str, Any]] = []

    def step(self, title: str) -> None:
        """Begins a step."""
        self._step_began = time.monotonic()
        self.steps.append({"step": len(self.steps) + 1, "title": title, "ok": True, "facts": {}, "checks": []})
        self._print(f"\n{self._paint('1', f'{len(self.steps)}. {title}')}")

    def fact(self, text: str, **facts: Any) -> None:
        """Tells what happened; `facts` go into the JSON."""
        self.steps[-1]["facts"].update(facts)
        self._print(f"   {text}")

    def check(self, holds: bool, text: str, **facts: Any) -> None:
        """A promise of the step. Raises StepFailed if it does not hold."""
        self.steps[-1]["facts"].update(facts)
        self.steps[-1]["checks"].append({"text": text, "ok": holds})
        self.steps[-1]["seconds"] = round(time.monotonic() - self._step_began, 3)
        self._print(f"   {self._mark(holds)} {text}")
        if not holds:
            self.steps[-1]["ok"] = False
            raise StepFailed(text)

    def failed(self, error: str) -> None:
        """Something broke within a step."""
        if self.steps:
            self.steps[-1]["ok"] = False
        self._print(f"   {self._mark(False)} {error}")

    def finish(self, error: str = "") -> int:
        """Prints the verdict, or the document. Returns the exit code."""
        ok = not error and bool(self.steps) and all(step["ok"] for step in self.steps)
        seconds = round(time.monotonic() - self._began, 2)
        if self._as_json:
            document = {"ok": ok, "seconds": seconds, "steps": self.steps, "error": error or None}
            print(json.dumps(document))
        else:
            verdict = f"every step held, in {seconds:.1f} s" if ok else "the demo failed"
            print(f"\n{self._mark(ok)} {verdict}")
        return 0 if ok else 1

    def _print(self, text: str) -> None:
        if not self._as_json:
            print(text, flush=True)

    def _mark(self, ok: bool) -> str:
        return self._paint("32", "ok    ") if ok else self._paint("31", "FAILED")

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
