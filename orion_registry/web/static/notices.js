// What needs eyes now: alarms of the registry, and whether what is shown is still true.

import { byId, el, glyph, setText } from "./dom.js";
import { age, clock, instant, seconds, span } from "./format.js";
import { title } from "./words.js";

const BACK_MS = 8_000;
const STALL_MS = 60_000;
/** Shorter stalls are in the events alone: on a busy machine they are no news. */
const TOLD_STALL_S = 1;

export class Notices {
  constructor() {
    this._place = byId("notices");
    this._chip = byId("connection");
    this._alarms = [];
    this._connection = null;
    this._stalls = null; // not known yet
    this._stall = null;
    this._timer = 0;
    this._shown = "";
    setInterval(() => this._show(), 1_000);
  }

  /** The chip in the bar. */
  showState(state, text) {
    if (this._chip.dataset.state !== state) {
      this._chip.dataset.state = state;
      this._chip.replaceChildren(glyph(state === "live" ? "live" : "lost"), el("span", {}, text));
    } else setText(this._chip.lastChild, text);
  }

  /** The connection is lost: what is shown is as it was then. */
  lost(lastTrue, why) {
    clearTimeout(this._timer);
    const text = `The fleet is shown as it was at ${clock(lastTrue)}.`;
    this._connection = {
      kind: "unhealthy",
      glyph: "lost",
      name: "Connection lost",
      text: `${text} Trying again by itself.`,
      detail: why,
    };
    this._show();
  }

  /** It is back. */
  back(text) {
    clearTimeout(this._timer);
    this._connection = { kind: "healthy", glyph: "live", name: "Connected again", text };
    this._timer = setTimeout(() => this.clear(), BACK_MS);
    this._show();
  }

  clear() {
    clearTimeout(this._timer);
    this._connection = null;
    this._show();
  }

  /** Alarms of GetServerInfo. Returns the names of those that are new, and of those that are over. */
  setAlarms(alarms) {
    const before = new Set(this._alarms.map(({ name }) => name));
    const now = new Set(alarms.map(({ name }) => name));
    this._alarms = alarms;
    this._show();
    return {
      raised: alarms.filter(({ name }) => !before.has(name)),
      over: [...before].filter((name) => !now.has(name)),
    };
  }

  /** How well the registry keeps up with its own time (SelfHealth). Returns what there is to say of a new stall. */
  setSelfHealth({ stalls, last_stall: last }) {
    const before = this._stalls;
    this._stalls = Number(stalls ?? 0);
    if (before === null || this._stalls <= before || (seconds(last) ?? 0) < TOLD_STALL_S) return "";
    const text = `The registry stood still for ${span(seconds(last))}. No agent is held to account for it.`;
    this._stall = { text, until: performance.now() + STALL_MS };
    this._show();
    return text;
  }

  _show() {
    const rows = this._alarms.map(({ name, text, since }) => {
      const began = instant(since);
      const when = began === null ? "" : `for ${age(Date.now() / 1000 - began)}`;
      return { kind: "degraded", glyph: "alarm", name: title(String(name)), text: String(text), when };
    });
    if (this._stall !== null && performance.now() > this._stall.until) this._stall = null;
    if (this._stall !== null) rows.push({ kind: "degraded", glyph: "alarm", name: "Stalled", text: this._stall.text });
    if (this._connection !== null) rows.unshift(this._connection);
    const shown = JSON.stringify(rows);
    if (shown === this._shown) return;
    this._shown = shown;
    this._place.replaceChildren(...rows.map((row) => notice(row)));
  }
}

function notice({ kind, glyph: sign, name, text, detail, when }) {
  return el(
    "div",
    { class: `notice kind-${kind}`, title: detail },
    glyph(sign),
    el("strong", {}, name),
    el("span", {}, text),
    when ? el("span", { class: "when" }, when) : null,
  );
}
