"""Options of every command that talks to a registry: whom it trusts, and as whom it comes."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orion_registry.client.credentials import Credentials

_META = "orion_registry.credentials"


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name is not None:
        ctx.meta.setdefault(_META, {})[param.name] = value


def _option(name: str, meaning: str) -> Callable[[Any], Any]:
    flag = f"--{name.replace('_', '-')}"
    text = f"{meaning}  [default: ORION_{name.upper()}]"
    return click.option(flag, name, metavar="FILE", expose_value=False, callback=_keep, help=text)


_OPTIONS = (
    _option("ca_file", "Authorities (PEM) that the registry's certificate must be of; with it TLS is spoken."),
    _option("cert_file", "Certificate (PEM) to show to a registry that wants to know who calls."),
    _option("key_file", "Its private key (PEM)."),
    _option("token_file", "File with a bearer token, for a registry that knows callers by tokens."),
)


def certificate_options(command: Any) -> Any:
    """Adds the options; what they say is found by `given_credentials`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_credentials() -> "Credentials":
    """What the command line says; where it says nothing, the environment.

    Raises:
        InvalidArgument: BAD_FIELD, one is set without another that it needs.
    """
    from orion_registry.client.credentials import resolve_credentials  # gRPC: see `outcome.connect`

    context = click.get_current_context(silent=True)
    said = {} if context is None else context.meta.get(_META, {})
    found = resolve_credentials(None)
    if "token_file" in said:
        found = replace(found, token="")  # what is typed counts more than ORION_TOKEN
    return replace(found, **said) if said else found
