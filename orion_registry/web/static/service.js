// One service as the page keeps it: read once from its ServiceInfo, then only looked at.

import { instant } from "./format.js";
import { SEVERITY, kindOf, reasonName, statusName } from "./words.js";

const list = (value) => (Array.isArray(value) ? value.map(String) : []);

/** From the JSON of a ServiceInfo. Missing fields are proto3 defaults. */
export function readService(info, now) {
  const status = statusName(info.status);
  const reasons = (info.status_reasons ?? []).map(({ code, since }) => ({
    name: reasonName(code),
    since: instant(since),
  }));
  const kind = kindOf(
    status,
    reasons.map(({ name }) => name),
  );
  const service = {
    id: String(info.service_id ?? ""),
    name: String(info.service_name ?? ""),
    agent: String(info.agent_id ?? ""),
    type: String(info.service_type ?? ""),
    namespace: String(info.namespace ?? ""),
    zone: String(info.zone ?? ""),
    version: String(info.version ?? ""),
    host: String(info.host ?? ""),
    port: Number(info.port ?? 0),
    protocol: String(info.protocol ?? ""),
    capabilities: list(info.capabilities),
    tags: list(info.tags),
    metadata: info.metadata && typeof info.metadata === "object" ? info.metadata : {},
    slots: Number(info.max_concurrency ?? 0),
    status,
    reasons,
    kind,
    ready: info.ready === true,
    since: reasons.length > 0 ? reasons[0].since : null,
    info,
    changedAt: now,
    change: "",
  };
  service.text = haystack(service);
  return service;
}

/** What free words of the filter look into, in lower case. */
function haystack(service) {
  const { id, name, agent, zone, version, host, capabilities, tags, status, reasons } = service;
  const words = [name, agent, id, zone, version, host, ...capabilities, ...tags, status, ...reasons.map((r) => r.name)];
  return words.join("\n").toLowerCase();
}

/** How a change is to be shown: "worse", "better", "changed", or "" if a reader of the list would not see it. */
export function compare(before, after) {
  if (before === undefined) return "added";
  const difference = SEVERITY[after.kind] - SEVERITY[before.kind];
  if (difference !== 0) return difference < 0 ? "worse" : "better";
  if (before.ready !== after.ready) return after.ready ? "better" : "worse";
  const same = before.text === after.text && before.slots === after.slots;
  return same ? "" : "changed";
}
