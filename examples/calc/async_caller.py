"""A caller with an event loop: python examples/calc/async_caller.py, beside examples/calc/agent.py."""

import asyncio

from orion_registry import BalancerClient


async def main() -> None:
    async with BalancerClient() as balancer:
        sums = await asyncio.gather(*(balancer.call("math.add", {"a": n, "b": n}) for n in range(10)))
        print(sums)


asyncio.run(main())
