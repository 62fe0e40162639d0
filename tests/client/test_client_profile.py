"""Profiles of the client: which there are, which one is meant, and that the channel follows."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
import pytest

from orion_registry.client.admin import AdminClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.profile import PROFILES
from orion_registry.errors import InvalidArgument
from orion_registry.server.setting_rows import PROFILES as OF_THE_DAEMON
from orion_registry.server.settings import Settings

PINGS = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
LAN, WAN, DEV = (2_000, 2_000, 2_000), (2_000, 6_000, 6_000), (600_000, 600_000, 600_000)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The PING options of each channel that is opened, as gRPC gets them."""
    seen: list[tuple[int, ...]] = []
    real = grpc.aio.insecure_channel

    def note(target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        assert len(dict(options)) == len(options), "no option twice"
        seen.append(tuple(dict(options)[name] for name in PINGS))
        return real(target, options=options)

    monkeypatch.setattr(grpc.aio, "insecure_channel", note)
    return seen


@pytest.mark.parametrize(
    ("variable", "profile", "expected"),
    [
        (None, "", LAN),
        ("", "", LAN),
        ("wan", "", WAN),
        ("dev", "", DEV),
        (None, "lan", LAN),
        (None, "wan", WAN),
        (None, "dev", DEV),
        ("dev", "wan", WAN),
        ("nonsense", "lan", LAN),
    ],
)
async def test_the_channel_follows(
    opened: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    profile: str,
    expected: tuple[int, ...],
) -> None:
    monkeypatch.delenv("ORION_PROFILE", raising=False)
    if variable is not None:
        monkeypatch.setenv("ORION_PROFILE", variable)
    async with RegistryClient("127.0.0.1:1", profile=profile) as client, AdminClient(profile=profile) as admin:
        _ = client._connection.stub  # the channel opens when it is first needed
        _ = admin._connection.stub
    assert opened == [expected, expected]


def test_a_profile_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what is wrong: the argument, or the variable."""
    with pytest.raises(InvalidArgument, match=r"BAD_FIELD: profile: must be one of lan, wan, dev, got 'WAN'"):
        RegistryClient(profile="WAN")
    monkeypatch.setenv("ORION_PROFILE", "slow")
    with pytest.raises(InvalidArgument, match=r"BAD_FIELD: ORION_PROFILE: must be one of lan, wan, dev, got 'slow'"):
        AdminClient()


@pytest.mark.parametrize("profile", OF_THE_DAEMON)
def test_a_client_is_as_patient_as_the_daemon_is(profile: str) -> None:
    """Else what the daemon would let pass, its own agents would not."""
    assert tuple(PROFILES) == OF_THE_DAEMON
    ours, daemons = PROFILES[profile], Settings(profile=profile)
    patience_s = ours.keepalive_time_s + ours.ping_timeout_s
    assert patience_s >= daemons.keepalive_time_s + daemons.ping_timeout_s
    assert patience_s >= daemons.silence_floor_s
