// The parts of a service's detail, each from one answer of the registry.

import { el, glyph } from "./dom.js";
import { age, clock, count, fullTime, instant, latency, number, seconds, short, span } from "./format.js";
import { meter, setMeter, slotsText } from "./meter.js";
import { spark } from "./spark.js";
import { bare, kindOf, meaning, plain, reasonName, statusName, title } from "./words.js";

const nothing = (text) => el("p", { class: "nothing" }, text);

/** Why it has its status: GetServiceHealth's reasons, or those of the watch. */
export function reasonsPart(reasons) {
  if (reasons.length === 0) return [nothing("no reason is given")];
  const rows = reasons.map(({ name, since }) =>
    el(
      "li",
      {},
      el("div", {}, el("b", {}, title(name)), " ", el("span", {}, meaning(name))),
      el("span", { title: fullTime(since) }, since === null ? "" : age(Date.now() / 1000 - since)),
    ),
  );
  return [el("ul", { class: "reasons" }, ...rows)];
}

/** Load: GetServicePerformance, and the queue of vitals. */
export function loadPart(performance, vital) {
  const taken = Number(performance.in_flight ?? 0);
  const slots = Number(performance.max_concurrency ?? 0);
  const bar = meter();
  setMeter(bar, taken, slots);
  const free = slots === 0 ? "no limit" : `${number(Math.max(0, slots - taken))} free`;
  const queued = vital === undefined ? 0 : vital.queued;
  return [
    el(
      "div",
      { class: "slots" },
      bar,
      el("p", {}, el("span", {}, `${slotsText(taken, slots, queued)} slots taken`), el("span", {}, free)),
    ),
  ];
}

/** Calls: totals, and a line of recent response times. */
export function callsPart(performance, samples) {
  const succeeded = Number(performance.succeeded ?? 0);
  const failed = Number(performance.failed ?? 0);
  if (succeeded + failed === 0) return [nothing("No outcome of a call has been reported yet.")];
  const figures = [
    ["calls", short(succeeded + failed)],
    ["succeeded", `${(100 * Number(performance.success_rate ?? 0)).toFixed(1)} %`],
    ["median", latency(seconds(performance.p50))],
    ["95 %", latency(seconds(performance.p95))],
    ["most", latency(seconds(performance.max))],
  ];
  const nodes = [figureList(figures)];
  const known = samples.filter((value) => value !== null);
  if (known.length > 1) {
    nodes.push(
      spark(
        samples,
        `Average response time of the calls: from ${latency(Math.min(...known))} to ${latency(Math.max(...known))}`,
      ),
      el(
        "p",
        { class: "spark-legend" },
        el("span", {}, "response time since this was opened"),
        el("span", {}, `now ${latency(known.at(-1))}`),
      ),
    );
  } else nodes.push(el("p", { class: "small" }, "The line of response times begins with the next calls."));
  return nodes;
}

const figureList = (figures) =>
  el(
    "dl",
    { class: "figures" },
    ...figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );

/** The last changes of status, the latest first. */
export function timelinePart(timeline) {
  if (timeline.length === 0) return [nothing("no change is kept")];
  const edges = timeline.map(({ at, status, reasons }) => {
    const names = (reasons ?? []).map(reasonName);
    const word = statusName(status);
    return { at: instant(at), word, names, kind: kindOf(word, names) };
  });
  const ends = [...edges.slice(1).map(({ at }) => at), Date.now() / 1000];
  const ribbon = el("div", { class: "ribbon", "aria-hidden": "true" });
  edges.forEach((edge, index) => {
    const part = el("i", { class: `kind-${edge.kind}` });
    part.style.flexGrow = String(Math.log1p(Math.max(0.2, ends[index] - edge.at))); // an hour must not hide a second
    ribbon.append(part);
  });
  const rows = edges.map((edge, index) => edgeRow(edge, ends[index] - edge.at, index === edges.length - 1)).reverse();
  return [ribbon, el("ol", { class: "edges" }, ...rows)];
}

function edgeRow({ at, word, names, kind }, lasted, current) {
  const why = names
    .filter((name) => name !== "STREAM_OPEN")
    .map(plain)
    .join(", ");
  return el(
    "li",
    { class: `kind-${kind}` },
    glyph(kind),
    el("b", {}, title(word)),
    el("span", { class: "why", title: names.map(plain).join(", ") }, why),
    el("span", { class: "for", title: fullTime(at) }, `${clock(at)} · ${current ? "for " : ""}${span(lasted)}`),
  );
}

const CHECK_KINDS = { PASSING: "healthy", FAILING: "unhealthy", AWAITING: "starting" };
const VERDICT_KINDS = { PASSED: "healthy", FAILED: "unhealthy", UNAVAILABLE: "unknown", DENIED: "unknown" };

/** Its checks, each with its last runs. */
export function checksPart(checks) {
  return [el("ul", { class: "checks" }, ...checks.map(checkRow))];
}

function checkRow({ name, state, stale, timeline = [], next_run: next, interval }) {
  const word = bare(state, "CHECK_STATE_");
  const last = timeline.at(-1);
  const due = seconds(next);
  return el(
    "li",
    { class: `kind-${CHECK_KINDS[word] ?? "unknown"}` },
    el(
      "div",
      { class: "top" },
      glyph(CHECK_KINDS[word] ?? "unknown"),
      el("b", {}, String(name)),
      el("span", { class: "word" }, stale ? `${plain(word)}, stale` : plain(word)),
      el("span", { class: "next" }, due > 0 ? `next in ${age(due)}` : `every ${span(seconds(interval))}`),
    ),
    timeline.length > 0 ? runs(timeline) : null,
    last === undefined ? null : el("p", { class: "said" }, saidBy(last)),
  );
}

function saidBy({ verdict, detail, latency: took, at }) {
  const said = `${plain(bare(verdict, "CHECK_VERDICT_"))} at ${clock(instant(at))} in ${latency(seconds(took) ?? 0)}`;
  return detail ? `${said}: ${detail}` : said;
}

/** A bar for each run: how high, how long it took; striped if it failed. */
function runs(timeline) {
  const times = timeline.map(({ latency: took }) => seconds(took) ?? 0);
  const most = Math.max(...times, 1e-6);
  const passed = timeline.filter(({ verdict }) => verdict === "CHECK_VERDICT_PASSED").length;
  const bars = el("div", {
    class: "runs",
    role: "img",
    "aria-label": `${passed} of its last ${count(timeline.length, "run")} passed; the longest took ${latency(most)}`,
  });
  timeline.forEach((run, index) => {
    const bar = el("i", {
      class: `kind-${VERDICT_KINDS[bare(run.verdict, "CHECK_VERDICT_")] ?? "unknown"}`,
      title: saidBy(run),
    });
    bar.style.height = `${20 + 80 * (times[index] / most)}%`;
    bars.append(bar);
  });
  return bars;
}
