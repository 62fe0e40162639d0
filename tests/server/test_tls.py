"""Certificates: who is let in, as whom, and what happens when the files change."""

import asyncio
import logging
import os
import socket
import ssl
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orion_registry import RegistryClient, ServiceSpec
from orion_registry.client.admin import AdminClient
from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.client.failures import Unreachable
from orion_registry.errors import PermissionDenied, Reason, Unauthenticated
from orion_registry.server.certificates import WARN_S, Certificates
from orion_registry.server.development_ca import DevelopmentAuthority
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError
from orion_registry.testing.daemon import running_daemon
from tests.server.tls import Certs, running_tls

SPEC = ServiceSpec(agent_id="calc", service_name="calc", host="127.0.0.1", port=80)


def shown_serial(address: str, credentials: Credentials) -> int:
    """The serial number of the certificate that a new connection is shown."""
    from cryptography import x509

    context = ssl.create_default_context(cafile=credentials.ca_file)
    context.load_cert_chain(credentials.cert_file, credentials.key_file)
    context.set_alpn_protocols(["h2"])
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does unasked
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), 5.0) as line,
        context.wrap_socket(line, server_hostname="localhost") as tls,
    ):
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"").serial_number


async def told(address: str, credentials: Credentials) -> str:
    """What a client is told that cannot connect."""
    async with AdminClient(address, credentials=credentials, timeout_s=5.0) as admin:
        with pytest.raises(Unreachable) as failed:
            await admin.server_info()
    return failed.value.message


