"""What an operator may set of a cluster: the part of `Settings` about etcd and this daemon's place among others."""

from dataclasses import dataclass

from orion_registry.errors import Said
from orion_registry.server.address import TcpAddress, parse_address
from orion_registry.server.audit_settings import AuditSettings
from orion_registry.server.setting_kinds import addresses, duration, path, word
from orion_registry.server.setting_rows import setting
from orion_registry.server.start_error import SettingError

_GROUP = "Cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings(AuditSettings):
    """Fields of `Settings`; see there."""

    etcd_endpoints: tuple[str, ...] = setting(
        addresses(parse_address, least=0),
        (),
        group=_GROUP,
        default_text="none: this daemon is alone",
        meaning=(
            "Node of the etcd that joins this daemon with others, HOST:PORT; may be given several times (in the "
            "environment: a comma list). Registrations are kept there instead of in data_dir."
        ),
        trade_off=(
            "Every write waits for etcd. While it is lost, selection and discovery go on, and nothing is registered."
        ),
    )
    etcd_prefix: str = setting(
        word(r"/([A-Za-z0-9._-]+/)+", "of names between slashes, such as /orion/v1/"),
        "/orion/v1/",
        group=_GROUP,
        meaning="What all keys in etcd begin with; members with the same one are one registry.",
        trade_off="Another one for each registry lets several share an etcd.",
    )
    etcd_ca_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: plaintext",
        meaning="Authorities (PEM) that etcd's certificates must come from.",
        trade_off="Whoever reads or writes etcd is the registry: without TLS only for a network that you trust.",
    )
    etcd_cert_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none",
        meaning="Certificate that this daemon shows etcd (PEM).",
        trade_off="Let etcd take nobody without one: its own roles have been got around (docs/cluster.md).",
    )
    etcd_key_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none",
        meaning="Private key of etcd_cert_file (PEM).",
        trade_off="Only its owner should read it.",
    )
    etcd_user: str = setting(
        word(r"[A-Za-z0-9._:@-]{0,128}", "at most 128 of A-Z a-z 0-9 . _ : @ -"),
        "",
        group=_GROUP,
        default_text="none",
        meaning="Name that this daemon has in etcd, where etcd asks for one.",
        trade_off="A certificate tells the same without a password.",
    )
    etcd_password_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none",
        meaning="File with the password of etcd_user, read anew with each login.",
        trade_off="Only its owner should read it.",
    )
    member_name: str = setting(
        word(r"([A-Za-z0-9][A-Za-z0-9._:-]{0,127})?", "1 to 128 of A-Z a-z 0-9 . _ : -"),
        "",
        group=_GROUP,
        default_text="the first advertised address",
        meaning="Name of this member: other than all others', and the same after a restart.",
        trade_off="A daemon that comes with the name of another puts it out of service.",
    )
    member_ttl_s: float = setting(
        duration(2.0, 300.0),
        5.0,
        group=_GROUP,
        name="member_ttl",
        meaning=(
            "How long a member that etcd does not hear of counts as there; then its services are UNKNOWN(OWNER_LOST) "
            "until their agents come elsewhere, for 10 s at least."
        ),
        trade_off=(
            "Shorter finds a dead member sooner, whose agents come to the others by themselves within 2 s; longer "
            "bears longer pauses of etcd."
        ),
    )
    advertise: tuple[str, ...] = setting(
        addresses(parse_address, least=0),
        (),
        group=_GROUP,
        default_text="the first TCP address that it listens on",
        meaning="Address at which agents, callers and other members reach this one; the first is for members.",
        trade_off="Needed where it listens on all addresses, or behind a translation of addresses.",
    )
    member_ca_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="tls_client_ca_file",
        meaning=(
            "Authorities (PEM) that other members' certificates must come from, where members speak TLS. With "
            "tls_client_ca_file, what members alone may call is then refused to whoever shows a certificate of another."
        ),
        trade_off=(
            "Members show each other tls_cert_file. One authority for members alone keeps agents' certificates from "
            "passing for a member's; such a certificate may also call as a client, under the names in it."
        ),
    )

    def _check_cluster(self) -> None:
        """What makes sense together only: above all, nothing that is to be secret goes to etcd in plaintext unasked.

        Raises:
            SettingError: it names the one that is missing, or alone.
        """
        if bool(self.etcd_cert_file) != bool(self.etcd_key_file):
            missing = "etcd_key_file" if self.etcd_cert_file else "etcd_cert_file"
            raise SettingError(missing, "set with etcd_cert_file and etcd_key_file alike", Said("nothing"))
        if self.etcd_cert_file and not self.etcd_ca_file:
            rule = "set with etcd_cert_file, for without it etcd is spoken to in plaintext"
            raise SettingError("etcd_ca_file", rule, Said("nothing"))
        if bool(self.etcd_user) != bool(self.etcd_password_file):
            missing = "etcd_password_file" if self.etcd_user else "etcd_user"
            raise SettingError(missing, "set with etcd_user and etcd_password_file alike", Said("nothing"))
        if self.member_ca_file and not self.tls:
            raise SettingError("member_ca_file", "set with tls_cert_file and tls_key_file", self.member_ca_file)

    @property
    def clustered(self) -> bool:
        """Whether this daemon is a member of a cluster."""
        return bool(self.etcd_endpoints)

    @property
    def advertised(self) -> tuple[TcpAddress, ...]:
        """What `advertise` says, parsed."""
        return tuple(one for one in map(parse_address, self.advertise) if isinstance(one, TcpAddress))
