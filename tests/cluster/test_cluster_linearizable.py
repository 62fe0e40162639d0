"""What clients at three members are answered at the same time is linearizable for each natural key."""

import pytest

from tests.cluster.history import record
from tests.cluster.linearizable import violations
from tests.cluster.members import running_members
from tests.etcd.node import needs_etcd

pytestmark = [needs_etcd, pytest.mark.timeout(120)]


async def test_what_clients_of_three_members_are_answered_is_linearizable() -> None:
    async with running_members(3) as members:
        history = await record([member.address for member in members], 4.0, keys=3, clients=9)
    assert sum(one.answer is not None for one in history) > 100
    assert violations(history) == []
