"""Stores under test."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orion_registry.etcd.client import Etcd
from orion_registry.etcd.config import EtcdConfig
from orion_registry.store.base import Store
from orion_registry.store.etcd import EtcdStore
from orion_registry.store.etcd_keys import Keys
from tests.etcd.node import shared_etcd

_numbers = itertools.count()


@dataclass
class Backend:
    """A store under test, and how a later life opens the same data again."""

    store: Store
    reopen: Callable[[], Store]


def etcd_store(keys: Keys, name: str = "store") -> EtcdStore:
    return EtcdStore(Etcd(EtcdConfig(endpoints=(shared_etcd(),))), keys, name=name)


def etcd_backend(_directory: Path) -> Backend:
    keys = Keys(f"/t{next(_numbers)}/")
    return Backend(etcd_store(keys), lambda: etcd_store(keys))
