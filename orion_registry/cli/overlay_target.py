"""Whom a command means: a service by its id or by its agent and name, or all that match some terms."""

from typing import Any

import click

from orion_registry.core.overlay import ServiceKey
from orion_registry.core.selector import Selector

TERMS = {
    "namespace": "namespace",
    "agent": "agent_id",
    "name": "service_name",
    "type": "service_type",
    "zone": "zone",
    "capability": "capabilities",
    "tag": "tags",
}
_MANY = frozenset({"capabilities", "tags"})
_NATURAL, _WITH_NAMESPACE = 2, 3
_EMPTY = "{what}: {text!r} is empty, or has an empty part: a variable that is not set?"

TARGET_HELP = """\
WHOM is one service, or all that match now (whatever their status):

\b
  SERVICE_ID                  as GetService and `orion-registry events` show it
  AGENT/NAME                  of an agent, by the service's name; NAMESPACE/AGENT/NAME in another namespace.
                              It need not be registered: what is set holds once it comes
  TERM=VALUE[,TERM=VALUE]     all that match: agent, name, capability, tag, zone, type, namespace
"""


def read_target(text: str) -> ServiceKey | Selector:
    """What a person means by a word.

    Raises:
        click.UsageError: it is none of the forms.
    """
    if "=" in text:
        return _selector(text)
    parts = text.split("/")
    if not all(part.strip() for part in parts):
        raise click.UsageError(_EMPTY.format(what="WHOM", text=text))
    if len(parts) == 1:
        return ServiceKey(service_id=text)
    if len(parts) == _NATURAL:
        return ServiceKey(agent_id=parts[0], service_name=parts[1])
    if len(parts) == _WITH_NAMESPACE:
        return ServiceKey(namespace=parts[0], agent_id=parts[1], service_name=parts[2])
    raise click.UsageError(f"WHOM: {text!r} is no SERVICE_ID, AGENT/NAME, NAMESPACE/AGENT/NAME or TERM=VALUE")


def check_one(whom: str) -> None:
    """Refuses a word that can mean no service, before anybody is asked.

    Raises:
        click.UsageError: it is none of the forms.
    """
    read_target(whom)


WHICH_HELP = """\
WHICH is

\b
  TERM=VALUE[,TERM=VALUE]     all that match: agent, name, capability, tag, zone, type, namespace
  AGENT/NAME                  of an agent, by the service's name; NAMESPACE/AGENT/NAME in another namespace
"""


def read_which(text: str | None) -> Selector:
    """The services that a person means by a word; None: those of the namespace default.

    Raises:
        click.UsageError: it is none of the forms.
    """
    if text is None:
        return Selector()
    if "=" in text:
        return _selector(text, "WHICH")
    parts = text.split("/")
    if not all(part.strip() for part in parts):
        raise click.UsageError(_EMPTY.format(what="WHICH", text=text))
    if len(parts) == _NATURAL:
        return Selector(agent_id=parts[0], service_name=parts[1])
    if len(parts) == _WITH_NAMESPACE:
        return Selector(namespace=parts[0], agent_id=parts[1], service_name=parts[2])
    said = f"WHICH: {text!r} is no TERM=VALUE, AGENT/NAME or NAMESPACE/AGENT/NAME; one service: orion-registry get"
    raise click.UsageError(said)


def _selector(text: str, what: str = "WHOM") -> Selector:
    terms: dict[str, Any] = {}
    for pair in text.split(","):
        term, _, value = pair.partition("=")
        field = TERMS.get(term)
        if field is None:
            raise click.UsageError(f"{what}: {term!r} is no term; one of {', '.join(TERMS)}")
        if not value:
            raise click.UsageError(f"{what}: {term} needs a value: {term}=VALUE")
        if field in _MANY:
            terms[field] = (*terms.get(field, ()), value)
        elif field in terms:
            raise click.UsageError(f"{what}: {term} is given twice")
        else:
            terms[field] = value
    return Selector(**terms)
