"""How often each limit turned somebody away, in this life of the registry."""

from collections.abc import Mapping

from orion_registry.errors import Limit, RegistryError, ResourceExhausted


class Refused:
    """Counts refusals by limit. Whoever says one to its caller notes it here, once."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[Limit, int] = {}

    def note(self, error: RegistryError) -> None:
        """Takes an error that somebody is about to be told."""
        if isinstance(error, ResourceExhausted) and error.limit is not None:
            self._counts[error.limit] = self._counts.get(error.limit, 0) + 1

    @property
    def counts(self) -> Mapping[Limit, int]:
        """How often, by limit; only those that refused anybody."""
        return dict(self._counts)
