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
from tests.store.images import store_in

_numbers = itertools.count()


@dataclass
class Backend:
    """A store under test, and how a later life opens the same data again."""

    store: Store
    reopen: Callable[[], Store]


def etcd_store(keys: Keys, directory: Path) -> EtcdStore:
    return EtcdStore(Etcd(EtcdConfig(endpoints=(shared_etcd(),))), keys, audit=store_in(directory))


def etcd_backend(directory: Path) -> Backend:
    keys = Keys(f"/t{next(_numbers)}/")
    return Backend(etcd_store(keys, directory), lambda: etcd_store(keys, directory))
