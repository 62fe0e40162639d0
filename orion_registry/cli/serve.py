"""`orion-registry serve`: options made from the table of settings, and the process around the daemon."""

import asyncio
import contextlib
import os
import resource
import signal
from itertools import groupby
from typing import Any

import click

from orion_registry.cli import logs
from orion_registry.cli.reload import Reload, has_terminal
from orion_registry.server.setting_rows import Row
from orion_registry.server.settings import TABLE
from orion_registry.server.settings_sources import Loaded, load, print_config
from orion_registry.server.start_error import SettingError, StartError

EXIT_CANNOT_START = 2
EXIT_SECOND_SIGNAL = 130

_EXAMPLES = """\
\b
Examples:
  orion-registry serve                              on 127.0.0.1:6746
  orion-registry serve --listen 127.0.0.1:0         on a free port; the log says which
  orion-registry serve --listen unix:/run/orion.sock --listen 127.0.0.1:6746
  ORION_RETENTION=10m orion-registry serve          any setting by environment
  orion-registry serve --print-config > orion.toml  then: serve --config orion.toml

\b
Every option is also a variable ORION_NAME and a name in the TOML file (--max-connections,
ORION_MAX_CONNECTIONS, max_connections). A flag wins over the environment, that over the
file, that over the default. docs/configuration.md tells what each costs.

\b
Exit codes: 0 stopped by a signal, 1 unexpected failure, 2 cannot start like this
(one line says why), 130 a second signal.
"""


class ServeCommand(click.Command):
    """Shows the options in the groups of the settings table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes one section a group."""
        records = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
        for group, rows in groupby(TABLE, key=lambda row: row.group):
            with formatter.section(group):
                formatter.write_dl([record for row in rows if (record := records.pop(row.name, None))])
        with formatter.section("Other"):
            formatter.write_dl([record for record in records.values() if record])


def _option(row: Row) -> click.Option:
    names = [f"{row.flag}/--no-{row.flag[2:]}" if row.kind.switch else row.flag, row.name]
    text = f"{row.meaning}  [default: {row.default_text}]"
    if row.kind.switch:
        return click.Option(names, default=None, help=text)
    return click.Option(names, default=None, help=text, type=str, metavar=row.kind.metavar, multiple=row.kind.many)


def serve_command() -> click.Command:
    """The command, with an option for each setting."""
    extra: list[click.Parameter] = [
        click.Option(
            ["--config"], metavar="FILE", envvar="ORION_CONFIG", help="TOML file with settings. [env: ORION_CONFIG]"
        ),
        click.Option(
            ["--print-config"], is_flag=True, help="Print the settings in force, with their origins, and exit."
        ),
    ]
    return ServeCommand(
        "serve",
        callback=run,
        params=[*map(_option, TABLE), *extra],
        help=(
            "Start the registry daemon. It logs to stderr and runs until SIGTERM or SIGINT. SIGHUP reads the "
            "configuration file again: what may change in a running daemon changes, the rest is named in the log."
        ),
        epilog=_EXAMPLES,
        short_help="Start the registry daemon.",
    )


def run(config: str | None, print_config: bool, **flags: Any) -> int:
    """Loads the settings and serves; returns the exit code."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    raise_open_files_limit()
    try:
        loaded = load(given, os.environ, config or None)
    except StartError as error:
        return _refuse(error, str(given.get("log_format") or os.environ.get("ORION_LOG_FORMAT", "auto")))
    if print_config:
        return _print(loaded)
    settings = loaded.settings
    logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(_serve(Reload(loaded, given, config or None)))
    except SettingError as error:
        return _fail(error.came_from(loaded.origins[error.name]))
    except StartError as error:
        return _fail(error)
    except Exception:  # noqa: BLE001 - whatever it was, it ends as a log line and exit code 1
        logs.log.critical("the daemon failed", exc_info=True)
        return 1


def raise_open_files_limit() -> None:
    """Takes what the system grants: 1,024 files, the usual soft limit, would hold 768 agents."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it; max_connections follows what holds
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(reload: Reload) -> int:
    from orion_registry.server.daemon import Daemon, settle_memory  # after GRPC_VERBOSITY was set; and help stays fast
    from orion_registry.web import http_port

    daemon = Daemon(reload.loaded.settings, side_door=http_port(reload.loaded.settings))
    loop = asyncio.get_running_loop()
    logs.watch_loop(loop)
    asked: asyncio.Future[str] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, loop, asked, number)
    on_terminal = has_terminal()

    def hang_up() -> None:
        """A terminal that closes sends SIGHUP as well: with it gone, that is the end, as of any other command."""
        if on_terminal and not has_terminal():
            _on_signal(loop, asked, signal.SIGHUP)
        else:
            reload()

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    async with daemon:
        reload.apply = daemon.reconfigure
        settle_memory()
        name = await asked
        logs.log.info("signal received", extra={"signal": name})
    return 0


def _on_signal(loop: asyncio.AbstractEventLoop, asked: "asyncio.Future[str]", number: signal.Signals) -> None:
    """The first asks for a stop; from then on one exits at once, even while the loop is blocked."""
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(each)
        signal.signal(each, _exit_now)
    if not asked.done():
        asked.set_result(number.name)


def _exit_now(_number: int, _frame: object) -> None:
    os._exit(EXIT_SECOND_SIGNAL)


def _print(loaded: Loaded) -> int:
    print(print_config(loaded), end="")
    return 0


def _refuse(error: StartError, log_format: str) -> int:
    """Says why there is no daemon, before the log settings are known for certain."""
    logs.configure("error", log_format if log_format in {"text", "json"} else "auto")
    return _fail(error)


def _fail(error: StartError) -> int:
    logs.log.error("%s", error)
    return EXIT_CANNOT_START


serve = serve_command()
