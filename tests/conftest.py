"""For all tests: what a slow machine, or the shell that started them, must not change; and which come first."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("orion", deadline=None)  # no example fails because the machine was slow
settings.register_profile("quick", settings.get_profile("orion"), max_examples=10)  # scripts/test; .ci/run has all
settings.load_profile("orion")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

WAITING_ROOMS = ("e2e", "cluster", "faults", "etcd", "security", "cli", "server", "client", "manager", "bench")
"""Their files wait on processes and real time, the longest first: begun last, one alone would hold up the end."""


def _turn(item: pytest.Item) -> int:
    """The place of an item's room in the order of the run."""
    room = item.path.parent.name
    return WAITING_ROOMS.index(room) if room in WAITING_ROOMS else len(WAITING_ROOMS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that wait come before files that compute; the order within a file, and within a room, stays."""
    items.sort(key=_turn)
