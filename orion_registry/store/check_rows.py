"""Active checks as plain values for JSON."""

from dataclasses import asdict, fields
from typing import Any, TypeVar

from orion_registry.core.checks.spec import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    Probe,
    ProbeKind,
    TcpProbe,
)

_KINDS: dict[ProbeKind, type[Probe]] = {
    probe.kind: probe for probe in (HttpProbe, TcpProbe, IcmpProbe, GrpcProbe, CustomProbe)
}
_CHECK = tuple(field.name for field in fields(CheckSpec) if field.name != "probes")


def check_to_plain(check: CheckSpec) -> dict[str, Any]:
    """A check as a JSON object."""
    probes = [{"kind": probe.kind.name, **asdict(probe)} for probe in check.probes]
    return {name: getattr(check, name) for name in _CHECK} | {"probes": probes}


def check_from_plain(plain: dict[str, Any]) -> CheckSpec:
    """The check of such an object.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    probes = tuple(_probe(dict(probe)) for probe in plain["probes"])
    return _typed(CheckSpec(**{**plain, "probes": probes}))


def _probe(plain: dict[str, Any]) -> Probe:
    probe = _KINDS[ProbeKind[plain.pop("kind")]]
    if "headers" in plain:
        plain["headers"] = tuple((str(name), str(value)) for name, value in plain["headers"])
    return _typed(probe(**plain))


T = TypeVar("T", CheckSpec, Probe)


def _typed(made: T) -> T:
    """JSON knows fewer types than checks do: nothing but the right ones may pass."""
    for field in fields(made):
        value = getattr(made, field.name)
        if not _fits(value, field.type):
            raise TypeError(f"{type(made).__name__}.{field.name} is {type(value).__name__}")
    return made


def _fits(value: object, kind: object) -> bool:
    if kind in (int, bool, str):
        return type(value) is kind
    if kind in (float, float | None):
        return type(value) in (int, float) or (value is None and kind is not float)
    return isinstance(value, tuple)
