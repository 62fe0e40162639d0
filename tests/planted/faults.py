"""The faults, and the test that catches each. `find` stands exactly once in its file, so a row cannot rot unseen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One change that must not survive."""

    name: str
    file: str
    find: str
    replace: str
    caught_by: str


CORE = "orion_registry/core"
T = "tests/core/test_"

FAULTS: tuple[Fault, ...] = (
    # Who may act.
    Fault(
        "epoch not compared",
        f"{CORE}/authority.py",
        "if ref.epoch < entry.used_epoch:",
        "if False:",
        f"{T}authority.py::test_a_used_epoch_makes_lower_ones_stale",
    ),
    Fault(
        "secret not compared",
        f"{CORE}/authority.py",
        "if not secret_matches(ref.secret, entry.snapshot.record.secret_hash):",
        "if False:",
        f"{T}authority.py::test_refusals",
    ),
    Fault(
        "epoch that was never given is taken",
        f"{CORE}/authority.py",
        "if not fleet.epochs.was_given(ref.epoch):",
        "if False:",
        f"{T}authority.py::test_refusals",
    ),
    Fault(
        "used epoch not remembered",
        f"{CORE}/authority.py",
        "    entry.used_epoch = max(epoch, entry.used_epoch)\n",
        "",
        f"{T}authority.py::test_a_used_epoch_makes_lower_ones_stale",
    ),
    Fault(
        "older stream keeps the service",
        f"{CORE}/authority.py",
        "if held < epoch and stream is not by]",
        "if False]",
        f"{T}sessions.py::test_the_first_beat_fences_older_streams_off",
    ),
    Fault(
        "service left open without a stream",
        f"{CORE}/authority.py",
        "if superseded and not entry.streams:",
        "if False:",
        f"{T}authority.py::test_a_service_without_any_stream_is_not_called_open",
    ),
    Fault(
        "a stream supersedes itself",
        f"{CORE}/authority.py",
        " and stream is not by]",
        "]",
        f"{T}sessions.py::test_attaching_again_on_the_same_stream_supersedes_nobody",
    ),
    Fault(
        "superseded stream is not ended",
        f"{CORE}/authority.py",
        "if reason is LostReason.SUPERSEDED and not stream.services:",
        "if False:",
        f"{T}planning.py::test_a_takeover_is_a_new_life_and_voids_the_old_one",
    ),
    # Sessions.
    Fault(
        "used epoch raised at hello",
        f"{CORE}/sessions.py",
        "        entry.streams[self] = entry.epoch\n",
        "        entry.streams[self] = entry.used_epoch = entry.epoch\n",
        f"{T}sessions.py::test_a_lost_welcome_locks_nobody_out",
    ),
    Fault(
        "first beat uses nothing",
        f"{CORE}/sessions.py",
        "        if self._unused:\n",
        "        if False:\n",
        f"{T}sessions.py::test_the_first_beat_fences_older_streams_off",
    ),
    Fault(
        "late clean-up marks a service that another stream carries",
        f"{CORE}/sessions.py",
        "            self._fleet.rejudge(entry)\n            return\n",
        "            self._fleet.rejudge(entry)\n",
        f"{T}sessions.py::test_a_delayed_old_hello_fences_nobody_off",
    ),
    Fault(
        "shutdown is judged as death",
        f"{CORE}/sessions.py",
        "        if not self._fleet.judging:\n            return\n",
        "",
        f"{T}sessions.py::test_ends_that_the_registry_caused_say_nothing",
    ),
    Fault(
        "another agent's service is admitted",
        f"{CORE}/sessions.py",
        "if entry.spec.agent_id != self.agent_id:",
        "if False:",
        f"{T}sessions.py::test_a_bad_service_is_refused_alone",
    ),
    Fault(
        "an end without goodbye is no crash",
        f"{CORE}/sessions.py",
        "        self.departure = Event.ENDED\n",
        "        self.departure = Event.MOVING\n",
        f"{T}sessions.py::test_a_stream_that_ends_without_goodbye_is_a_crash",
    ),
    Fault(
        "self-report comes after the session: ready in between",
        f"{CORE}/sessions.py",
        "        self._fleet.reported(entry, request.self_status, now)  # first, so that it is never ready in between\n"
        "        self._fleet.happened(entry, Event.SESSION, now)\n",
        "        self._fleet.happened(entry, Event.SESSION, now)\n"
        "        self._fleet.reported(entry, request.self_status, now)\n",
        f"{T}sessions.py::test_hello_brings_load_and_self_status_and_is_never_ready_in_between",
    ),
    Fault(
        "old stream's goodbye stops a newer session",
        f"{CORE}/sessions.py",
        "if entry.streams[self] == entry.epoch:",
        "if True:",
        f"{T}sessions.py::test_stopping_of_an_old_stream_says_nothing_of_a_newer_session",
    ),
    Fault(
        "every beat is acked",
        f"{CORE}/sessions.py",
        "if self._beats % ACK_EVERY == 0 or",
        "if True or",
        f"{T}sessions.py::test_beats_are_acked_first_then_every_tenth_and_when_the_pace_changes",
    ),
    Fault(
        "frames are heard after goodbye",
        f"{CORE}/sessions.py",
        "if self.ended or self.goodbye is not None:",
        "if self.ended:",
        f"{T}sessions.py::test_after_goodbye_nothing_is_heard",
    ),
    # Registering.
    Fault(
        "request id ignored",
        f"{CORE}/planning.py",
        "if command.request_id and command.request_id == held.request_id:",
        "if False:",
        f"{T}planning.py::test_a_retry_is_answered_as_the_first_time",
    ),
    Fault(
        "another payload passes as a retry",
        f"{CORE}/planning.py",
        "if payload != held.payload_hash:",
        "if False:",
        f"{T}planning.py::test_another_payload_under_the_same_request_id_is_refused",
    ),
    Fault(
        "takeover not needed",
        f"{CORE}/planning.py",
        "if is_live(entry) and not command.takeover:",
        "if False:",
        f"{T}planning.py::test_another_secret_is_refused_while_a_session_is_live",
    ),
    Fault(
        "identity not compared",
        f"{CORE}/planning.py",
        "    if held.identity != actor.identity:\n        raise PermissionDenied",
        "    if False:\n        raise PermissionDenied",
        f"{T}planning.py::test_another_identity_may_not_claim_but_the_secret_is_enough",
    ),
    Fault(
        "natural key not compared",
        f"{CORE}/planning.py",
        "if natural_key(held.spec) != natural_key(spec):",
        "if False:",
        f"{T}planning.py::test_an_id_belongs_to_its_key",
    ),
    Fault(
        "removal not at a revision",
        f"{CORE}/planning.py",
        "(command.at_revision and entry.snapshot.revision != command.at_revision)",
        "False",
        f"{T}planning.py::test_a_removal_at_a_revision_spares_who_came_back",
    ),
    Fault(
        "etag ignored",
        f"{CORE}/planning.py",
        "if command.etag and command.etag != held.generation:",
        "if False:",
        f"{T}planning.py::test_a_stale_etag_is_refused",
    ),
    Fault(
        "loopback taken from afar",
        f"{CORE}/planning.py",
        'if _is(host, "loopback") and not _is(peer, "loopback"):',
        "if False:",
        f"{T}planning.py::test_a_host_is_one_that_callers_can_reach",
    ),
    Fault(
        "epochs run out unseen",
        f"{CORE}/planning.py",
        "    fleet.epochs.require(IN_FLIGHT)\n",
        "",
        f"{T}planning.py::test_registrations_stop_before_epochs_run_out",
    ),
    Fault(
        "takeover keeps old streams",
        f"{CORE}/registry.py",
        "        void_streams(entry, LostReason.SUPERSEDED)\n",
        "",
        f"{T}planning.py::test_a_takeover_is_a_new_life_and_voids_the_old_one",
    ),
    # Catalog, views, pages.
    Fault(
        "index not cleaned",
        f"{CORE}/catalog.py",
        "            self._unindex(entry, old - new)\n",
        "",
        f"{T}catalog.py::test_a_changed_spec_moves_between_lists_and_a_deleted_entry_leaves_all",
    ),
    Fault(
        "empty posting lists stay",
        f"{CORE}/catalog.py",
        "            if not posting:\n                del self._postings[term]\n",
        "",
        f"{T}catalog.py::test_a_changed_spec_moves_between_lists_and_a_deleted_entry_leaves_all",
    ),
    Fault(
        "longest posting list scanned",
        f"{CORE}/catalog.py",
        "len(posting) < len(shortest)",
        "len(posting) > len(shortest)",
        f"{T}catalog.py::test_the_shortest_list_is_the_one_looked_at",
    ),
    Fault(
        "views not updated",
        f"{CORE}/fleet.py",
        "        self.views.update(entry, edge.before, edge.after)\n",
        "",
        f"{T}views.py::test_a_view_follows_services_in_and_out",
    ),
    Fault(
        "view ignores the terms of the new spec",
        f"{CORE}/views.py",
        "if before is not None and after is not None and before.record is not after.record:",
        "if False:",
        f"{T}views.py::test_a_view_follows_services_in_and_out",
    ),
    Fault(
        "not_ready_count wrong",
        f"{CORE}/views.py",
        "            self._unready.discard(ordinal)\n",
        "",
        f"{T}views.py::test_not_ready_members_are_counted_but_not_shown",
    ),
    Fault(
        "page token not bound",
        f"{CORE}/paging.py",
        "if len(raw) != 16 or raw[8:] != _seal(selector, history_id):",
        "if len(raw) != 16:",
        f"{T}paging.py::test_foreign_tokens_are_refused",
    ),
    Fault(
        "page starts at the last one shown",
        f"{CORE}/views.py",
        "start = bisect_right(self.shown, after)",
        "start = bisect_left(self.shown, after)",
        f"{T}paging.py::test_pages_cover_all",
    ),
    Fault(
        "true is one",
        f"{CORE}/selector.py",
        "return has == value and isinstance(has, bool) == isinstance(value, bool)",
        "return has == value",
        f"{T}selector.py::test_terms",
    ),
    Fault(
        "tags_none ignored",
        f"{CORE}/selector.py",
        "self.tags_none and any(tag in spec.tags for tag in self.tags_none)",
        "False",
        f"{T}selector.py::test_terms",
    ),
    # Status and liveness.
    Fault(
        "status severity swapped",
        f"{CORE}/status.py",
        "(_HEALTHY, _STARTING, _UNKNOWN, _STOPPING, _UNHEALTHY)",
        "(_HEALTHY, _STARTING, _UNKNOWN, _UNHEALTHY, _STOPPING)",
        f"{T}status.py::test_severity",
    ),
    Fault(
        "tier wrong",
        f"{CORE}/status.py",
        "return Use.TIER_0 - self.use if self.ready else -1",
        "return 0 if self.ready else -1",
        f"{T}status.py::test_one_reason",
    ),
    Fault(
        "the best use of all reasons counts",
        f"{CORE}/status.py",
        "min(row.use for row in rows.values())",
        "max(row.use for row in rows.values())",
        f"{T}status.py::test_a_self_report_makes_it_worse",
    ),
    Fault(
        "self-report hides liveness",
        f"{CORE}/fleet.py",
        "            reasons += (StatusReason(",
        "            reasons = (StatusReason(",
        f"{T}registry.py::test_a_self_report_never_hides_missing_liveness",
    ),
    Fault(
        "retention ignored",
        f"{CORE}/liveness.py",
        "config.retention_s if spec.retention_s is None else spec.retention_s",
        "config.retention_s",
        f"{T}registry.py::test_retention",
    ),
    Fault(
        "retention 0 removes at once",
        f"{CORE}/liveness.py",
        "return retention_s or None",
        "return retention_s",
        f"{T}registry.py::test_retention",
    ),
    Fault(
        "silence is never noticed",
        f"{CORE}/liveness.py",
        "            return spec.liveness_ttl_s\n",
        "            return None\n",
        f"{T}registry.py::test_unary_beats_keep_a_ttl_service_alive",
    ),
    # Time.
    Fault(
        "an earlier deadline comes too late",
        f"{CORE}/deadlines.py",
        "(entry.armed is None or deadline < entry.armed)",
        "entry.armed is None",
        f"{T}deadlines.py::test_an_earlier_deadline_counts_at_once_and_the_old_one_is_forgotten",
    ),
    Fault(
        "a beat pushes onto the heap",
        f"{CORE}/deadlines.py",
        "(entry.armed is None or deadline < entry.armed)",
        "True",
        f"{T}deadlines.py::test_moving_a_deadline_later_pushes_nothing",
    ),
    Fault(
        "a moved deadline is not armed again",
        f"{CORE}/deadlines.py",
        "                self._arm(entry, entry.deadline)\n",
        "",
        f"{T}deadlines.py::test_moving_a_deadline_later_pushes_nothing",
    ),
    Fault(
        "a refused removal is forgotten",
        f"{CORE}/registry.py",
        "                self._fleet.deadlines.set(entry, now.mono + REMOVAL_RETRY_S)\n",
        "",
        f"{T}registry.py::test_a_removal_that_was_not_stored_is_asked_for_again",
    ),
    Fault(
        "interval swings",
        f"{CORE}/pace.py",
        "HYSTERESIS if interval_s < current_s else 1.0",
        "1.0",
        f"{T}pace.py::test_pace_never_swings_on_one_agent_more_or_less",
    ),
    # Restart.
    Fault(
        "a restart declares agents dead",
        f"{CORE}/liveness.py",
        "    LivenessMode.STREAM: State.RESTORED,\n",
        "    LivenessMode.STREAM: State.DISCONNECTED,\n",
        f"{T}registry.py::test_a_restart_declares_nobody_dead",
    ),
    Fault(
        "epochs begin again after a restart",
        f"{CORE}/epochs.py",
        "self._next = self._below = below",
        "self._next = self._below = 1",
        f"{T}registry.py::test_epochs_rise_over_a_restart",
    ),
    # History and watches.
    Fault(
        "history off by one",
        f"{CORE}/history.py",
        "self._ring[0].revision > revision + 1",
        "self._ring[0].revision > revision + 2",
        f"{T}history.py::test_since",
    ),
    Fault(
        "the future is known",
        f"{CORE}/history.py",
        "if not 0 < revision <= now:",
        "if not 0 < revision:",
        f"{T}history.py::test_since",
    ),
    Fault(
        "foreign history id resumes",
        f"{CORE}/registry.py",
        "if history_id == self.history_id else None",
        "if True else None",
        f"{T}registry.py::test_a_position_that_means_nothing_here_resyncs",
    ),
    Fault(
        "bookmark too early",
        f"{CORE}/watching.py",
        "            if self._bookmark_due:\n                events",
        "        if True:\n            if self._bookmark_due:\n                events",
        f"{T}watching.py::test_a_snapshot_ends_with_a_bookmark",
    ),
    Fault(
        "revision moves while news are pending",
        f"{CORE}/watching.py",
        "        if not self._pending:\n            self._revision = revision\n",
        "        self._revision = revision\n        if not self._pending:\n",
        f"{T}watch_fold.py::test_ten_thousand_changes_with_each_watcher_cut_and_resumed_two_hundred_times",
    ),
    Fault(
        "what may have been told is not taken back",
        f"{CORE}/watching.py",
        "known=before_in, doubtful=True",
        "known=before_in, doubtful=False",
        f"{T}watch_fold.py::test_ten_thousand_changes_with_each_watcher_cut_and_resumed_two_hundred_times",
    ),
    Fault(
        "a resync is not told",
        f"{CORE}/watching.py",
        "        self._resync = resync\n",
        "        self._resync = False\n",
        f"{T}watching.py::test_a_resync_is_told_first_and_once",
    ),
    Fault(
        "a removal is taken for a change",
        f"{CORE}/watching.py",
        "slot.last, slot.removal = edge.after, None",
        "slot.last = edge.after",
        f"{T}watching.py::test_several_changes_of_a_service_become_its_last_state",
    ),
)
