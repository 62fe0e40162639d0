// The registry's words: statuses and reasons, what they look like and what they mean (docs/glossary.md).

/** The kinds of row. A kind is a status, but that HEALTHY splits by whether selection takes it first. */
export const KINDS = [
  { kind: "unhealthy", label: "Unhealthy", filter: "status:unhealthy", severity: 0 },
  { kind: "unknown", label: "Unknown", filter: "status:unknown", severity: 1 },
  { kind: "stopping", label: "Stopping", filter: "status:stopping", severity: 2 },
  { kind: "starting", label: "Starting", filter: "status:starting", severity: 3 },
  { kind: "degraded", label: "Second choice", filter: "is:degraded", severity: 4 },
  { kind: "healthy", label: "Healthy", filter: "is:ready -is:degraded", severity: 5 },
];

export const SEVERITY = Object.fromEntries(KINDS.map(({ kind, severity }) => [kind, severity]));

const DEGRADED = new Set(["LATE", "HELD", "STUCK", "CHECK_STALE", "EJECTED", "PROBATION"]);

const MEANING = {
  STREAM_OPEN: "its agent holds a heartbeat stream open",
  BEATING: "its last beat is younger than its ttl",
  STATIC: "nobody watches over it",
  CHECK_OK: "its checks pass",
  LATE: "a beat is late",
  HELD: "fell silent together with many: more likely a cut than a death",
  STUCK: "busy without progress",
  CHECK_STALE: "its checks have not run lately",
  EJECTED: "kept out for its bad outcomes",
  PROBATION: "went up and down too often",
  RESTORED: "read back from the store, not heard of since",
  RECONNECT_GRACE: "its stream ended, and its return was announced",
  OWNER_LOST: "the member that held its stream is gone",
  AWAITING_BEAT: "no beat yet",
  AWAITING_CHECK: "no check has passed yet",
  DRAINING: "takes nothing new and finishes what it has",
  DRAINED: "nothing is left on it: safe to stop",
  MAINTENANCE: "an operator works on it",
  DISCONNECTED: "its stream ended without a goodbye",
  SILENT: "its beats stopped",
  NOT_SEEN: "never heard of in time",
  CHECK_FAILED: "its checks fail",
  QUARANTINED: "an operator took it out",
  SELF_REPORTED: "its agent says so",
};

/** SERVICE_STATUS_HEALTHY -> "HEALTHY"; the same for any enum whose prefix is given. */
export function bare(value, prefix) {
  return typeof value === "string" && value.startsWith(prefix) ? value.slice(prefix.length) : String(value ?? "");
}

export const statusName = (value) => bare(value, "SERVICE_STATUS_") || "UNSPECIFIED";
export const reasonName = (value) => bare(value, "STATUS_REASON_CODE_");

/** "CHECK_FAILED" -> "check failed". */
export const plain = (name) => name.toLowerCase().replaceAll("_", " ");

/** "CHECK_FAILED" -> "Check failed". */
export function title(name) {
  const text = plain(name);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a reason means, in a few words; "" for one that this page is too old to know. */
export const meaning = (reason) => (Object.hasOwn(MEANING, reason) ? MEANING[reason] : "");

/** The kind of a row: what it looks like, by status and worst reason. */
export function kindOf(status, reasons) {
  if (status === "HEALTHY") return DEGRADED.has(reasons[0]) ? "degraded" : "healthy";
  const kind = status.toLowerCase();
  return Object.hasOwn(SEVERITY, kind) ? kind : "unknown";
}

/** What heads a status: "Healthy", or of second choice why: "Late". */
export function heading(kind, status, reasons) {
  return kind === "degraded" ? title(reasons[0]) : title(status);
}
