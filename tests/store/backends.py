"""Stores under test, and the etcd that those on etcd share."""

import atexit
import functools
import itertools
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orion_registry.etcd.client import Etcd
from orion_registry.etcd.config import EtcdConfig
from orion_registry.store.base import Store
from orion_registry.store.etcd import EtcdStore
from orion_registry.store.etcd_keys import Keys
from tests.etcd.node import free_port

_numbers = itertools.count()


@dataclass
class Backend:
    """A store under test, and how a later life opens the same data again."""

    store: Store
    reopen: Callable[[], Store]


@functools.cache
def shared_etcd() -> str:
    """Address of an etcd that lives as long as this process: each store has a prefix of its own there."""
    directory = tempfile.mkdtemp(prefix="orion-etcd-")
    address, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["etcd", "--data-dir", directory, "--name", "n1", "--listen-client-urls", f"http://{address}",
         "--advertise-client-urls", f"http://{address}", "--listen-peer-urls", peer,
         "--initial-advertise-peer-urls", peer, "--initial-cluster", f"n1={peer}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.kill)
    give_up = time.monotonic() + 30
    command = ["etcdctl", "--endpoints", address, "endpoint", "health"]
    while subprocess.run(command, capture_output=True, env={"ETCDCTL_API": "3"}, check=False).returncode:
        assert time.monotonic() < give_up, "etcd did not start"
        time.sleep(0.05)
    return address


def etcd_store(keys: Keys, name: str = "store") -> EtcdStore:
    return EtcdStore(Etcd(EtcdConfig(endpoints=(shared_etcd(),))), keys, name=name)


def etcd_backend(_directory: Path) -> Backend:
    keys = Keys(f"/t{next(_numbers)}/")
    return Backend(etcd_store(keys), lambda: etcd_store(keys))
