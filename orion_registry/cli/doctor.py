"""`orion-registry doctor`: is the registry well; or a service: why is it not selectable."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from orion_registry.cli.finding import ONE_HELP
from orion_registry.cli.findings import Finding, Verdict
from orion_registry.cli.outcome import ADDRESS, EXIT_FAILED, run
from orion_registry.cli.overlay_target import check_one
from orion_registry.cli.showing import Paint

_HELP = f"""\
Look for what is wrong with the registry; or with a service: why is it not selected, and what to do about it.

Of the registry: can it be reached, does it serve, alarms, its store, moments in which it stood still, services that
are down, and settings that bite. Of a service: each reason that holds, in plain words. docs/not-selectable.md tells of
all of them.

{ONE_HELP}
\b
Examples:
  orion-registry doctor
  orion-registry doctor calc-1/calc
  orion-registry doctor --json | jq '.findings[] | select(.verdict == "PROBLEM")'

\b
Exit codes: 0 nothing is wrong (notes may be), the service is selectable; 1 something is, or the registry
cannot be reached; 2 wrong usage. Findings go to stdout in either case.
"""

_MARKS = {Verdict.OK: ("ok", "green"), Verdict.NOTE: ("note", "yellow"), Verdict.PROBLEM: ("PROBLEM", "red")}


@click.command(help=_HELP, short_help="Say what is wrong, with the registry or a service.")
@click.argument("whom", metavar="[WHOM]", required=False)
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def doctor(whom: str | None, address: str | None, as_json: bool) -> int:
    """See `_HELP`."""
    if whom is not None:
        check_one(whom)
    return run(_doctor(whom, address or "", as_json))


async def _doctor(whom: str | None, address: str, as_json: bool) -> int:
    from orion_registry.cli.daemon_doctor import look_at_daemon  # gRPC: see `connect`
    from orion_registry.cli.service_doctor import look_at_service

    found = await (look_at_service(address, whom) if whom else look_at_daemon(address))
    ill = any(one.verdict is Verdict.PROBLEM for one in found)
    if as_json:
        print(json.dumps({"well": not ill, "findings": [asdict(one) for one in found]}))
    else:
        _show(found, Paint())
    return EXIT_FAILED if ill else 0


def _show(found: Sequence[Finding], paint: Paint) -> None:
    for one in found:
        word, colour = _MARKS[one.verdict]
        print(f"{paint(f'{word:<8}', colour)} {one.what:<14} {one.told}")
        if one.todo:
            print(f"{'':<24}{one.todo}")
