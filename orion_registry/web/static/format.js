// How spans, instants and figures are written.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** Seconds of a protobuf Duration in JSON ("1.5s"); null if there is none. */
export function seconds(duration) {
  if (typeof duration === "number") return duration;
  if (typeof duration !== "string" || !duration.endsWith("s")) return null;
  const value = Number(duration.slice(0, -1));
  return Number.isFinite(value) ? value : null;
}

/** Seconds of the epoch of a protobuf Timestamp in JSON; null if there is none. */
export function instant(timestamp) {
  const value = Date.parse(timestamp ?? "");
  return Number.isNaN(value) ? null : value / 1000;
}

/** A span for people, of two figures or so: "0.4 s", "12 s", "4 min", "2 h 5 min", "3 d". */
export function span(s) {
  if (s === null || s === undefined) return "–";
  if (s < 9.95) return `${Math.max(0, s).toFixed(1)} s`;
  if (s < MINUTE) return `${Math.round(s)} s`;
  if (s < HOUR) return `${Math.floor(s / MINUTE)} min`;
  if (s < DAY) {
    const minutes = Math.floor((s % HOUR) / MINUTE);
    return minutes === 0 || s >= 10 * HOUR ? `${Math.floor(s / HOUR)} h` : `${Math.floor(s / HOUR)} h ${minutes} min`;
  }
  return `${Math.floor(s / DAY)} d`;
}

/** An age without tenths: they would flicker in a list. */
export function age(s) {
  if (s === null || s === undefined) return "–";
  return s < MINUTE ? `${Math.max(0, Math.floor(s))} s` : span(s);
}

/** A response time. */
export function latency(s) {
  if (s === null || s === undefined) return "–";
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? (s * 1e3).toFixed(1) : Math.round(s * 1e3)} ms`;
  return `${s.toFixed(2)} s`;
}

const grouping = new Intl.NumberFormat("en-GB");

const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

/** 5000 -> "5,000", 5400000 -> "5.4M". */
export function short(value) {
  return Number(value ?? 0) < 100_000 ? number(value) : compact.format(Number(value));
}

/** 5000 -> "5,000". */
export function number(value) {
  return grouping.format(Number(value ?? 0));
}

/** "1 service", "2 services". */
export function count(value, noun) {
  return `${number(value)} ${noun}${Number(value) === 1 ? "" : "s"}`;
}

const two = (figure) => String(figure).padStart(2, "0");

/** Clock time of an instant; with the day if that is not today. */
export function clock(s) {
  if (s === null) return "–";
  const then = new Date(s * 1000);
  const time = [then.getHours(), then.getMinutes(), then.getSeconds()].map(two).join(":");
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${[then.getFullYear(), then.getMonth() + 1, then.getDate()].map(two).join("-")} ${time}`;
}

/** "2026-11-28 16:42:10", for a tooltip. */
export function fullTime(s) {
  return s === null
    ? ""
    : new Date(s * 1000)
        .toISOString()
        .replace("T", " ")
        .replace(/\.\d+Z$/, " UTC");
}
