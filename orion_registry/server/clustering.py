"""A member of a cluster put together: etcd, the other members, and the services that know of them.

Imported only where `etcd_endpoints` is set: a daemon that is alone pays nothing for it.
"""

import secrets
from typing import TYPE_CHECKING, Any

from orion_registry import __version__
from orion_registry.cluster.etcd import EtcdCluster
from orion_registry.core.membership import Member
from orion_registry.core.model import Actor
from orion_registry.errors import PermissionDenied, Reason
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
from orion_registry.server.door import Door
from orion_registry.server.identity import Context, anybody
from orion_registry.server.methods import METHODS, Method
from orion_registry.server.peers import AllPeers
from orion_registry.server.place import store_of
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.server.wrapper import Handlers
from orion_registry.store.etcd_keys import Keys
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

if TYPE_CHECKING:
    from orion_registry.server.certificates import Certificates

ALL_METHODS: tuple[Method, ...] = (*METHODS, *CLUSTER_METHODS)


class Clustering:
    """What a daemon has instead of its own store and services.

    Args:
        settings: of the daemon.
        addresses: where it listens.
        entropy: names this life.
        wall: seconds since 1970.
        certificates: what it shows clients, and other members; None = plaintext.
        rest: what every coordinator is made of.
    """

    def __init__(
        self,
        settings: Settings,
        addresses: tuple[str, ...],
        entropy: Entropy,
        wall: float,
        certificates: "Certificates | None",
        **rest: Any,
    ) -> None:
        self._certificates = certificates
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
        self.peers = AllPeers(own.life, certificates, self._load)
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

    def prove_member(self, context: Context) -> Actor:
        """Lets in a call that members alone may make, by its certificate; its token is looked at with its message.

        Raises:
            PermissionDenied: NOT_ALLOWED.
        """
        if self._certificates is not None and not self._certificates.are_members(context.auth_context()):
            message = "only members may call this: the client certificate is of no authority in member_ca_file"
            raise PermissionDenied(Reason.NOT_ALLOWED, message)
        return anybody(context)

    def handlers_behind(self, door: Door) -> Handlers:
        """The services of a member. door: what they judge by where a caller is another member's, or news has come."""
        coordinator = self.coordinator
        selections = coordinator.selections
        assert isinstance(selections, ClusterSelections)
        methods = {method.path: method for method in METHODS if method.path in RELAYED}
        return {
            **ClusterRegistryService(coordinator, self.peers, door).handlers,
            **ClusterMonitorService(coordinator, self.peers).handlers,
            **ClusterBalancerService(coordinator, selections, self.peers).handlers,
            **ClusterService(coordinator, local_handlers(coordinator), methods, door).handlers,
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
        StartError: a file cannot be read.
    """
    config = EtcdConfig(
        endpoints=settings.etcd_endpoints,
        ca_file=settings.etcd_ca_file,
        cert_file=settings.etcd_cert_file,
        key_file=settings.etcd_key_file,
        user=settings.etcd_user,
        password_file=settings.etcd_password_file,
    )
    try:
        config.credentials()
        config.secret()
    except OSError as error:
        raise StartError(f"{_file_setting(settings, error.filename)}: {(error.strerror or '').lower()}") from error
    return config


def _file_setting(settings: Settings, path: str) -> str:
    """The setting that names a file, and the file."""
    names = ("etcd_ca_file", "etcd_cert_file", "etcd_key_file", "etcd_password_file")
    return f"{next(name for name in names if getattr(settings, name) == str(path))} {str(path)!r}"
