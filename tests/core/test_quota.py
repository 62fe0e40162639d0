"""core/access/quota: which quota holds in a namespace, and figures that are none."""

import pytest

from orion_registry.core.access.quota import NO_LIMIT, NO_QUOTAS, Quota, Quotas
from orion_registry.errors import InvalidArgument

OWN, OTHERS = Quota(services=2), Quota(streams=5)


def test_a_namespace_has_its_own_quota_as_a_whole_or_that_of_the_others() -> None:
    quotas = Quotas(by_namespace={"payments": OWN, "*": OTHERS})
    assert quotas.of("payments") == OWN, "nothing of the others' is mixed in"
    assert quotas.of("default") == OTHERS
    assert Quotas(by_namespace={"payments": OWN}).of("default") == NO_LIMIT
    assert NO_QUOTAS.of("default") == Quota(services=0, streams=0, watches=0, registrations_per_minute=0)


@pytest.mark.parametrize("name", ["services", "streams", "watches", "registrations_per_minute"])
@pytest.mark.parametrize("value", [-1, 1_000_000_001, True, 1.5, "5"])
def test_a_figure_that_is_none_is_named(name: str, value: object) -> None:
    rule = r"must be a whole number of 0 \(no limit\) to 1,000,000,000"
    with pytest.raises(InvalidArgument, match=rf"quota\.{name}: {rule}"):
        Quota(**{name: value})  # type: ignore[arg-type] # what a file may hold


def test_a_namespace_that_is_none_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"quota\.namespace: must be '\*', or 1 to 128"):
        Quotas(by_namespace={"not one": OWN})
