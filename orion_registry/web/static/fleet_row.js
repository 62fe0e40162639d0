// One row of the fleet's list: made once, then filled again and again.

import { el, glyph, setAttribute, setGlyph, setText } from "./dom.js";
import { age, fullTime, span } from "./format.js";
import { meter, showLoad } from "./meter.js";
import { heading, plain } from "./words.js";

const FLASH_MS = 1_400;
const CHIPS = 6;

/** The columns: key, title, whether one may sort by it. */
export const COLUMNS = [
  { key: "status", title: "Status", sortable: true },
  { key: "service", title: "Service", sortable: true },
  { key: "load", title: "Slots", sortable: false },
  { key: "beat", title: "Beat", sortable: false },
  { key: "zone", title: "Zone", sortable: true },
  { key: "version", title: "Version", sortable: true },
  { key: "capabilities", title: "Capabilities", sortable: false },
  { key: "since", title: "Since", sortable: true },
];

/** A row node with its parts at hand in `row.parts`. */
export function makeRow(slot) {
  const parts = {
    glyph: glyph("healthy"),
    word: el("span", { class: "word" }),
    why: el("span", { class: "why" }),
    name: el("span", { class: "name" }),
    agent: el("span", { class: "agent" }),
    bar: meter(),
    figure: el("span", { class: "figure" }),
  };
  const cells = {
    status: [parts.glyph, parts.word, parts.why],
    service: [parts.name, parts.agent],
    load: [parts.bar, parts.figure],
    beat: [],
    zone: [],
    version: [],
    capabilities: [],
    since: [],
  };
  const row = el("div", { class: "row", role: "row", id: `fleet-row-${slot}` });
  for (const { key } of COLUMNS) {
    parts[key] = el("div", { class: `c-${key}`, role: "gridcell" }, ...cells[key]);
    row.append(parts[key]);
  }
  row.parts = parts;
  row.service = null;
  row.flashed = 0;
  return row;
}

/** Shows a service; does nothing that is not needed. */
export function bindRow(row, index, service, vital, now) {
  setAttribute(row, "aria-rowindex", index + 2);
  if (row.service === service) return;
  const fresh = row.service?.id !== service.id;
  row.service = service;
  const { parts } = row;
  const names = service.reasons.map(({ name }) => name);
  if (fresh || row.kind !== service.kind) {
    row.kind = service.kind;
    row.className = `row kind-${service.kind}`;
    setGlyph(parts.glyph, service.kind);
  }
  setText(parts.word, heading(service.kind, service.status, names));
  setText(parts.why, why(service.kind, names));
  setText(parts.name, service.name);
  setText(parts.agent, service.agent);
  setText(parts.zone, service.zone || "–");
  setText(parts.version, service.version);
  setText(parts.since, age(sinceNow(service)));
  setAttribute(parts.since, "title", fullTime(service.since));
  setAttribute(row, "title", service.ready ? null : "not ready: it is not selected now");
  showChips(parts.capabilities, service.capabilities);
  showVitals(row, vital);
  flash(row, service, fresh, now);
}

/** What stands beside the status word: the worst reason that the word does not say itself. */
function why(kind, names) {
  if (kind === "healthy") return names[0] === "STREAM_OPEN" ? "" : plain(names[0] ?? "");
  const rest = kind === "degraded" ? names.slice(1) : names;
  const told = rest.filter((name) => name !== "STREAM_OPEN" && name !== "BEATING");
  return told.map(plain).join(", ");
}

const sinceNow = (service) => (service.since === null ? null : Date.now() / 1000 - service.since);

function showChips(cell, capabilities) {
  const key = capabilities.join("\n");
  if (cell.shown === key) return;
  cell.shown = key;
  const chips = capabilities.slice(0, CHIPS).map((name) => el("span", { class: "chip" }, name));
  if (capabilities.length > CHIPS) chips.push(el("span", { class: "small" }, `+${capabilities.length - CHIPS}`));
  cell.replaceChildren(...chips);
  cell.title = capabilities.join("  ");
}

/** Load and age of the beat. */
export function showVitals(row, vital) {
  const { parts } = row;
  showLoad(parts.bar, parts.figure, vital);
  setText(parts.beat, vital === undefined || vital.beatAge === null ? "–" : span(vital.beatAge));
}

/** What passes with time alone. */
export function showAges(row, vital) {
  setText(row.parts.since, age(sinceNow(row.service)));
  if (vital !== undefined && vital.beatAge !== null) setText(row.parts.beat, span(vital.beatAge));
}

/** A short highlight, for as long as the change is young; two names for one animation start it anew. */
function flash(row, service, fresh, now) {
  const young = service.change !== "" && now - service.changedAt < FLASH_MS;
  if (young && row.flashed !== service.changedAt) {
    const next = row.classList.contains("flash-a") ? "flash-b" : "flash-a";
    row.classList.remove("flash-a", "flash-b");
    row.classList.add(next);
    row.flashed = service.changedAt;
  } else if (!young && fresh) row.classList.remove("flash-a", "flash-b");
}
