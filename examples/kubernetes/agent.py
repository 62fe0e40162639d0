"""An agent for a pod: what differs from one to the next comes from the environment."""

import asyncio
import os

from orion_registry import Agent

agent = Agent(
    "calc",
    agent_id=os.environ["AGENT_ID"],  # the pod's name: in a StatefulSet it stays
    host="0.0.0.0",  # the registry sees the pod's address, and tells it to callers
    port=int(os.environ.get("PORT", "9000")),
    insecure_listen=True,  # calls are plaintext: a NetworkPolicy says who may come
    max_concurrency=4,
    drain_timeout_s=10.0,
)


@agent.capability("math.add")
async def add(a: float, b: float) -> float:
    return a + b


@agent.capability("nap")
async def nap(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"slept {seconds:g} s"


agent.run()
