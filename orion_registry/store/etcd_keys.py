"""Which key in etcd holds what. All are below one prefix, so that several registries can share an etcd.

members/NAME          one for each member, on its lease: who it is and where. Gone = the member is lost.
services/ID           the record of a service
standings/ID          which member owns it, and how it stands there
overlays/KEY          what an operator set
edges/ID              its last changes of status, for people; written lazily
epochs                the bound below which epochs may have been given
fences/ID             of a store that is no member
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys below a prefix, which ends with a slash."""

    prefix: str = "/orion/v1/"

    def member(self, name: str) -> str:
        """Of a member."""
        return f"{self.prefix}members/{name}"

    def service(self, service_id: str) -> str:
        """Of a record."""
        return f"{self.prefix}services/{service_id}"

    def standing(self, service_id: str) -> str:
        """Of a service's owner and status."""
        return f"{self.prefix}standings/{service_id}"

    def overlay(self, key: str) -> str:
        """Of an overlay, by its natural key."""
        return f"{self.prefix}overlays/{key}"

    def edges(self, service_id: str) -> str:
        """Of a service's changes of status."""
        return f"{self.prefix}edges/{service_id}"

    @property
    def epochs(self) -> str:
        """Of the bound of epochs."""
        return f"{self.prefix}epochs"

    def fence(self, name: str) -> str:
        """Of a store that is no member."""
        return f"{self.prefix}fences/{name}"

    def parts(self, key: str) -> tuple[str, str]:
        """What kind of key it is, and of whom: ("services", ID)."""
        kind, _, name = key.removeprefix(self.prefix).partition("/")
        return kind, name
