"""What calls cost the registry, by class."""

from enum import Enum


class Cost(Enum):
    """What a call costs the daemon; limits on rates are set by class."""

    READ = "read"
    """Memory only, bounded by the answer's size."""
    REPORT = "report"
    """Memory only, but watchers may hear of it."""
    WRITE = "write"
    """Waits for the store."""
    PROBE = "probe"
    """Knocks at a service, and waits for what it says."""
    STREAM = "stream"
    """Holds a stream open."""
