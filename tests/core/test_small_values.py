"""core/keys, credentials, config, commands, entry, facts, frames, model, limits: values and their small rules."""

import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

import orion_registry
from orion_registry.core import limits
from orion_registry.core.checks.spec import CheckSpec, TcpProbe
from orion_registry.core.config import RegistryConfig
from orion_registry.core.credentials import hash_secret, payload_hash, secret_matches
from orion_registry.core.entry import Pulse
from orion_registry.core.keys import derived_service_id, natural_key, service_id_of
from orion_registry.core.model import LivenessMode, ServiceSpec, ServiceStatus
from orion_registry.errors import CLASS_OF, InvalidArgument, Reason, Said, bad_field, shown
from tests.building import make_entry, make_record, make_spec

# keys


def test_a_derived_id_is_the_same_for_ever() -> None:
    """It is a promise to agents: the same key has the same id in every version. Never edit this value."""
    assert derived_service_id("default", "agent-1", "calc") == "97a3ce63-b2fc-5e11-8683-624df9018040"


def test_an_id_is_the_given_one_or_derived_from_the_key() -> None:
    assert service_id_of(make_spec(service_id="mine")) == "mine"
    ids = {service_id_of(make_spec(namespace=n, agent_id=a, service_name=s)) for n in "ab" for a in "ab" for s in "ab"}
    assert len(ids) == 8
    assert natural_key(make_spec()) == ("default", "agent", "calc")


# credentials


def test_only_the_right_secret_matches_its_hash() -> None:
    hashed = hash_secret("secret")
    assert len(hashed) == 64
    assert secret_matches("secret", hashed)
    assert not secret_matches("Secret", hashed)
    assert not secret_matches("", hashed)
    assert not secret_matches("\ud800", hashed)


def test_the_hash_of_a_payload_is_the_same_for_ever() -> None:
    """It is stored: after an upgrade a retry is to be known for one. Never edit these values."""
    spec = ServiceSpec(agent_id="a", service_name="s", tags=("x",), weight=0.5)
    assert payload_hash(spec, "k" * 32, False) == "d755dc00be15598ef66845609bd72d9f1bb0945c7d6e26f4888cfb96385fa3b1"
    later = ServiceSpec(agent_id="a", service_name="s", liveness=LivenessMode.TTL, stuck_after_s=9.0)
    assert payload_hash(later, "", True) == "060864839f5c62e0b6c284f89bfc2043280c189328b6f5969e12a1485e494fee"
    both = replace(later, silence_timeout_s=4.0)
    assert payload_hash(both, "", True) == "239b1c65869d55dfa9d72742b16c3bf27f76becc1218ce58cbf8f2e921dc2217"


CHANGES: list[dict[str, Any]] = [
    {"checks": (CheckSpec(name="tcp", probes=(TcpProbe(),)),)},
    {"port": 1},
    {"tags": ("a",)},
    {"weight": 2.0},
    {"retention_s": 0.0},
    {"metadata_json": '{"a":1.0}'},
    {"service_id": "x"},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_any_change_of_the_payload_changes_its_hash(change: dict[str, Any]) -> None:
    spec = make_spec()
    assert payload_hash(replace(spec, **change), "s", False) != payload_hash(spec, "s", False)


def test_secret_and_takeover_belong_to_the_payload() -> None:
    spec = make_spec()
    hashes = {payload_hash(spec, secret, takeover) for secret in ("", "s") for takeover in (False, True)}
    assert len(hashes) == 4
    assert payload_hash(make_spec(), "s", True) in hashes


# config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("retention_s", -1),
        ("not_seen_s", 9.9),
        ("reconnect_grace_s", 0),
        ("go_away_s", 61),
        ("beat_budget", 0),
        ("beats_missed", 1),
        ("epoch_block", 4_095),
        ("history", 0),
        ("views", 0),
        ("retention_s", float("nan")),
    ],
)
def test_config_is_checked_when_made(field: str, value: float) -> None:
    with pytest.raises(InvalidArgument, match=f"^BAD_FIELD: {field}: must be"):
        RegistryConfig(**{field: value})  # type: ignore[arg-type]  # a table of fields of several types


def test_config_bounds_name_every_field() -> None:
    from orion_registry.core.config import _BOUNDS

    assert [*(name for name, _, _ in _BOUNDS), "custom_checks"] == list(RegistryConfig.__slots__)


def test_custom_checks_have_names_that_an_agent_can_give() -> None:
    assert RegistryConfig(custom_checks=frozenset({"db.up"})).custom_checks == {"db.up"}
    with pytest.raises(InvalidArgument, match=r"^BAD_FIELD: custom_checks: must be 1 to 128"):
        RegistryConfig(custom_checks=frozenset({"db up"}))


# entry, model, limits, errors


def test_an_entry_tells_when_it_was_last_heard_of() -> None:
    entry, seen = make_entry(), []
    for pulse in (None, Pulse(1.0, 2.0)):
        entry.pulse = pulse
        seen.append(entry.last_beat_wall)
    assert seen == [None, 2.0]
    assert entry.self_report is ServiceStatus.UNSPECIFIED


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        make_spec().port = 1  # type: ignore[misc]  # that is the point
    assert make_record().service_id == "s"


def test_no_limit_lets_a_derived_id_or_a_uuid_fail() -> None:
    assert limits.ID.fullmatch(derived_service_id("n", "a", "s"))


def test_every_reason_has_one_class() -> None:
    assert set(CLASS_OF) == set(Reason)


def test_a_bad_field_shows_long_values_shortened() -> None:
    message = bad_field("f", "short", "x" * 1_000).message
    assert message.startswith("f: must be short, got 'xxx")
    assert message.endswith("… (1,000 characters)"), "of the value, without its quotes"
    assert len(bad_field("f", "short", Said("x" * 1_000)).message) < 130


@pytest.mark.parametrize(
    ("got", "text"),
    [
        ("3 bytes", "'3 bytes'"),
        (Said("3 bytes"), "3 bytes"),
        (70_000, "70,000"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (True, "True"),
        (b"x", "b'x'"),
        ("\ud800\n", r"'\ud800\n'"),
    ],
)
def test_values_are_shown_as_they_are_and_words_as_words(got: object, text: str) -> None:
    assert shown(got) == text


def test_a_status_is_its_number_and_its_word() -> None:
    words = ["unspecified", "healthy", "unhealthy", "starting", "stopping", "unknown"]
    assert [(int(status), status.value) for status in ServiceStatus] == list(enumerate(words))
    assert all(ServiceStatus(number) is ServiceStatus(word) for number, word in enumerate(words))
    assert repr(ServiceStatus.HEALTHY) == "<ServiceStatus.HEALTHY: 1>"
    assert pickle.loads(pickle.dumps(ServiceStatus.HEALTHY)) is ServiceStatus.HEALTHY
    for no_status in (6, "well", None):
        with pytest.raises(ValueError, match="not a valid ServiceStatus"):
            ServiceStatus(no_status)  # type: ignore[arg-type]


def test_every_public_name_is_where_the_package_says() -> None:
    assert {getattr(orion_registry, name).__module__ for name in orion_registry.__all__ if name != "__version__"}
    assert set(orion_registry.__all__) <= set(dir(orion_registry))
    assert not hasattr(orion_registry, "nothing_of_the_kind")
