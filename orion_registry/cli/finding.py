"""One service that a person means: by its service_id, or by its agent and name."""

from dataclasses import replace
from typing import TYPE_CHECKING

from orion_registry.cli.overlay_target import read_which
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason
from orion_registry.wire.service import Service

if TYPE_CHECKING:
    from orion_registry.client.client import RegistryClient

ONE_HELP = """\
WHOM is one service, ready or not

\b
  SERVICE_ID                  as `orion-registry services` and `orion-registry events` show it
  AGENT/NAME                  of an agent, by the service's name; NAMESPACE/AGENT/NAME in another namespace
"""


async def find_one(client: "RegistryClient", whom: str) -> Service:
    """The service that a word means.

    Raises:
        NotFound: there is none, or more than one.
        click.UsageError: it is none of the forms.
    """
    if "/" not in whom and "=" not in whom:
        try:
            return await client.get(whom)
        except NotFound as error:
            raise NotFound(error.reason, f"{error.message}; `orion-registry services --all` lists all") from None
    selector = read_which(whom)
    found = (await client.discover(with_unready(selector))).services
    if not found:
        said = f"no service {whom} is registered; `orion-registry services --all` lists all"
        raise NotFound(Reason.NO_SUCH_SERVICE, said)
    if len(found) > 1:
        ids = ", ".join(service.service_id for service in found[:10])
        raise NotFound(Reason.NO_SUCH_SERVICE, f"{whom} is {len(found):,} services: name one by its service_id: {ids}")
    return found[0]


def with_unready(selector: Selector) -> Selector:
    """The same query, whatever the status."""
    return replace(selector, include_not_ready=True)
