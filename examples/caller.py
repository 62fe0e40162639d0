"""A caller: python examples/caller.py, beside examples/agent.py. It gets a live agent with a free slot."""

from orion_registry.sync import BalancerClient

with BalancerClient() as balancer:
    print(balancer.call("math.add", {"a": 2, "b": 3}))
