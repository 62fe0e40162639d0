"""An agent: python examples/calc/agent.py

Beside a registry (scripts/serve). SIGTERM or Ctrl-C: it takes nothing new, finishes its calls, and stops.
"""

import asyncio
import math

from orion_registry import Agent

agent = Agent("calc", max_concurrency=4)


@agent.capability("math.add", tags=["exact"])
async def add(a: float, b: float) -> float:
    return a + b


@agent.capability("math.primes")
def primes(below: int) -> list[int]:  # not async: it runs in a thread, and the agent beats on
    return [n for n in range(2, below) if all(n % divisor for divisor in range(2, math.isqrt(n) + 1))]


@agent.capability("nap")
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"slept {seconds:g} s"


if __name__ == "__main__":
    agent.run()
