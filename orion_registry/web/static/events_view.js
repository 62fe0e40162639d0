// What happened and what happens: the registry's log, the latest first.

import { byId, el, glyph, setAttribute, setGlyph, setText } from "./dom.js";
import { readEvent } from "./event_words.js";
import { clock, count, fullTime, number } from "./format.js";
import { Stream } from "./stream.js";
import { VirtualList } from "./virtual.js";
import { title } from "./words.js";

const KEPT = 5_000;

export class EventsView {
  /** nameOf(serviceId): the service's name if it is known. onOpen(id): it is to be shown. */
  constructor({ nameOf, onOpen }) {
    Object.assign(this, { _nameOf: nameOf, _onOpen: onOpen });
    this._events = []; // the oldest first
    this._shown = []; // the latest first
    this._input = byId("event-filter");
    this._follow = byId("event-follow");
    this._scroller = byId("events-scroll");
    this._pending = false;
    this._list = new VirtualList({
      scroller: this._scroller,
      body: byId("events-rows"),
      rowHeight: this._rowHeight(),
      make: (slot) => this._make(slot),
      bind: (row, index) => this._bind(row, index),
    });
    this._stream = new Stream({
      path: "watch/events",
      onOpen: ({ resumed }) => {
        if (!resumed) this._events = [];
      },
      onEvent: (event) => this._take(event),
    });
    this._input.addEventListener("input", () => this._select());
    this._follow.addEventListener("change", () => this._select());
    this._scroller.addEventListener("click", (event) => this._clicked(event));
  }

  /** Reads only while it is open: each stream is a connection, and a browser has six for a registry. */
  show(open) {
    if (open) this._stream.start();
    else this._stream.pause();
    if (open) requestAnimationFrame(() => this.relayout());
  }

  retryNow() {
    if (this._stream.state !== "paused") this._stream.retryNow();
  }

  relayout() {
    this._list.resize(this._shown.length, this._rowHeight());
  }

  _rowHeight() {
    return parseFloat(getComputedStyle(this._scroller).getPropertyValue("--row")) || 32;
  }

  _take({ type, data }) {
    if (type === "resync") {
      this._events = [];
    } else if (type !== "bookmark") {
      const told = JSON.parse(data);
      for (const one of told.events ?? [told]) this._events.push(readEvent(one));
      if (this._events.length > KEPT) this._events.splice(0, this._events.length - KEPT);
    }
    if (this._pending) return;
    this._pending = true;
    requestAnimationFrame(() => {
      this._pending = false;
      if (this._follow.checked) this._select();
    });
  }

  _select() {
    const words = this._input.value
      .toLowerCase()
      .split(/\s+/)
      .filter((word) => word !== "");
    this._shown = [];
    for (let n = this._events.length - 1; n >= 0; n -= 1) {
      const event = this._events[n];
      if (words.every((word) => event.haystack.includes(word))) this._shown.push(event);
    }
    this._list.resize(this._shown.length);
    setAttribute(this._scroller, "aria-rowcount", this._shown.length + 1);
    const total = this._events.length;
    setText(
      byId("events-found"),
      words.length === 0 ? count(total, "event") : `${number(this._shown.length)} of ${number(total)}`,
    );
    const empty = byId("events-empty");
    empty.hidden = this._shown.length > 0;
    setText(empty, total === 0 ? "No event yet." : "No event matches.");
  }

  _make(slot) {
    const parts = {
      time: el("span", { class: "time", role: "gridcell" }),
      type: el("span", { class: "type", role: "gridcell" }),
      name: el("span"),
      agent: el("span", { class: "agent" }),
      glyph: glyph("healthy"),
      text: el("span"),
    };
    const what = el("span", { class: "what", role: "gridcell" }, parts.glyph, parts.text);
    const who = el("span", { class: "who", role: "gridcell" }, parts.name, parts.agent);
    const row = el("div", { class: "row", role: "row", id: `event-row-${slot}` }, parts.time, parts.type, who, what);
    row.parts = parts;
    return row;
  }

  _bind(row, index) {
    const event = this._shown[index];
    if (row.event === event) return;
    row.event = event;
    const { parts } = row;
    row.className = `row${event.kind === "" ? "" : ` kind-${event.kind}`}`;
    setAttribute(row, "aria-rowindex", index + 2);
    setAttribute(row, "data-opens", event.serviceId === "" ? null : event.serviceId);
    setText(parts.time, clock(event.at));
    parts.time.title = `${fullTime(event.at)}, event ${event.seq}`;
    setText(parts.type, title(event.type));
    setText(parts.name, event.serviceId === "" ? "registry" : (this._nameOf(event.serviceId) ?? event.serviceId));
    setText(parts.agent, event.agent);
    setGlyph(parts.glyph, event.kind || "healthy");
    parts.glyph.style.visibility = event.kind === "" ? "hidden" : "";
    setText(parts.text, event.text);
    parts.text.parentNode.title = event.text;
  }

  _clicked(event) {
    const row = event.target.closest(".row[data-opens]");
    if (row !== null) this._onOpen(row.dataset.opens);
  }
}
