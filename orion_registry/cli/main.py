"""The command line: one group, one file a command. Mistakes end in one line and exit code 2."""

import os
import sys

# gRPC's C-core writes raw text to stderr, which would break the log's lines; it reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import click

from orion_registry import __version__
from orion_registry.cli.access import access
from orion_registry.cli.audit import audit
from orion_registry.cli.certs import certs
from orion_registry.cli.completion import VARIABLE, completion
from orion_registry.cli.doctor import doctor
from orion_registry.cli.events import events
from orion_registry.cli.group import Group
from orion_registry.cli.health import check, checks, health
from orion_registry.cli.info import info
from orion_registry.cli.members import members
from orion_registry.cli.overlay import clear, drain, maintenance, overlays, quarantine, remove, weight
from orion_registry.cli.register import register
from orion_registry.cli.select import select
from orion_registry.cli.selections import leases, stats
from orion_registry.cli.serve import serve
from orion_registry.cli.services import get, services
from orion_registry.cli.snapshot import snapshot
from orion_registry.cli.token import token
from orion_registry.cli.top.command import top
from orion_registry.cli.watch import wait, watch


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="orion-registry", message="%(prog)s %(version)s")
def cli() -> None:
    """Orion Registry: a coordination daemon for agents.

    Agents register what they offer and keep a heartbeat stream; callers ask for a capability and get a live agent.
    """


cli.add_command(serve)
cli.add_command(info)
cli.add_command(members)
cli.add_command(events)
for _command in (drain, maintenance, quarantine, weight, clear, overlays, remove):
    cli.add_command(_command)
for _command in (health, check, checks):
    cli.add_command(_command)
cli.add_command(snapshot)
cli.add_command(audit)
cli.add_command(certs)
cli.add_command(token)
cli.add_command(access)
for _command in (services, get, register, watch, wait, select, leases, stats, doctor, completion, top):
    cli.add_command(_command)


def open_what_is_closed() -> None:
    """Gives `>&-` and the like somewhere to write to: else the next file or connection would get that number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


def main() -> None:
    """Entry point of `orion-registry` and `python -m orion_registry`."""
    open_what_is_closed()
    try:
        code = cli.main(prog_name="orion-registry", complete_var=VARIABLE, standalone_mode=False)
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        hint = f" (see {where.command_path} --help)" if where is not None else ""
        said = " ".join(error.format_message().split()).rstrip(".")  # click tells of choices in lines of their own
        print(f"orion-registry: {said}{hint}", file=sys.stderr)
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
