"""The cache: what was saved is loaded, and anything else is refused: damage, other versions, other selectors."""

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.client import view_file
from orion_registry.client.view_file import load_view, save_view
from orion_registry.core.model import LivenessMode, ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.errors import Unavailable
from orion_registry.wire.service import Service

FULL = Service(
    service_id="s-1",
    agent_id="a",
    service_name="n",
    service_type="t",
    namespace="ns",
    host="::1",
    port=7,
    protocol="grpc",
    version="2",
    zone="z",
    capabilities=("c", "d"),
    tags=("x",),
    metadata={"m": [1.0, {"k": None}]},
    weight=0.5,
    max_concurrency=4,
    health_check_url="http://h",
    liveness=LivenessMode.TTL,
    liveness_ttl_s=2.5,
    retention_s=0.0,
    silence_timeout_s=9.0,
    stuck_after_s=1.0,
    status=ServiceStatus.UNHEALTHY,
    reasons=(StatusReason(code=StatusReasonCode.SILENT, since_wall=12.5),),
    ready=False,
    registration_time=3.0,
    epoch=2**40,
    generation=8,
    overlay_weight=0.0,
)


def test_a_view_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "view"
    other = Service(service_id="s-2", agent_id="b", service_name="n")
    save_view(path, "sel", [FULL, other], 1_700_000_000.5)
    saved = load_view(path, "sel")
    assert saved.services == (FULL, other)
    assert saved.saved_at == 1_700_000_000.5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


@settings(max_examples=60)
@given(data=st.data())
def test_any_byte_that_changed_or_is_missing_is_noticed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("view") / "view"
    save_view(path, "sel", [FULL], 1.0)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        flipped = whole[at] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
    if b"\n" not in whole[:at] and path.read_bytes().split() == whole.split():
        return  # white space of its first line
    with pytest.raises(Unavailable, match=str(path)):
        load_view(path, "sel")


def rewritten(path: Path, **changes: object) -> None:
    """Changes the document as another SDK would: with a checksum that is right."""
    document = json.loads(path.read_bytes().split(b"\n", 1)[1]) | changes
    body = json.dumps(document).encode()
    path.write_bytes(f"{view_file.NAME} 1 {hashlib.sha256(body).hexdigest()}\n".encode() + body)


def test_another_version_another_selector_and_nonsense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "view"
    save_view(path, "sel", [FULL], 1.0)
    with pytest.raises(Unavailable, match="another selector"):
        load_view(path, "other")
    path.write_bytes(path.read_bytes().replace(b" 1 ", b" 2 ", 1))
    with pytest.raises(Unavailable, match="version 2"):
        load_view(path, "sel")
    path.write_text("hello")
    with pytest.raises(Unavailable, match="no saved view"):
        load_view(path, "sel")
    save_view(path, "sel", [FULL], 1.0)
    rewritten(path, services=[{"service_id": "x"}])
    with pytest.raises(Unavailable, match="cannot be understood"):
        load_view(path, "sel")
    with pytest.raises(FileNotFoundError):
        load_view(tmp_path / "none", "sel")


def test_what_a_later_sdk_added_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "view"
    save_view(path, "sel", [FULL], 1.0)
    [told] = json.loads(path.read_bytes().split(b"\n", 1)[1])["services"]
    told |= {"novelty": 1, "status": 99, "reasons": [[99, 1.0], *told["reasons"]]}
    rewritten(path, services=[told])
    assert load_view(path, "sel").services == (replace(FULL, status=ServiceStatus.UNKNOWN),)


def test_a_save_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "view"
    save_view(path, "sel", [FULL], 1.0)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_view(path, "sel", [], 2.0)
    assert load_view(path, "sel").services == (FULL,)
    assert list(tmp_path.iterdir()) == [path]
