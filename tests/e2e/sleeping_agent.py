"""An agent of the tests: python -m tests.e2e.sleeping_agent AGENT_ID [--takeover] [--slots N] [--drain-timeout S]

Its registry is ORION_ADDRESS. It sleeps for those who call it: `sleep` in its event loop, `hang` in a thread, `lend` in
a thread of the loop's, `block` in the loop and without letting it go on.
"""

import argparse
import asyncio
import os
import time

from orion_registry import Agent, SessionOptions

parser = argparse.ArgumentParser()
parser.add_argument("agent_id")
parser.add_argument("--takeover", action="store_true")
parser.add_argument("--slots", type=int, default=0)
parser.add_argument("--drain-timeout", type=float, default=30.0)
given = parser.parse_args()

agent = Agent(
    "sleepers",
    agent_id=given.agent_id,
    max_concurrency=given.slots,
    drain_timeout_s=given.drain_timeout,
    options=SessionOptions(takeover=given.takeover, claim_timeout_s=0.5),
)


@agent.capability("sleep")
async def sleep(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()


@agent.capability("block")
async def block(seconds: float) -> int:
    time.sleep(seconds)  # noqa: ASYNC251 - the mistake that the agent is told of
    return os.getpid()


@agent.capability("hang")
def hang(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@agent.capability("lend")
async def lend(seconds: float) -> int:
    await asyncio.to_thread(time.sleep, seconds)
    return os.getpid()


agent.run()
