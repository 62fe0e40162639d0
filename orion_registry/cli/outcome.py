"""How a command that talks to a registry ends: an exit code, and one line on stderr that says why."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orion_registry.cli.certificate_options import certificate_options, given_credentials
from orion_registry.cli.reachable import reachable_first
from orion_registry.cli.stopping import stoppable, stopped
from orion_registry.errors import RegistryError
from orion_registry.store.base import StoreDamaged, StoreFailed

if TYPE_CHECKING:
    from orion_registry.client.admin import AdminClient
    from orion_registry.client.client import RegistryClient
    from orion_registry.client.insight import InsightClient

T = TypeVar("T")
EXIT_FAILED = 1
EXIT_CANNOT_BEGIN = 2

_ADDRESS = click.option(
    "--address",
    metavar="ADDRESS",
    help="A running daemon: HOST:PORT or unix:PATH; of several, with commas, the first that accepts.  "
    "[default: ORION_ADDRESS, else 127.0.0.1:6746]",
)


def ADDRESS(command: Any) -> Any:  # noqa: N802 - a decorator, as those that click makes
    """Adds --address, and the options for certificates."""
    return _ADDRESS(certificate_options(command))


class CannotBegin(Exception):
    """With these arguments there is nothing to try; `str()` is the line to show."""


def connect(address: str, *, timeout_s: float | None = None) -> "AdminClient":
    """A client of the daemon at an address; empty: the default. timeout_s: as `AdminClient`; None = its default.

    Raises:
        CannotBegin: it is no address, ORION_PROFILE no profile, or the credentials are half.
    """
    # gRPC, after GRPC_VERBOSITY was set; and help stays fast
    from orion_registry.client.admin import DEFAULT_TIMEOUT_S, AdminClient

    return made(
        lambda: AdminClient(
            reachable_first(address),
            timeout_s=DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s,
            credentials=given_credentials(),
        )
    )


def connect_registry(address: str, *, timeout_s: float | None = None) -> "RegistryClient":
    """A client for services of the daemon at an address (empty: the default); timeout_s: of each call.

    Raises:
        CannotBegin: it is no address, ORION_PROFILE no profile, or the credentials are half.
    """
    from orion_registry.client.client import DEFAULT_TIMEOUT_S, RegistryClient

    return made(
        lambda: RegistryClient(
            reachable_first(address),
            timeout_s=DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s,
            credentials=given_credentials(),
        )
    )


def connect_insight(address: str) -> "InsightClient":
    """A client that looks at the selections of the daemon at an address; empty: the default.

    Raises:
        CannotBegin: it is no address, ORION_PROFILE no profile, or the credentials are half.
    """
    from orion_registry.client.insight import InsightClient

    return made(lambda: InsightClient(reachable_first(address), credentials=given_credentials()))


def made(maker: Callable[[], T]) -> T:
    """Makes something of what was given on the command line.

    Raises:
        CannotBegin: it is refused before anything was sent.
    """
    try:
        return maker()
    except RegistryError as error:
        raise CannotBegin(error.message) from None


def opened(opener: Callable[[], T]) -> T:
    """Opens a file.

    Raises:
        CannotBegin: it cannot be opened.
    """
    try:
        return opener()
    except OSError as error:
        raise CannotBegin(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None


def run(
    work: Coroutine[Any, Any, int | None], *, whole: bool = False, on_sigterm: bool = False, writes: str = "stdout"
) -> int:
    """Runs it; returns the exit code (0 unless it says another), and says in one line what went wrong.

    A reader that goes before everything is written, such as `head`, has had what it wanted: that is no failure, unless
    what goes to stdout is worth nothing if it is not whole. `writes` is where it writes to.
    """
    try:
        code = asyncio.run(stoppable(work, on_sigterm=on_sigterm))
        stopped()
        print(end="", flush=True)  # here a closed pipe is still caught; when Python exits it no longer is
    except CannotBegin as error:
        return _fail(str(error), EXIT_CANNOT_BEGIN)
    except RegistryError as error:
        return _fail(error.message, EXIT_FAILED)
    except StoreFailed as error:
        return _fail(str(error), EXIT_FAILED if isinstance(error, StoreDamaged) else EXIT_CANNOT_BEGIN)
    except BrokenPipeError:
        _give_up_stdout()
        return _fail("stdout was closed before everything was written", EXIT_FAILED) if whole else 0
    except OSError as error:
        if error.filename is None and writes == "stdout":
            _give_up_stdout()
        return _fail(f"{error.filename or writes}: {(error.strerror or str(error)).lower()}", EXIT_FAILED)
    return code


def _give_up_stdout() -> None:
    """What it would not take goes nowhere, else Python complains once more when it exits, and takes another code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str, code: int) -> int:
    print(f"orion-registry: {message}", file=sys.stderr)
    return code
