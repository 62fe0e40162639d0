// An event of the registry's log, in words.

import { count, instant, seconds, span } from "./format.js";
import { bare, kindOf, plain, reasonName, statusName, title } from "./words.js";

const reasonsOf = (event) => (event.reasons ?? []).map(reasonName);
const because = (names) =>
  names.length === 0
    ? ""
    : `: ${names
        .filter((name, n) => n === 0 || name !== "STREAM_OPEN")
        .map(plain)
        .join(", ")}`;

/** Kind of event -> { text, kind? } of one. */
const TELL = {
  service_registered: (e) => ({
    text: `${e.service_name ?? ""} registered, ${plain(statusName(e.status))}${because(reasonsOf(e))}`,
  }),
  service_updated: (e) => ({ text: `record updated, generation ${e.generation ?? 0}` }),
  service_removed: (e) => ({ text: `removed: ${plain(bare(e.removal, "REMOVAL_REASON_"))}` }),
  status_changed: (e) => {
    const [before, after, names] = [statusName(e.before), statusName(e.after), reasonsOf(e)];
    const change =
      before === after ? `${plain(after)}, ${e.ready ? "ready" : "not ready"}` : `${plain(before)} to ${plain(after)}`;
    return { text: change + because(names), kind: kindOf(after, names) };
  },
  stall_credited: (e) => ({
    text: `the registry stood still for ${span(seconds(e.lag) ?? 0)}; no agent is held to account for it`,
    kind: "degraded",
  }),
  alarm_raised: (e) => ({ text: `${title(String(e.name))}: ${e.text ?? ""}`, kind: "unhealthy" }),
  alarm_cleared: (e) => ({ text: `${title(String(e.name))} is over`, kind: "healthy" }),
  hellos_refused: (e) => ({ text: `${count(e.count, "agent")} told to come back later`, kind: "degraded" }),
  snapshot_imported: (e) => ({ text: `snapshot imported: ${count(e.added, "service")} added, ${e.kept ?? 0} kept` }),
  registry_started: (e) => ({ text: `the registry started with ${count(e.services, "service")}`, kind: "healthy" }),
  registry_stopping: () => ({ text: "the registry stops", kind: "stopping" }),
  overlay_set: (e) => ({
    text: [
      plain(bare(e.mode, "OVERLAY_MODE_")),
      " set",
      e.set_by ? ` by ${e.set_by}` : "",
      e.note ? `: ${e.note}` : "",
    ].join(""),
  }),
  overlay_cleared: (e) => ({ text: `nothing is set any more${e.cleared_by ? `, by ${e.cleared_by}` : ""}` }),
  check_not_run: (e) => ({
    text: `check ${e.check ?? ""} ${plain(bare(e.verdict, "CHECK_VERDICT_"))}: ${e.detail ?? ""}`,
    kind: "unknown",
  }),
};

/** { seq, at, type, serviceId, agent, text, kind, haystack } of the JSON of an Event. */
export function readEvent(json) {
  const type = Object.keys(json).find((key) => key !== "seq" && key !== "time") ?? "";
  const event = json[type] ?? {};
  const { text, kind = "" } = (Object.hasOwn(TELL, type) ? TELL[type](event) : null) ?? {
    text: "an event that this page does not know",
  };
  const serviceId = String(event.service_id ?? "");
  const agent = String(event.agent_id ?? "");
  const read = { seq: Number(json.seq ?? 0), at: instant(json.time), type, serviceId, agent, text, kind };
  read.haystack = [title(type), type, serviceId, agent, text].join("\n").toLowerCase();
  return read;
}
