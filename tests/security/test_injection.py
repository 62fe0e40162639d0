"""Texts that mislead (threat 13): refused where they would not show, data otherwise, never the registry's own word."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import admin_pb2, balancer_pb2, errors_pb2, overlay_pb2, service_pb2
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.cli.process import daemon_process
from tests.cli.running import done, run
from tests.security.injections import HIDDEN, PLAIN
from tests.server.serving import OWN_CONNECTION

EVERY = HIDDEN | PLAIN
NAMES = frozenset(
    {"service_id", "agent_id", "service_name", "service_type", "namespace", "protocol", "host", "health_check_url"}
)
"""Fields of a service whose form lets none of the corpus in; the others are texts and labels."""


def service(**fields: Any) -> service_pb2.ServiceInfo:
    return service_pb2.ServiceInfo(
        **{"agent_id": "calc", "service_name": "calc", "host": "127.0.0.1", "port": 80, "liveness": 4, **fields}
    )


def texts_of_a_service() -> Iterator[tuple[str, bool]]:
    """Every field that takes text, and whether it is a list."""
    for field in service_pb2.ServiceInfo.DESCRIPTOR.fields:
        if field.cpp_type == field.CPPTYPE_STRING:
            yield field.name, field.is_repeated


async def refusal(call: Any) -> tuple[str, str]:
    """Code and message; the message is one line that shows all that is in it."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    message = refused.value.details() or ""
    assert message.isprintable(), repr(message)
    return refused.value.code().name, message


async def test_what_would_not_show_is_refused_in_every_text_of_a_service() -> None:
    fields = list(texts_of_a_service())
    assert {"capabilities", "tags", "version", "zone"} == {name for name, _ in fields} - NAMES
    async with (
        running_daemon() as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        for name, repeated in fields:
            for kind, text in (EVERY if name in NAMES else HIDDEN).items():
                if name == "host" and kind == "lookalike":  # hosts may be named in any script
                    continue
                made = pb.RegisterServiceRequest(service=service(**{name: [text] if repeated else text}))
                code, message = await refusal(stub.RegisterService(made))
                assert code == "INVALID_ARGUMENT", (name, kind)
                assert message.startswith((name, f"service.{name}")), (name, kind)
                told, _, came = message.partition(", got ")
                assert "must be" in told
                assert text not in told
                assert came.startswith(("'", '"')), "what came stands in quotes, so nobody takes it for ours"
        assert not len(daemon.coordinator.registry)


async def test_what_would_not_show_is_refused_wherever_else_text_is_kept_or_told() -> None:
    async with (
        running_daemon() as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        registry: Any = RegistryServiceStub(channel)
        admin: Any = AdminServiceStub(channel)
        balancer: Any = BalancerServiceStub(channel)
        made = await registry.RegisterService(pb.RegisterServiceRequest(service=service()))
        key = overlay_pb2.ServiceKey(service_id=made.service.service_id)
        for kind, text in HIDDEN.items():
            asked: tuple[tuple[str, Callable[[str], Any]], ...] = (
                ("note", lambda text: admin.SetOverlay(admin_pb2.SetOverlayRequest(key=key, mode=2, note=text))),  # type: ignore[arg-type] # a number does as well
                ("caller", lambda text: balancer.SelectService(balancer_pb2.SelectServiceRequest(caller=text))),
                ("request_id", lambda text: registry.RegisterService(again(text))),
                ("instance_id", lambda text: hello(registry, instance_id=text)),
                ("sdk", lambda text: hello(registry, sdk=text)),
                ("features", lambda text: hello(registry, features=[text])),
                ("service_id", lambda text: registry.GetService(pb.GetServiceRequest(service_id=text))),
            )
            for field, ask in asked:
                code, message = await refusal(ask(text))
                assert code == "INVALID_ARGUMENT", (kind, field)
                assert text not in message


def again(request_id: str) -> pb.RegisterServiceRequest:
    return pb.RegisterServiceRequest(service=service(), request_id=request_id)


async def hello(registry: Any, **fields: Any) -> Any:
    """Raises what a heartbeat stream ends with."""
    call = registry.Heartbeat()
    await call.write(hb.HeartbeatRequest(hello=hb.Hello(agent_id="calc", **fields)))
    async with asyncio.timeout(10):
        return await call.read()


async def test_what_shows_is_data_and_comes_back_as_it_was_sent() -> None:
    """In labels, and in metadata whatever it is: keys and values, nested too."""
    labels = list(PLAIN.values())
    deep = {"a": [{text: text} for text in EVERY.values()]}
    async with (
        running_daemon() as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        given = service(capabilities=labels, tags=labels)
        given.metadata.update(deep)
        made = await stub.RegisterService(pb.RegisterServiceRequest(service=given))
        found = (await stub.GetService(pb.GetServiceRequest(service_id=made.service.service_id))).service
        assert list(found.capabilities) == list(found.tags) == labels
        assert found.metadata == given.metadata
        for label in labels:
            selector = service_pb2.Selector(capabilities=[label])
            listed = await stub.DiscoverServices(pb.DiscoverServicesRequest(selector=selector))
            assert [one.service_id for one in listed.services] == [found.service_id]
        # Status and reasons are enums: no text of an agent's can stand where the registry judges.
        judged = {field.name: field for field in service_pb2.StatusReason.DESCRIPTOR.fields}
        assert not [name for name, field in judged.items() if field.cpp_type == field.CPPTYPE_STRING]
        assert errors_pb2.Error.DESCRIPTOR.fields_by_name["reason"].enum_type is not None


def test_neither_the_log_nor_the_terminal_is_written_by_an_agent() -> None:
    """What is registered, refused, drained and removed here is all of the corpus; each line stays one of ours."""
    with daemon_process("--log-level", "debug", "--log-format", "json") as daemon:
        where = {"ORION_ADDRESS": daemon.wait_ready()}
        metadata = json.dumps({"texts": list(EVERY.values()), **{text: kind for kind, text in EVERY.items()}})
        labels = [part for text in PLAIN.values() for part in ("--tag", text)]
        done("register", "calc/calc", "--port", "80", "--host", "127.0.0.1", "--metadata", metadata, *labels, **where)
        for text in EVERY.values():
            if "\x00" not in text:  # no argument can have it
                refused = run("get", text, **where)
                assert refused.returncode != 0
                assert shows(refused.stderr), refused.stderr
        for text in PLAIN.values():
            done("drain", "calc/calc", "--note", text, **where)
        for command in (
            ("get", "calc/calc"),
            ("services",),
            ("overlays",),
            ("events",),
            ("audit", "show"),
            ("doctor",),
        ):
            ended = run(*command, **where)
            assert ended.stdout
            assert shows(ended.stdout + ended.stderr), command
    assert daemon.lines()  # each is an object of JSON
    assert all(line.isascii() and line.count("\n") == 1 for line in daemon.raw)


def shows(text: str) -> bool:
    """Whether a terminal does with it what is to be seen, and nothing else."""
    return all(line.isprintable() for line in text.split("\n"))
