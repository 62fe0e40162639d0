"""`orion-registry top`: the command. What draws is imported when it runs: help stays fast."""

import os
import sys
from dataclasses import replace

import click

from orion_registry.cli.finding import with_unready
from orion_registry.cli.outcome import ADDRESS, run
from orion_registry.cli.overlay_target import WHICH_HELP, read_which
from orion_registry.core.selector import Selector

_SORTS = ("status", "name", "load", "beat", "since")

_HELP = f"""\
Show the fleet, live: services with status and reason, load, beats, zone, version and capabilities; events; alarms.

{WHICH_HELP}
Without it, all services of the namespace default, or of that which --namespace names.

In it ? shows the keys and the words of the filter, q quits. It goes on when the registry was away, and says so. On
narrow terminals columns are left out. docs/cli.md has the filter: status:unhealthy cap:math.add -tag:slow text.

\b
Examples:
  orion-registry top
  orion-registry top zone=eu-1 --sort load
  orion-registry top --namespace payments
  orion-registry top --filter 'status:unhealthy,unknown'
  orion-registry top --once | head -20                       one screen as text
  orion-registry top --once --json | jq .slots               its data as one JSON object
  watch -n 5 orion-registry top --once                       again and again, as plain text

\b
Exit codes: 0 quit, or the screen was printed; 1 it failed (unreachable at the start, refused); 2 wrong usage, such as
stdout that is no terminal without --once; 130 stopped with Ctrl-C. One line on stderr says why.
"""


@click.command(help=_HELP, short_help="Show the fleet, live, in a terminal.")
@click.argument("which", metavar="[WHICH]", required=False)
@ADDRESS
@click.option("--namespace", metavar="NAME", help="Services of this namespace.  [default: default]")
@click.option("--filter", "typed", metavar="TEXT", default="", help="Begin with this filter.")
@click.option("--sort", type=click.Choice(_SORTS), default="status", show_default=True, help="Begin with this order.")
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option("--once", is_flag=True, help="Print one screen with all rows, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print its data as one JSON object.")
def top(
    which: str | None,
    address: str | None,
    namespace: str | None,
    typed: str,
    sort: str,
    reverse: bool,
    once: bool,
    as_json: bool,
) -> int:
    """See `_HELP`."""
    selector = with_unready(_in_namespace(read_which(which), namespace))
    _check_filter(typed)
    if as_json and not once:
        raise click.UsageError("--json is of one screen: add --once")
    if not once:
        _check_terminal()
    return run(_top(address or "", selector, typed, sort, reverse, once, as_json), on_sigterm=True)


def _in_namespace(selector: Selector, namespace: str | None) -> Selector:
    """The same query there; None: where it is."""
    if namespace is None:
        return selector
    if not namespace:
        raise click.UsageError("--namespace: needs a NAME")
    if selector.namespace not in (Selector().namespace, namespace):
        raise click.UsageError(f"--namespace {namespace}: WHICH names another, {selector.namespace}; leave one out")
    return replace(selector, namespace=namespace)


def _check_filter(typed: str) -> None:
    """Refuses words that mean nothing: who types them on the screen sees so there, a script would take the answer."""
    from orion_registry.cli.top.query import STATES, WORDS, read_query

    if unknown := read_query(typed).unknown:
        said = f"no such word: {', '.join(unknown)}; one of {', '.join(WORDS)} (is: {', '.join(STATES)})"
        raise click.UsageError(f"--filter: {said}; text with a colon goes in quotes")


def _check_terminal() -> None:
    """Refuses what cannot show a screen."""
    others = "use --once for one screen, or `orion-registry services --json` or `orion-registry watch`"
    for name, stream in (("stdout", sys.stdout), ("stdin", sys.stdin)):
        if not stream.isatty():
            raise click.UsageError(f"top draws on a terminal, and {name} is none: {others}")
    if os.environ.get("TERM", "dumb") == "dumb":
        raise click.UsageError(f"top draws on a terminal, and this one (TERM) can only print lines: {others}")
    if sys.platform == "win32":
        raise click.UsageError(f"top draws on terminals of Linux and macOS: {others}")


async def _top(
    address: str, selector: Selector, typed: str, sort: str, reverse: bool, once: bool, as_json: bool
) -> int:
    from orion_registry.cli.top.row import Sort
    from orion_registry.cli.top.source import clients_of
    from orion_registry.cli.top.state import State

    async with clients_of(address) as clients:
        state = State(address=clients.admin.address, sort=Sort(sort), reverse=reverse)
        state.type(typed)
        if once:
            from orion_registry.cli.top.once import show_once

            await show_once(state, clients, selector, as_json=as_json)
            return 0
        from orion_registry.cli.top.app import App

        await clients.registry.discover_page(selector, page_size=1)  # who cannot be reached, or refuses, is told of now
        return await App(state, clients, selector).run()
