"""An agent in ten lines: python examples/agent.py, beside a registry (scripts/serve). examples/calc has more."""

from orion_registry import Agent

agent = Agent("calc", max_concurrency=4)


@agent.capability("math.add", tags=["exact"])
async def add(a: float, b: float) -> float:
    return a + b


agent.run()
