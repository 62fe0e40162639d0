"""core/timeline: the last changes of a service's status."""

from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.core.timeline import TIMELINE, StatusEdge, Timeline


def test_only_the_last_changes_are_kept_oldest_first() -> None:
    timeline = Timeline()
    for wall in range(TIMELINE + 3):
        codes = (StatusReasonCode.STREAM_OPEN,)
        timeline.add(StatusEdge(service_id="a", wall=wall, status=ServiceStatus.HEALTHY, codes=codes))
    assert len(timeline) == TIMELINE
    assert [edge.wall for edge in timeline] == list(range(3, TIMELINE + 3))
