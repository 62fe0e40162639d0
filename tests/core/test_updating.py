"""core/updating: an update touches what it names, and nothing that makes the service what it is."""

from dataclasses import fields

import pytest

from orion_registry.core.model import ServiceSpec
from orion_registry.core.updating import MUTABLE, merged
from orion_registry.errors import InvalidArgument
from tests.building import make_spec

IDENTITY = {"namespace", "service_id", "agent_id", "service_name", "liveness"}


def test_only_named_fields_change() -> None:
    got = merged(make_spec(port=1, zone="a"), make_spec(port=2, zone="b"), ("port",))
    assert (got.port, got.zone) == (2, "a")


def test_metadata_changes_with_its_scalars() -> None:
    wanted = make_spec(metadata_json='{"a":1.0}', metadata_scalars={"a": 1.0})
    assert merged(make_spec(), wanted, ("metadata",)) == wanted


def test_every_field_of_the_spec_is_mutable_or_identity() -> None:
    mutable = {name for names in MUTABLE.values() for name in names}
    assert mutable | IDENTITY == {field.name for field in fields(ServiceSpec)}
    assert not mutable & IDENTITY


@pytest.mark.parametrize("paths", [(), ("service_id",), ("port", "nonsense"), ("status",), ("liveness",)])
def test_other_paths_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgument, match="update_mask"):
        merged(make_spec(), make_spec(), paths)
