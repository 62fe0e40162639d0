"""What a browser could be made to do against the port is refused."""

import re

import pytest

from orion_registry.web.guard import Hosts
from orion_registry.web.page import FOLDER
from orion_registry.web.site import PATHS
from tests.web.site import running_site

FORGED = ["evil.example", "evil.example:6747", "127.0.0.1.evil.example", "localhost.evil.example", "10.1.2.3:80", ""]


@pytest.mark.parametrize("host", FORGED)
async def test_a_forged_host_is_refused_on_every_path(host: str) -> None:
    async with running_site() as site:
        for path in ("/", *PATHS):
            status, told = await site.get(path, Host=host)
            assert status == 421, path
            assert (told["code"], told["reason"]) == ("PERMISSION_DENIED", "NOT_ALLOWED")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://localhost:1"]
)
async def test_a_foreign_origin_is_refused_on_every_path(origin: str) -> None:
    async with running_site() as site:
        for path in ("/", *PATHS):
            status, _ = await site.get(path, Origin=origin)
            assert status == 403, path


async def test_the_ports_own_pages_are_answered() -> None:
    async with running_site() as site:
        port = site.base.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "LocalHost", "app.localhost"):
            status, _ = await site.get("/api/v1/info", Host=f"{host}:{port}", Origin=f"http://{host.lower()}:{port}")
            assert status == 200, host
        assert (await site.get("/api/v1/info", Host="localhost:9999"))[0] == 200, "a tunnel ends at another port"


@pytest.mark.parametrize(
    ("name", "bound", "host", "allowed"),
    [
        ("127.0.0.1", ["127.0.0.1"], "127.0.0.2", True),
        ("127.0.0.1", ["127.0.0.1"], "[::1]:80", True),
        ("127.0.0.1", ["127.0.0.1"], "192.0.2.1", False),
        ("0.0.0.0", ["0.0.0.0"], "192.0.2.1:80", True),
        ("0.0.0.0", ["0.0.0.0"], "evil.example", False),
        ("::", ["::"], "[2001:db8::1]:80", True),
        ("192.0.2.1", ["192.0.2.1"], "192.0.2.1", True),
        ("192.0.2.1", ["192.0.2.1"], "192.0.2.2", False),
        ("192.0.2.1", ["192.0.2.1"], "127.0.0.1", False),
        ("Orion.example.", ["192.0.2.1"], "orion.example:6747", True),
    ],
)
def test_hosts(name: str, bound: list[str], host: str, allowed: bool) -> None:
    assert Hosts(name, bound).allows(host) is allowed


async def test_every_answer_forbids_what_pages_need_not_do() -> None:
    async with running_site() as site:
        for path in ("/", "/livez", "/metrics", "/api/v1/services", "/nothing", "/api/v1/watch"):
            async with site.session.get(site.base + path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "script-src 'self';" in policy
                assert "style-src 'self';" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert "*" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                assert "Access-Control-Allow-Origin" not in response.headers
                assert "aiohttp" not in response.headers["Server"]


def test_the_page_has_nothing_inline_and_loads_from_its_own_port() -> None:
    for path in FOLDER.glob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), path
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text), path
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text), path


async def test_the_page_is_served_with_its_files_and_known_again() -> None:
    async with running_site() as site:
        for path in FOLDER.iterdir():
            url = site.base + ("/" if path.name == "index.html" else f"/static/{path.name}")
            async with site.session.get(url) as response:
                assert response.status == 200
                assert await response.read() == path.read_bytes()
                tag = response.headers["ETag"]
            async with site.session.get(url, headers={"If-None-Match": tag}) as response:
                assert response.status == 304
        for wrong in ("/static/../site.py", "/static/%2e%2e/site.py", "/static/", "/static/nothing.js"):
            assert (await site.get(wrong))[0] == 404
