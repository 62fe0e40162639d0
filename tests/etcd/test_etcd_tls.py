"""TLS and users at a real etcd: what is refused says what to do, and new files and tokens are taken on the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from orion_registry.etcd.client import Etcd, Put
from orion_registry.etcd.config import EtcdConfig
from orion_registry.etcd.failures import EtcdError, EtcdRefused, EtcdUnreachable
from orion_registry.etcd.mirror import Mirror
from orion_registry.etcd.watch import Change
from tests.etcd.node import Node, needs_etcd, running_node
from tests.etcd.test_etcd import client, mirror_of, put, until
from tests.server.tls import Certs

pytestmark = [needs_etcd, pytest.mark.timeout(120)]


def tls_options(certs: Certs) -> tuple[str, ...]:
    """Of an etcd that shows a certificate and wants one of the same authority."""
    ca = str(certs.authority.file)
    return (
        "--cert-file", str(certs.server_cert), "--key-file", str(certs.server_key),
        "--trusted-ca-file", ca, "--client-cert-auth",
    )  # fmt: skip


def shown_by(certs: Certs, ca: Path | None = None) -> dict[str, Any]:
    """Of a client with a certificate of this authority."""
    cert, key = certs.authority.issue("member", ["member.example"])
    return {"ca_file": str(ca or certs.authority.file), "cert_file": str(cert), "key_file": str(key)}


@asynccontextmanager
async def running_tls_node(directory: Path, certs: Certs, *options: str) -> AsyncIterator[Node]:
    node = Node(directory, options=(*tls_options(certs), *options), scheme="https")
    await node.start()
    try:
        await node.ready(**shown_by(certs))
        yield node
    finally:
        await node.kill()


async def refusal(config: EtcdConfig) -> str:
    etcd = Etcd(config)
    try:
        with pytest.raises(EtcdError) as refused:
            await etcd.get("/t/a")
        assert isinstance(refused.value, EtcdUnreachable)
        return str(refused.value)
    finally:
        await etcd.close()


async def test_etcd_is_spoken_to_by_mutual_tls(tmp_path: Path) -> None:
    certs = Certs(tmp_path / "certs")
    async with (
        running_tls_node(tmp_path, certs) as node,
        client(node.address, **shown_by(certs)) as etcd,
        client(node.address, **shown_by(certs)) as other,
    ):
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend):
            await put(other, "/t/a", "1")
            await until(lambda: [change.key for change in seen] == ["/t/a"])


async def test_what_tls_refuses_says_what_to_do(tmp_path: Path) -> None:
    certs, others = Certs(tmp_path / "certs"), Certs(tmp_path / "others")
    async with running_tls_node(tmp_path, certs) as node, running_node(made(tmp_path / "plain")) as plain:
        endpoints, ours = (node.address,), shown_by(certs)
        wrong_ca = await refusal(EtcdConfig(endpoints=endpoints, **shown_by(certs, others.authority.file)))
        assert "no authority in etcd_ca_file" in wrong_ca
        no_certificate = await refusal(EtcdConfig(endpoints=endpoints, ca_file=ours["ca_file"]))
        assert "set etcd_cert_file and etcd_key_file" in no_certificate
        others_certificate = EtcdConfig(endpoints=endpoints, **shown_by(others, certs.authority.file))
        assert "set etcd_cert_file and etcd_key_file" in await refusal(others_certificate)
        assert "if it speaks TLS, set etcd_ca_file" in await refusal(EtcdConfig(endpoints=endpoints))
        assert "speaks plaintext there" in await refusal(EtcdConfig(endpoints=(plain.address,), **ours))


async def test_new_files_are_taken_while_a_watch_goes_on_and_broken_ones_are_not(tmp_path: Path) -> None:
    certs = Certs(tmp_path / "certs")
    shown = shown_by(certs)
    async with running_tls_node(tmp_path, certs) as node, client(node.address, **shown) as etcd:
        seen: list[Change] = []
        async with mirror_of(etcd, seen.extend) as mirror:
            await put(etcd, "/t/a", "1")
            first = await etcd.endpoints.channel()
            mend = break_file(shown["key_file"])
            await put(etcd, "/t/a", "2")
            assert await etcd.endpoints.channel() is first
            mend()
            shown_by(certs)
            await put(etcd, "/t/a", "3")
            assert await etcd.endpoints.channel() is not first
            await until(lambda: [change.value for change in seen] == [b"1", b"2", b"3"])
            assert mirror.relists == 0


def break_file(path: str) -> Callable[[], object]:
    """Writes rubbish into a file; returns what mends it."""
    file = Path(path)
    before = file.read_bytes()
    file.write_text("rubbish")
    return lambda: file.write_bytes(before)


async def add_user(node: Node, password: str = "secret") -> None:
    for command in (f"user add root:{password}", "user grant-role root root", "auth enable"):
        await node.ctl(*command.split())


async def test_what_a_user_is_refused_for_says_what_to_do(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        await add_user(node)
        async with client(node.address) as nobody:
            with pytest.raises(EtcdRefused, match="set etcd_user and etcd_password_file"):
                await nobody.get("/t/a")
        async with client(node.address, user="root", password="wrong") as wrong:
            with pytest.raises(EtcdRefused, match="check etcd_user and etcd_password_file"):
                await wrong.get("/t/a")


async def test_a_signed_token_that_runs_out_is_asked_for_anew_by_one_of_all_calls(tmp_path: Path) -> None:
    """Signed tokens (JWT) run out however much they are used; and change with every change of users and roles."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    private, public = tmp_path / "jwt.pem", tmp_path / "jwt.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    token = f"jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=2s"
    async with running_node(tmp_path, "--auth-token", token) as node:
        await add_user(node)
        password = tmp_path / "password"
        password.write_text("secret\n")
        async with client(node.address, user="root", password_file=str(password)) as etcd:
            seen: list[Change] = []
            logins = count_logins(etcd)
            mirror: Mirror
            async with mirror_of(etcd, seen.extend) as mirror:
                await put(etcd, "/t/a", "1")
                await asyncio.sleep(2.5)
                before = len(logins)
                await asyncio.gather(*(etcd.commit({}, [Put(f"/t/{number}", b"")]) for number in range(20)))
                assert len(logins) == before + 1
                await node.ctl("--user", "root:secret", "role", "add", "more")  # every token is of old now
                await put(etcd, "/t/b", "2")
                await node.ctl("--user", "root:secret", "user", "passwd", "root", "--interactive=false", told="new\n")
                password.write_text("new\n")
                await put(etcd, "/t/c", "3")
                await until(lambda: {"/t/a", "/t/b", "/t/c", "/t/19"} <= {change.key for change in seen})
                assert mirror.relists == 0


def count_logins(etcd: Etcd) -> list[str]:
    """Has each login noted from now on."""
    logins: list[str] = []
    log_in = etcd.endpoints._log_in

    async def noted() -> str:
        logins.append("")
        return await log_in()

    etcd.endpoints._log_in = noted  # type: ignore[method-assign]  # of a test
    return logins


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory
