"""`orion-registry register`: a service from options or a JSON file; STATIC, TTL, or alive as long as the command."""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orion_registry.cli.outcome import ADDRESS, CannotBegin, connect_registry, opened, run
from orion_registry.cli.service_file import read_service, spec_of
from orion_registry.cli.span import SPAN
from orion_registry.core.model import LivenessMode, ServiceSpec

if TYPE_CHECKING:
    from orion_registry.client.client import RegistryClient

MODES = ("static", "ttl", "stream")
SECRET_BYTES = 1024
"""Of a file with a secret, at most."""

_HELP = """\
Register a service that speaks no gRPC itself, or one to try things out with.

\b
AGENT/NAME    who offers it, and its name; NAMESPACE/AGENT/NAME in another namespace
--liveness    how the registry knows that it is alive:
  static      it always is, until it is unregistered or removed (the default)
  ttl         for --ttl from now on; run the same command again in time, with the same --secret-file
  stream      as long as this command runs: Ctrl-C or SIGTERM unregisters it

Whoever has the secret of a registration may change it. --secret-file keeps it: read from the file, which is made if it
is not there. Without one it is forgotten, and only `orion-registry remove` takes the service out.

--file takes a JSON object with the names of `orion-registry get --json`; options win over it.

\b
Examples:
  orion-registry register printer-1/print --host 10.0.0.7 --port 631 --capability print.pdf
  orion-registry register cron-1/report --ttl 10m --liveness ttl --secret-file ~/.cron-1   in a crontab
  orion-registry register calc-1/calc --port 9000 --capability math.add --liveness stream & run-my-agent
  orion-registry get --json a/b > b.json; orion-registry register --file b.json --address other:6746

\b
Exit codes: 0 registered, or unregistered after SIGTERM; 1 it failed (refused, unreachable, another session
holds it); 2 wrong usage; 130 unregistered after Ctrl-C. One line on stderr says why.
"""


@click.command(help=_HELP, short_help="Register a service.")
@click.argument("name", metavar="[AGENT/NAME]", default="")
@ADDRESS
@click.option("--host", metavar="HOST", help="Where callers reach it.  [default: where this command runs]")
@click.option("--port", metavar="N", type=int, help="And at which port.")
@click.option("--protocol", metavar="NAME", help="What it speaks.  [default: http]")
@click.option("--capability", "capabilities", metavar="NAME", multiple=True, help="What it can do; several times.")
@click.option("--tag", "tags", metavar="NAME", multiple=True, help="A label; several times.")
@click.option("--metadata", metavar="JSON", help="An object of what callers want to know.")
@click.option("--zone", metavar="NAME", help="Where it runs.")
@click.option("--type", "service_type", metavar="NAME", help="Of service.  [default: agent]")
@click.option("--version", metavar="TEXT", help="Of the service.")
@click.option("--weight", metavar="X", type=float, help="Its share of calls.  [default: 1]")
@click.option("--max-concurrency", metavar="N", type=int, help="Calls it takes at once.  [default: 0, no limit]")
@click.option("--liveness", type=click.Choice(MODES, case_sensitive=False), help="See above.  [default: static]")
@click.option("--ttl", "liveness_ttl_s", type=SPAN, help="With --liveness ttl only, 1s to 24h.  [default: 30s]")
@click.option("--retention", "retention_s", type=SPAN, help="How long it stays listed once dead.")
@click.option("--service-id", metavar="ID", help="Its id; for several services of one agent and name.")
@click.option("--file", metavar="FILE", help="JSON object with the service; - is stdin.")
@click.option("--secret-file", metavar="FILE", help="Where its secret is kept.")
@click.option("--takeover", is_flag=True, help="Take it from a live session that holds it.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")
def register(
    name: str,
    address: str | None,
    file: str | None,
    secret_file: str | None,
    takeover: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """See `_HELP`."""
    about = {field: value for field, value in given.items() if value not in (None, ())}
    work = _register(address or "", name, about, file, secret_file, takeover, as_json)
    return run(work, on_sigterm=True)


async def _register(
    address: str,
    name: str,
    given: dict[str, Any],
    file: str | None,
    secret_file: str | None,
    takeover: bool,
    as_json: bool,
) -> None:
    spec = spec_of({**(read_service(file) if file else {}), **_named(name), **given})
    if "liveness_ttl_s" in given and spec.liveness is not LivenessMode.TTL:
        raise CannotBegin(f"--ttl is for --liveness ttl, and this one is {spec.liveness.name.lower()}")
    if secret_file and spec.liveness is LivenessMode.STREAM:
        raise CannotBegin("--secret-file is for static and ttl: with a stream the secret lives as long as the command")
    secret = _secret(secret_file) if secret_file else ""
    async with connect_registry(address) as client:
        if spec.liveness is LivenessMode.STREAM:
            await _keep_alive(client, spec, takeover, as_json)
            return
        done = await client.register(spec, secret=secret, takeover=takeover)
        service_id = done.service.service_id
        if spec.liveness is LivenessMode.TTL:
            await client.send_heartbeat(done.ref)
        if as_json:
            told = {"service_id": service_id, "epoch": done.ref.epoch, "created": done.created}
            print(json.dumps(told | {"revision": done.revision}))
            return
        print(f"{'registered' if done.created else 'updated'} {service_id}")


async def _keep_alive(client: "RegistryClient", spec: ServiceSpec, takeover: bool, as_json: bool) -> None:
    """Until it is cancelled: leaving the block says goodbye."""
    from orion_registry.client.options import SessionOptions

    options = SessionOptions(takeover=takeover)
    async with client.session(spec.agent_id, [spec], options) as session:
        ref = session.ref()
        if as_json:
            print(json.dumps({"service_id": ref.service_id, "epoch": ref.epoch}), flush=True)
        else:
            print(f"registered {ref.service_id}", flush=True)
            print("alive until Ctrl-C", file=sys.stderr, flush=True)
        await session.ended()


def _named(name: str) -> dict[str, str]:
    if not name:
        return {}
    match name.split("/"):
        case [agent, service]:
            return {"agent_id": agent, "service_name": service}
        case [namespace, agent, service]:
            return {"namespace": namespace, "agent_id": agent, "service_name": service}
    raise CannotBegin(f"{name!r} is no AGENT/NAME nor NAMESPACE/AGENT/NAME (see orion-registry register --help)")


def _secret(path: str) -> str:
    """The secret in a file that only its owner may read; made if there is none."""
    try:
        with Path(path).open("r", encoding="utf-8", errors="replace") as file:
            secret = file.read(SECRET_BYTES).strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        number = opened(lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise CannotBegin(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if not secret:
        raise CannotBegin(f"{path} is empty: it must hold a secret of at least 32 characters, or not be there")
    return secret
