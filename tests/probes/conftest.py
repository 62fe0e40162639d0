"""A prober for tests, and runs of single probes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from orion_registry.core.checks.spec import CheckSpec, Probe
from orion_registry.core.checks.verdict import Outcome
from orion_registry.probes.ends import CheckFailed
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes import callables
from tests.probes.targets import CA

Look = Callable[..., Awaitable[Outcome]]

CUSTOM = {name: f"{callables.__name__}:{name}" for name in callables.NAMES}


async def lookup(host: str) -> tuple[str, ...]:
    """good.example and wrong.example are this machine."""
    if host in ("good.example", "wrong.example"):
        return ("127.0.0.1",)
    raise CheckFailed("the host has no address")


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    prober = Prober(ProbeConfig(ca_file=CA, custom=CUSTOM), lookup=lookup)
    yield prober
    await prober.close()


@pytest.fixture
def look(prober: Prober) -> Look:
    """Runs one probe once, as for an agent on this machine."""

    async def run(probe: Probe, timeout_s: float = 2.0, **spec: Any) -> Outcome:
        return await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=timeout_s, **spec), "")

    return run
