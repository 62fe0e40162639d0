"""A member of a cluster put together: etcd, the other members, and the services that know of them.

Imported only where `etcd_endpoints` is set: a daemon that is alone pays nothing for it.
"""

import secrets
from pathlib import Path
from typing import Any

import grpc

from orion_registry import __version__
from orion_registry.cluster.etcd import EtcdCluster
from orion_registry.core.membership import Member
from orion_registry.etcd.client import Etcd
from orion_registry.etcd.config import EtcdConfig
from orion_registry.runtime.clustered import ClusterCoordinator
from orion_registry.runtime.clustered_selections import ClusterSelections
from orion_registry.runtime.entropy import Entropy
from orion_registry.server.address import TcpAddress, parse_address
from orion_registry.server.cluster_methods import CLUSTER_METHODS
from orion_registry.server.cluster_service import ClusterService
from orion_registry.server.clustered_services import (
    RELAYED,
    ClusterBalancerService,
    ClusterMonitorService,
    ClusterRegistryService,
    local_handlers,
)
from orion_registry.server.methods import METHODS, Method
from orion_registry.server.peers import AllPeers
from orion_registry.server.place import store_of
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.server.wrapper import Handlers
from orion_registry.store.etcd_keys import Keys
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

ALL_METHODS: tuple[Method, ...] = (*METHODS, *CLUSTER_METHODS)


class Clustering:
    """What a daemon has instead of its own store and services.

    Args:
        settings: of the daemon.
        addresses: where it listens.
        entropy: names this life.
        wall: seconds since 1970.
        rest: what every coordinator is made of.
    """

    def __init__(
        self, settings: Settings, addresses: tuple[str, ...], entropy: Entropy, wall: float, **rest: Any
    ) -> None:
        self._settings = settings
        advertised = advertised_addresses(settings, addresses)
        own = Member(
            name=settings.member_name or advertised[0],
            life=entropy.history_id(),
            addresses=advertised,
            token=secrets.token_hex(32),
            version=__version__,
            started_wall=wall,
        )
        self.cluster = EtcdCluster(
            Etcd(etcd_config(settings)),
            Keys(settings.etcd_prefix),
            own,
            round(settings.member_ttl_s),
            store_of(settings, addresses[0]),
        )
        self.peers = AllPeers(own.life, self._credentials, self._load)
        self.coordinator = ClusterCoordinator(
            cluster=self.cluster,
            own=own,
            peers=self.peers,
            store=self.cluster.store,
            entropy=entropy,
            reserving=lambda coordinator, clock: ClusterSelections(
                coordinator.registry.balancing, clock, coordinator.membership, self.peers
            ),
            **rest,
        )

    @property
    def handlers(self) -> Handlers:
        """The services of a member."""
        coordinator = self.coordinator
        selections = coordinator.selections
        assert isinstance(selections, ClusterSelections)
        methods = {method.path: method for method in METHODS if method.path in RELAYED}
        return {
            **ClusterRegistryService(coordinator, self.peers).handlers,
            **ClusterMonitorService(coordinator, self.peers).handlers,
            **ClusterBalancerService(coordinator, selections, self.peers).handlers,
            **ClusterService(coordinator, local_handlers(coordinator), methods).handlers,
        }

    async def close(self) -> None:
        """Lets go of the other members, and of etcd if the coordinator never came to that."""
        await self.peers.close()
        await self.cluster.leave()
        await self.cluster.store.close()

    def _load(self, member: Member, answer: pb.WatchLoadResponse) -> None:
        self.coordinator.told_of_load(
            member,
            [(load.service_id, load.in_flight, load.utilization) for load in answer.services],
            [(old.service_id, old.count) for old in answer.old_leases],
        )

    def _credentials(self) -> grpc.ChannelCredentials | None:
        """Members show each other what they show clients; read anew for each channel, so that new files are taken."""
        settings = self._settings
        if not settings.tls:
            return None
        authorities = settings.member_ca_file or settings.tls_client_ca_file
        return grpc.ssl_channel_credentials(
            root_certificates=Path(authorities).read_bytes() if authorities else None,
            private_key=Path(settings.tls_key_file).read_bytes(),
            certificate_chain=Path(settings.tls_cert_file).read_bytes(),
        )


def advertised_addresses(settings: Settings, addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Where others reach a daemon that listens at these addresses.

    Raises:
        SettingError: nobody can tell.
    """
    if settings.advertise:
        return settings.advertise
    for text in addresses:
        address = parse_address(text)
        if isinstance(address, TcpAddress) and address.host not in {"0.0.0.0", "::"}:
            return (text,)
    rule = "set where listen names no address that other members can reach"
    raise SettingError("advertise", rule, ", ".join(addresses))


def etcd_config(settings: Settings) -> EtcdConfig:
    """How etcd is spoken to.

    Raises:
        StartError: the password's file cannot be read.
    """
    password = ""
    if settings.etcd_password_file:
        try:
            password = Path(settings.etcd_password_file).read_text().strip()
        except OSError as error:
            raise StartError(f"etcd_password_file: {(error.strerror or str(error)).lower()}") from error
    return EtcdConfig(
        endpoints=settings.etcd_endpoints,
        ca_file=settings.etcd_ca_file,
        cert_file=settings.etcd_cert_file,
        key_file=settings.etcd_key_file,
        user=settings.etcd_user,
        password=password,
    )
