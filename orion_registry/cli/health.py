"""`orion-registry health|check|checks`: how a service is and why, its checks run now, how all checks fare."""

import json
from typing import TYPE_CHECKING

import click

from orion_registry.cli.health_showing import (
    checked_lines,
    checked_plain,
    health_lines,
    health_plain,
    stats_lines,
    stats_plain,
)
from orion_registry.cli.outcome import ADDRESS, connect_registry, run
from orion_registry.cli.overlay_target import read_target
from orion_registry.cli.showing import Paint
from orion_registry.cli.span import SPAN
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.overlay import ServiceKey
from orion_registry.core.selector import Selector
from orion_registry.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Reason,
    RegistryError,
    ResourceExhausted,
)

if TYPE_CHECKING:
    from orion_registry.client.client import RegistryClient

TIMEOUT_S = 5.0
EXIT_FAILED = 1
EXIT_COULD_NOT_LOOK = 3

_WHICH = """\
SERVICE is a SERVICE_ID, or AGENT/NAME (in another namespace than default: NAMESPACE/AGENT/NAME)."""
_CODES = """\
\b
Exit codes: 0 done, 1 it failed (unreachable, no such service), 2 wrong usage. One line on stderr says why.
"""

_HEALTH = f"""\
Show how a service is and why: status, reasons, each check with its last runs, and its last changes of status.

{_WHICH} Five runs of each check are shown, and 20 with --json.

A run is PASSED, FAILED (the service did not answer as it should), UNAVAILABLE (the registry could not look) or
DENIED (the registry may not look there: see check_allow). The last two never count against a service.

\b
Examples:
  orion-registry health calc-1/calc
  orion-registry health 0b5c3a1e-6f0e-5d2a-9a53-0f7b5f6c2c11
  orion-registry health calc-1/calc --json | jq -r '.checks[] | select(.state == "FAILING") | .name'

{_CODES}"""

_CHECK = f"""\
Run the checks of a service now, and say what they found. They may reach no more than at other times, and the verdicts
count like any other. A check that ended less than a second ago is not run again.

{_WHICH}

\b
Examples:
  orion-registry check calc-1/calc
  orion-registry check calc-1/calc --check http && echo it answers
  orion-registry check calc-1/calc --json | jq -r '.results[] | [.check, .verdict, .detail] | @tsv'

\b
Exit codes: 0 all passed, 1 one failed, or the command did (then a line on stderr says why), 2 wrong usage,
3 none failed, and one could not be looked at (UNAVAILABLE, DENIED, or changed meanwhile).
"""

_CHECKS = f"""\
Show how the checks of all services fare: where they stand, and the runs since the registry started, by kind.

Checks that wait long, or are stale, are more than check_runs takes at once: see docs/checks.md.

\b
Examples:
  orion-registry checks
  orion-registry checks --json | jq .failing

{_CODES}"""

_SERVICE = click.argument("service", metavar="SERVICE")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")


@click.command(help=_HEALTH, short_help="Show how a service is, and why.")
@_SERVICE
@ADDRESS
@_JSON
def health(service: str, address: str | None, as_json: bool) -> int:
    """See `_HEALTH`."""
    return run(_health(_read_service(service), address or "", as_json))


@click.command(help=_CHECK, short_help="Run the checks of a service now.")
@_SERVICE
@ADDRESS
@click.option("--check", "name", metavar="NAME", default="", help="Only this one.  [default: all]")
@click.option("--timeout", type=SPAN, default="60s", show_default=True, help="How long it may take.")
@_JSON
def check(service: str, address: str | None, name: str, timeout: float, as_json: bool) -> int:
    """See `_CHECK`."""
    if timeout <= 0:
        raise click.UsageError("--timeout must be above 0s")
    return run(_check(_read_service(service), address or "", name, timeout, as_json))


@click.command(help=_CHECKS, short_help="Show how all checks fare.")
@ADDRESS
@_JSON
def checks(address: str | None, as_json: bool) -> int:
    """See `_CHECKS`."""
    return run(_checks(address or "", as_json))


async def _health(service: ServiceKey, address: str, as_json: bool) -> None:
    async with connect_registry(address, timeout_s=TIMEOUT_S) as client:
        found = await client.health(await _id_of(client, service))
    if as_json:
        print(json.dumps(health_plain(found)))
        return
    for line in health_lines(found, Paint()):
        print(line)


async def _check(service: ServiceKey, address: str, name: str, timeout_s: float, as_json: bool) -> int:
    async with connect_registry(address, timeout_s=TIMEOUT_S) as client:
        service_id = await _id_of(client, service)
        try:
            found = await client.check_now(service_id, name, timeout_s=timeout_s)
        except RegistryError as error:
            raise _advised(error) from None
    if as_json:
        print(json.dumps(checked_plain(service_id, found)))
    else:
        for line in checked_lines(found, Paint()):
            print(line)
    verdicts = {result.outcome.verdict for result in found.results}
    if Verdict.FAILED in verdicts:
        return EXIT_FAILED
    return 0 if verdicts == {Verdict.PASSED} else EXIT_COULD_NOT_LOOK


async def _checks(address: str, as_json: bool) -> None:
    async with connect_registry(address, timeout_s=TIMEOUT_S) as client:
        found = await client.health_stats()
    if as_json:
        print(json.dumps(stats_plain(found)))
        return
    for line in stats_lines(found, Paint()):
        print(line)


def _read_service(text: str) -> ServiceKey:
    target = read_target(text) if "=" not in text else None
    if not isinstance(target, ServiceKey):
        raise click.UsageError(f"SERVICE: {text!r} is no SERVICE_ID, AGENT/NAME or NAMESPACE/AGENT/NAME")
    return target


async def _id_of(client: "RegistryClient", service: ServiceKey) -> str:
    """The service_id of whom a person means.

    Raises:
        NotFound: there is none.
        InvalidArgument: there are several, which differ by their ids alone.
    """
    if service.service_id:
        return service.service_id
    selector = Selector(
        namespace=service.namespace,
        agent_id=service.agent_id,
        service_name=service.service_name,
        include_not_ready=True,
    )
    found = [one.service_id for one in (await client.discover(selector)).services]
    whom = f"{service.agent_id}/{service.service_name} in namespace {service.namespace}"
    if not found:
        raise NotFound(Reason.NO_SUCH_SERVICE, f"no service {whom} is registered")
    if len(found) > 1:
        raise InvalidArgument(Reason.BAD_FIELD, f"several services are {whom}; say which by its id: {', '.join(found)}")
    return found[0]


def _advised(error: RegistryError) -> RegistryError:
    """The error with what to do next."""
    match error:
        case FailedPrecondition():
            advice = "its agent sets service.checks or health_check_url when it registers (docs/checks.md)"
        case ResourceExhausted() if error.retry_after_s is not None:
            advice = "`orion-registry health` shows what it found; try again in a second"
        case _:
            return error
    return type(error)(error.reason, f"{error.message}; {advice}", retry_after_s=error.retry_after_s)
