"""A caller: python examples/calc/caller.py, beside examples/calc/agent.py."""

from orion_registry import Selector
from orion_registry.sync import BalancerClient

with BalancerClient() as balancer:
    print(balancer.call("math.add", {"a": 2, "b": 3}, selector=Selector(tags=("exact",))))
    print(balancer.call("math.primes", {"below": 30}))
