"""Blocks of epochs where other members give epochs, too: each from its own, above all that were given."""

import asyncio

from orion_registry.cluster.base import Cluster
from orion_registry.core.importing import SINCE_EXPORT
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, Unavailable
from orion_registry.runtime.epoch_blocks import EpochBlocks
from orion_registry.runtime.writer import Writer
from orion_registry.store.base import StoreFailed
from orion_registry.store.etcd_writes import StoreConflict


class SharedEpochBlocks(EpochBlocks):
    """See `EpochBlocks`; the bound that all share is in etcd."""

    def __init__(self, registry: Registry, writer: Writer, cluster: Cluster) -> None:
        super().__init__(registry, writer)
        self._epochs = registry.fleet.epochs
        self._size = registry.config.epoch_block
        self._cluster = cluster
        self._one_at_a_time = asyncio.Lock()

    async def reserve(self) -> None:
        """See `EpochBlocks.reserve`."""
        if self._registry.epochs_wanted is not None:
            await self.new_block(0)

    async def be_above(self, epoch: int) -> None:
        """Returns when what is given next is above this epoch.

        Raises:
            Unavailable: STORE_DOWN.
        """
        if not self._epochs.is_above(epoch):
            await self.new_block(epoch)

    async def new_block(self, above: int) -> None:
        """A block of epochs above this one, and all that others have given; none if one came while it waited its turn.

        Raises:
            Unavailable: STORE_DOWN.
        """
        async with self._one_at_a_time:
            if self._epochs.is_above(above) and self._registry.epochs_wanted is None:
                return
            try:
                first, below = await self._cluster.reserve_epochs(self._size, above)
            except (StoreFailed, StoreConflict) as error:
                message = "no epochs could be reserved: the store took no write"
                raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=1.0) from error
            self._epochs.granted(first, below)

    def told(self, below: int) -> None:
        """Others have reserved up to this bound by now."""
        if below - self._epochs.below > SINCE_EXPORT:
            # Somebody has taken in what another registry stored: its agents may have epochs above those of our block.
            self._epochs.overtaken(below - 1)
