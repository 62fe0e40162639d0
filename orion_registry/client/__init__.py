"""The SDK: what agents and callers import. Nothing of the server comes along.

    from orion_registry import RegistryClient, Selector, ServiceSpec

Files: client (calls), session (an agent's supervised heartbeat stream), watch (a view that heals itself), balancer
(selections), local_view (selections without a round trip), monitor (health and checks), agent (an agent in ten lines),
agent_calls (calls of agents); under them the pure parts (backoff, pacing, holding, fold, shrink_guard, last_good,
selection, capability), and profile, channel, calls, stream, route, agent_server, failures around gRPC, and view_file,
the last good view on the disk.
"""