async def test_a_service_belongs_to_whom_the_certificate_names(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    owner, thief = certs.client("spiffe://fleet/calc"), certs.client("spiffe://fleet/thief")
    async with (
        running_tls(certs) as daemon,
        RegistryClient(daemon.address, credentials=owner) as calc,
        RegistryClient(daemon.address, credentials=thief) as other,
    ):
        done = await calc.register(SPEC)
        record = daemon.coordinator.registry.get(done.ref.service_id).snapshot.record
        assert (record.identity, record.address) == ("spiffe://fleet/calc", "127.0.0.1")
        with pytest.raises(PermissionDenied) as refused:
            await other.unregister(done.ref)
        assert refused.value.reason is Reason.NOT_OWNER
        async with calc.session("calc", [SPEC]) as session:
            assert session.ref().service_id == done.ref.service_id


async def test_who_has_no_certificate_of_the_authority_is_kept_out_and_told_why(tmp_path: Path) -> None:
    certs, strangers = Certs(tmp_path / "ours"), Certs(tmp_path / "theirs")
    ca = certs.authority.file
    foreign = strangers.client("calc", ca=ca)
    async with running_tls(certs) as daemon:
        address = daemon.address
        assert "if it speaks TLS, set ca_file (ORION_CA_FILE)" in await told(address, PLAINTEXT)
        assert "another certificate of yours" in await told(address, Credentials(ca_file=str(ca)))
        assert "another certificate of yours" in await told(address, foreign)
        theirs = Credentials(ca_file=str(strangers.authority.file))
        assert "of no authority in your ca_file" in await told(address, theirs)
        named = Credentials(ca_file=str(ca), server_name="elsewhere.example")
        assert "for another name" in await told(address, named)
    async with running_daemon() as plain:
        assert "speaks plaintext there" in await told(plain.address, certs.client("calc"))


async def test_a_certificate_without_a_name_is_nobody(tmp_path: Path) -> None:
    """Only URI and DNS names are identities: an IP address is where somebody is."""
    certs = Certs(tmp_path)
    async with (
        running_tls(certs) as daemon,
        RegistryClient(daemon.address, credentials=certs.client("10.0.0.1", "nobody")) as client,
    ):
        with pytest.raises(Unauthenticated) as refused:
            await client.register(SPEC)
        assert refused.value.reason is Reason.NO_IDENTITY


async def test_a_unix_socket_stays_plaintext_and_is_its_owners(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    async with running_tls(certs, listen=("127.0.0.1:0", f"unix:{tmp_path}/s")) as daemon:
        async with RegistryClient(daemon.addresses[0], credentials=certs.client("calc")) as client:
            done = await client.register(SPEC)
        async with RegistryClient(f"unix:{tmp_path}/s", credentials=certs.client("calc")) as local:
            await local.unregister(done.ref)


async def test_a_new_certificate_is_taken_and_no_stream_is_lost(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    calc = certs.client("calc")
    async with running_tls(certs) as daemon, RegistryClient(daemon.address, credentials=calc) as client:
        async with client.session("calc", [SPEC]):
            streams = daemon.coordinator.streams
            before = await asyncio.to_thread(shown_serial, daemon.address, calc)
            certs.authority.issue("registry", ["localhost", "127.0.0.1"])
            for _ in range(100):
                await asyncio.sleep(0.1)
                if await asyncio.to_thread(shown_serial, daemon.address, calc) != before:
                    break
            else:
                raise AssertionError("the old certificate is still shown after 10 s")
            assert daemon.coordinator.streams == streams
        assert [alarm.name for alarm in daemon.coordinator.alarms.held] == ["CERTIFICATE"]  # it ends in two days


def test_what_is_broken_takes_no_certificates_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certs = Certs(tmp_path, days=90)
    found = Certificates(Settings(**certs.settings))
    assert found.trouble(0.0) == ""
    first = found._material
    whole = certs.server_key.read_bytes()
    certs.server_key.write_bytes(b"half a k")
    with caplog.at_level(logging.WARNING, "orion_registry"):
        found.look(0.0)
        assert found.trouble(0.0) == ""  # it may be half written
        found.look(0.0)
        found.look(0.0)
    assert [record.message for record in caplog.records].count("new certificate refused, the old one goes on") == 1
    assert "tls_key_file: must be a private key (PEM)" in found.trouble(0.0)
    assert found._material is first
    certs.server_key.unlink()
    found.look(0.0)
    found.look(0.0)
    assert "a file that can be read" in found.trouble(0.0)
    certs.server_key.write_bytes(whole)
    os.chmod(certs.server_key, 0o600)
    assert found.look(0.0)
    assert not found.look(0.0)
    assert found.trouble(0.0) == ""
    assert found._material is not first


def test_one_that_has_ended_takes_no_place(tmp_path: Path) -> None:
    certs = Certs(tmp_path, days=90)
    found = Certificates(Settings(**certs.settings))
    DevelopmentAuthority(tmp_path, days=0).issue("registry", ["localhost"])
    for _ in range(2):
        found.look(time.time() + 1.0)
    assert "tls_cert_file: must be a certificate that has not ended, got one that ended on 20" in found.trouble(0.0)


def test_its_end_is_an_alarm_in_time(tmp_path: Path) -> None:
    certs = Certs(tmp_path, days=90)
    found = Certificates(Settings(**certs.settings))
    ends = found._material.ends_wall
    assert found.trouble(ends - WARN_S - 1.0) == ""
    assert found.trouble(ends - WARN_S).startswith("the certificate ends on 20")
    assert "has" not in found.trouble(ends - 1.0)
    assert found.trouble(ends).endswith("nobody new can connect")


def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    certs, others = Certs(tmp_path / "a"), Certs(tmp_path / "b")
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("no PEM")
    wrong = {
        "tls_key_file": (str(others.server_key), "the key of the certificate in"),
        "tls_cert_file": (str(rubbish), "a file of certificates"),
        "tls_client_ca_file": (str(tmp_path / "none"), "a file that can be read, got"),
    }
    for name, (path, rule) in wrong.items():
        with pytest.raises(SettingError, match=rf"{name}: must be {rule}"):
            Certificates(Settings(**{**certs.settings, name: path}))
    weak = ed25519.Ed25519PrivateKey.generate()
    rubbish.write_bytes(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SettingError, match="tls_key_file: must be RSA of at least 2,048 bits, or ECDSA on"):
        Certificates(Settings(**{**certs.settings, "tls_key_file": str(rubbish)}))
    for half in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"):
        with pytest.raises(SettingError, match=r"tls_\w+: must be set with"):
            Settings(**{half: "x"})  # type: ignore[arg-type] # one of three


def test_a_key_that_others_may_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certs = Certs(tmp_path)
    os.chmod(certs.server_key, 0o644)
    Certificates(Settings(**certs.settings))
    assert "others may read the private key: chmod 600" in caplog.text
