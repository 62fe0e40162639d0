"""One agent as a process of its own: python -m examples.demo.agents PROFILE REGISTRY

It serves a gRPC service on a free port, registers, beats, and answers with its process id. SIGTERM: it says goodbye and
stops. Prints one line of JSON when callers can find it. Ends by itself when whoever started it is gone.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

import grpc
import grpc.aio

from examples.demo.skills import PROFILES, Profile
from orion_registry.client.client import RegistryClient
from orion_registry.client.specs import with_metadata
from orion_registry.core.model import ServiceSpec


class SkillHandlers(grpc.GenericRpcHandler):
    """Serves a profile's skills: JSON arguments in, JSON {result, agent, pid} out."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._methods = {profile.method(capability): skill for capability, skill in profile.skills.items()}

    def service(self, call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        skill = self._methods.get(call_details.method)
        if skill is None:
            return None

        async def answer(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            try:
                result = skill(*json.loads(request))
            except (TypeError, ValueError) as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            return json.dumps({"result": result, "agent": self._profile.agent_id, "pid": os.getpid()}).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


def specification(profile: Profile, port: int) -> ServiceSpec:
    """What the agent tells the registry of itself."""
    spec = ServiceSpec(
        agent_id=profile.agent_id,
        service_name=profile.service_name,
        host="127.0.0.1",
        port=port,
        protocol="grpc",
        capabilities=tuple(profile.skills),
        tags=profile.tags,
    )
    methods = {capability: profile.method(capability) for capability in profile.skills}
    return with_metadata(spec, {"pid": os.getpid(), "methods": methods})


async def serve(profile: Profile, registry: str) -> None:
    """Serves until SIGTERM, or until the parent process is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin, stop.set)  # nothing is ever written to it: readable means closed
    server = grpc.aio.server(handlers=[SkillHandlers(profile)], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    specs = [specification(profile, port)]
    async with RegistryClient(registry) as client, client.session(profile.agent_id, specs) as session:
        ready: dict[str, Any] = {"ready": profile.agent_id, "pid": os.getpid(), "port": port}
        print(json.dumps(ready | {"service_id": session.ref().service_id}), flush=True)
        await stop.wait()
    await server.stop(0.5)


if __name__ == "__main__":
    asyncio.run(serve(PROFILES[sys.argv[1]], sys.argv[2]))
