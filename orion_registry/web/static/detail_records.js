// More parts of a service's detail: leases, selection, what an operator set, what its agent registered.

import { el } from "./dom.js";
import { age, clock, count, fullTime, instant, number, seconds, span } from "./format.js";
import { slotsText } from "./meter.js";
import { bare, plain } from "./words.js";

/** Open leases on it. */
export function leasesPart(selections) {
  if (selections.length === 0) return [el("p", { class: "nothing" }, "No slot is taken by a lease.")];
  const head = el(
    "tr",
    {},
    ...["Caller", "Held for", "Ends in"].map((text, n) =>
      el("th", { scope: "col", class: n > 0 ? "num" : null }, text),
    ),
  );
  const rows = selections.map(({ selection_id: id, caller, age: held, ttl, on_stream: onStream }) =>
    el(
      "tr",
      { title: `lease ${id}` },
      el("td", {}, caller || "(no name)", onStream ? el("span", { class: "small" }, " on a stream") : null),
      el("td", { class: "num" }, age(seconds(held) ?? 0)),
      el("td", { class: "num" }, age(seconds(ttl) ?? 0)),
    ),
  );
  return [el("table", { class: "compact" }, el("thead", {}, head), el("tbody", {}, ...rows))];
}

const SHOWN_CANDIDATES = 8;

/** Who would be selected now, and what stands against this one. */
export function explanationPart(explanation, serviceId) {
  const { candidates = [], reason = "", strategy } = explanation;
  const verdict = (candidate) => bare(candidate.verdict, "CANDIDATE_VERDICT_");
  const mine = candidates.find(({ service_id: id }) => id === serviceId);
  const rank = (candidate) => (verdict(candidate) === "CHOSEN" ? 0 : candidate === mine ? 1 : 2);
  const rows = [...candidates].sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN_CANDIDATES);
  const made = rows.map((candidate) =>
    el(
      "tr",
      {
        class: `${verdict(candidate) === "CHOSEN" ? "chosen" : ""} ${candidate === mine ? "this" : ""}`.trim() || null,
      },
      el(
        "td",
        { class: "mono" },
        String(candidate.service_id),
        candidate === mine ? el("span", { class: "unseen" }, " (this one)") : null,
      ),
      el("td", {}, plain(verdict(candidate))),
      el("td", { class: "num" }, slotsText(Number(candidate.in_flight ?? 0), Number(candidate.max_concurrency ?? 0))),
    ),
  );
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "Candidate"),
    el("th", { scope: "col" }, "Verdict"),
    el("th", { scope: "col", class: "num" }, "Slots"),
  );
  const total = Number(explanation.candidate_count ?? candidates.length);
  return [
    el("p", {}, String(reason)),
    el(
      "p",
      { class: "small" },
      `${plain(bare(strategy, "SELECTION_STRATEGY_"))}, ${count(total, "candidate")}`,
      total > rows.length ? `, ${rows.length} shown` : "",
    ),
    made.length > 0 ? el("table", { class: "compact" }, el("thead", {}, head), el("tbody", {}, ...made)) : null,
  ].filter((node) => node !== null);
}

/** What an operator has set. */
export function overlayPart({
  mode,
  weight,
  note,
  set_by: by,
  set_at: at,
  leases_left: left,
  deadline_left: deadline,
  drained,
}) {
  const facts = [["mode", plain(bare(mode, "OVERLAY_MODE_"))]];
  if (weight !== undefined) facts.push(["weight", String(weight)]);
  if (drained) facts.push(["drained", "nothing is left on it: safe to stop"]);
  else if (Number(left ?? 0) > 0) facts.push(["leases left", number(left)]);
  if (deadline !== undefined) facts.push(["deadline in", span(seconds(deadline))]);
  if (note) facts.push(["note", String(note)]);
  if (at) facts.push(["set", `${clock(instant(at))}${by ? ` by ${by}` : ""}`]);
  return [factList(facts)];
}

export function factList(facts) {
  const rows = facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return el("dl", { class: "facts-list" }, ...rows);
}

/** What its agent registered. */
export function registrationPart(service, onTerm) {
  const { info } = service;
  const chips = (word, values) => el("span", { class: "wrap" }, ...values.map((value) => chip(word, value, onTerm)));
  const facts = [
    ["service id", el("span", { class: "mono" }, service.id)],
    ["address", el("span", { class: "mono" }, addressOf(service))],
    ["capabilities", service.capabilities.length > 0 ? chips("cap", service.capabilities) : "none"],
  ];
  if (service.tags.length > 0) facts.push(["tags", chips("tag", service.tags)]);
  if (service.zone !== "") facts.push(["zone", chips("zone", [service.zone])]);
  facts.push(
    ["version", service.version],
    ["namespace", service.namespace],
    ["type", service.type],
    ["liveness", plain(bare(info.liveness ?? "", "LIVENESS_MODE_")) || "stream"],
    [
      "weight",
      info.overlay_weight === undefined ? String(info.weight ?? 1) : `${info.overlay_weight} (set by an operator)`,
    ],
    ["epoch", number(info.epoch)],
    ["registered", fullTime(instant(info.registration_time))],
  );
  if (Object.keys(service.metadata).length > 0) {
    facts.push([
      "metadata",
      el("span", { class: "mono" }, Object.entries(service.metadata).map(metadataLine).join("\n")),
    ]);
  }
  return [factList(facts)];
}

const metadataLine = ([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`;

function addressOf({ protocol, host, port }) {
  const place = host.includes(":") ? `[${host}]` : host;
  return `${protocol}://${place}${port > 0 ? `:${port}` : ""}`;
}

const chip = (word, value, onTerm) =>
  el(
    "button",
    { class: "chip", type: "button", title: `filter by ${word}:${value}`, onclick: () => onTerm(word, value) },
    value,
  );
