"""`orion-registry health|check|checks`: how a service is and why, its checks run now, how all checks fare."""

import json

import click

from orion_registry.cli.finding import ONE_HELP, find_one
from orion_registry.cli.health_showing import (
    checked_lines,
    checked_plain,
    health_lines,
    health_plain,
    stats_lines,
    stats_plain,
)
from orion_registry.cli.outcome import ADDRESS, connect_registry, run
from orion_registry.cli.overlay_target import check_one
from orion_registry.cli.showing import Paint
from orion_registry.cli.span import SPAN
from orion_registry.core.checks.verdict import Verdict
from orion_registry.errors import FailedPrecondition, RegistryError, ResourceExhausted

TIMEOUT_S = 5.0
EXIT_FAILED = 1
EXIT_COULD_NOT_LOOK = 3

_CODES = """\
\b
Exit codes: 0 done, 1 it failed (unreachable, no such service), 2 wrong usage. One line on stderr says why.
"""

_HEALTH = f"""\
Show how a service is and why: status, reasons, each check with its last runs, and its last changes of status.

{ONE_HELP}
Five runs of each check are shown, and 20 with --json.

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

{ONE_HELP}

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

_WHOM = click.argument("whom", metavar="WHOM")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")


@click.command(help=_HEALTH, short_help="Show how a service is, and why.")
@_WHOM
@ADDRESS
@_JSON
def health(whom: str, address: str | None, as_json: bool) -> int:
    """See `_HEALTH`."""
    check_one(whom)
    return run(_health(whom, address or "", as_json))


@click.command(help=_CHECK, short_help="Run the checks of a service now.")
@_WHOM
@ADDRESS
@click.option("--check", "name", metavar="NAME", default="", help="Only this one.  [default: all]")
@click.option("--timeout", type=SPAN, default="60s", show_default=True, help="How long it may take.")
@_JSON
def check(whom: str, address: str | None, name: str, timeout: float, as_json: bool) -> int:
    """See `_CHECK`."""
    check_one(whom)
    if timeout <= 0:
        raise click.UsageError("--timeout must be above 0s")
    return run(_check(whom, address or "", name, timeout, as_json))


@click.command(help=_CHECKS, short_help="Show how all checks fare.")
@ADDRESS
@_JSON
def checks(address: str | None, as_json: bool) -> int:
    """See `_CHECKS`."""
    return run(_checks(address or "", as_json))


async def _health(whom: str, address: str, as_json: bool) -> None:
    async with connect_registry(address, timeout_s=TIMEOUT_S) as client:
        found = await client.health((await find_one(client, whom)).service_id)
    if as_json:
        print(json.dumps(health_plain(found)))
        return
    for line in health_lines(found, Paint()):
        print(line)


async def _check(whom: str, address: str, name: str, timeout_s: float, as_json: bool) -> int:
    async with connect_registry(address, timeout_s=TIMEOUT_S) as client:
        service_id = (await find_one(client, whom)).service_id
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
