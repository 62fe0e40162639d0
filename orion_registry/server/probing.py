"""The prober that an operator's settings ask for; apart from them, so that `--help` loads no gRPC."""

import ipaddress

from orion_registry.errors import InvalidArgument
from orion_registry.probes.prober import ProbeConfig, Prober
from orion_registry.server.check_settings import CheckSettings, callables_of
from orion_registry.server.start_error import SettingError


def prober_of(settings: CheckSettings) -> Prober:
    """What makes the runs of checks.

    Raises:
        SettingError: check_ca_file cannot be read, or holds no certificates.
    """
    config = ProbeConfig(
        allow=tuple(map(ipaddress.ip_network, settings.check_allow)),
        ca_file=settings.check_ca_file,
        custom=callables_of(settings),
    )
    try:
        return Prober(config)
    except InvalidArgument:
        rule = "a readable PEM file with certificates"
        raise SettingError("check_ca_file", rule, settings.check_ca_file) from None
