"""Credentials: from arguments or the environment, whole or refused, and read again when their files change."""

import asyncio
import shutil
from pathlib import Path

import pytest

from orion_registry import Credentials, RegistryClient
from orion_registry.client.credentials import PLAINTEXT, resolve_credentials
from orion_registry.client.failures import Unreachable
from orion_registry.errors import InvalidArgument
from tests.server.tls import Certs, running_tls


def test_the_environment_says_what_the_program_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_credentials(None) is PLAINTEXT
    monkeypatch.setenv("ORION_CA_FILE", "ca")
    monkeypatch.setenv("ORION_SERVER_NAME", "name")
    assert resolve_credentials(None) == Credentials(ca_file="ca", server_name="name")
    assert resolve_credentials(PLAINTEXT) is PLAINTEXT


@pytest.mark.parametrize(
    ("half", "missing"),
    [({"cert_file": "c", "ca_file": "a"}, "key_file"), ({"key_file": "k"}, "cert_file"),
     ({"cert_file": "c", "key_file": "k"}, "ca_file")],
)  # fmt: skip
def test_half_is_refused(half: dict[str, str], missing: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^BAD_FIELD: {missing}: must be given with"):
        Credentials(**half)  # type: ignore[arg-type] # texts alone


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with RegistryClient("127.0.0.1:1", credentials=Credentials(ca_file=str(tmp_path / "none"))) as client:
        with pytest.raises(InvalidArgument, match=r"ca_file: must be a file that can be read \(no such file"):
            await client.get("any")


async def test_a_renewed_certificate_is_used_without_a_new_client(tmp_path: Path) -> None:
    """Its own has ended, or is of the wrong authority: after the files were replaced it gets in."""
    certs, strangers = Certs(tmp_path / "ours"), Certs(tmp_path / "theirs")
    good = certs.client("calc")
    foreign = strangers.client("calc", ca=certs.authority.file)
    async with running_tls(certs) as daemon, RegistryClient(daemon.address, credentials=foreign) as client:
        with pytest.raises(Unreachable):
            await client.discover()
        shutil.copyfile(good.cert_file, foreign.cert_file)
        shutil.copyfile(good.key_file, foreign.key_file)
        for _ in range(50):
            try:
                assert (await client.discover()).services == ()
                break
            except Unreachable:
                await asyncio.sleep(0.1)
        else:
            raise AssertionError("it still shows the old certificate")
