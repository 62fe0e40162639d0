"""Checks as they run: host, port and path filled in from the service that they are of."""

from dataclasses import replace

from orion_registry.core.checks.active import Target
from orion_registry.core.checks.spec import CheckSpec, HttpProbe, IcmpProbe, Probe
from orion_registry.core.checks.url import probe_of_url
from orion_registry.core.model import ServiceSpec

OF_URL = "health_check_url"
"""Name of the check that a service has by its health_check_url alone."""


def effective_checks(spec: ServiceSpec) -> tuple[CheckSpec, ...]:
    """The checks of a service, with nothing left to fill in, in the order of its configuration.

    A service with a health_check_url and no checks has one, `OF_URL`. Brackets around an address are dropped.

    Raises:
        InvalidArgument: BAD_FIELD, health_check_url is none. Never for a spec that `check_spec` returned.
    """
    url = probe_of_url("service.health_check_url", spec.health_check_url) if spec.health_check_url else None
    if not spec.checks:
        return () if url is None else (CheckSpec(name=OF_URL, probes=(url,)),)
    return tuple(
        replace(check, probes=tuple(_filled(probe, spec, url) for probe in check.probes)) for check in spec.checks
    )


def target_of(check: CheckSpec) -> Target:
    """Where a check of `effective_checks` goes first: the target that its runs are counted by."""
    first = check.probes[0]
    return first.host, 0 if isinstance(first, IcmpProbe) else first.port


def is_for_url(probe: Probe) -> bool:
    """Whether a probe goes to the service's health_check_url, if there is one."""
    return isinstance(probe, HttpProbe) and not probe.host and not probe.port and not probe.path


def _filled(probe: Probe, spec: ServiceSpec, url: HttpProbe | None) -> Probe:
    if isinstance(probe, HttpProbe):
        if url is not None and is_for_url(probe):
            return replace(probe, host=url.host, port=url.port, https=url.https, path=url.path)
        probe = replace(probe, path=probe.path or "/")
    host = (probe.host or spec.host).strip("[]")
    if isinstance(probe, IcmpProbe):
        return replace(probe, host=host)
    return replace(probe, host=host, port=probe.port or spec.port)
