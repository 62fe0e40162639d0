// Who can do what, and how much of it is free.

import { get, isAway } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { exactly } from "./filter.js";
import { count, number } from "./format.js";
import { meter, setMeter } from "./meter.js";

const EVERY_MS = 2_000;

export class CapabilitiesView {
  /** namespace(): of the services that count. */
  constructor(namespace) {
    this._namespace = namespace;
    this._rows = byId("capabilities-rows");
    this._input = byId("capability-filter");
    this._known = [];
    this._nodes = new Map();
    this._timer = 0;
    this._open = false;
    this._input.addEventListener("input", () => this._show());
  }

  show(open) {
    if (open === this._open) return;
    this._open = open;
    clearTimeout(this._timer);
    if (open) this._read();
  }

  async _read() {
    try {
      this._known = (await get("capabilities", { namespace: this._namespace() })).capabilities ?? [];
      this._show();
    } catch (error) {
      if (!isAway(error)) throw error; // away: the bar says so
    }
    if (this._open) this._timer = setTimeout(() => this._read(), EVERY_MS);
  }

  _show() {
    const wanted = this._input.value.trim().toLowerCase();
    const shown = this._known.filter(({ capability }) => capability.toLowerCase().includes(wanted));
    shown.sort((a, b) => (a.capability < b.capability ? -1 : 1));
    const rows = shown.map((one) => this._row(one));
    rows.forEach((row, index) => {
      if (this._rows.children[index] !== row) this._rows.insertBefore(row, this._rows.children[index] ?? null);
    });
    while (this._rows.children.length > rows.length) this._rows.lastChild.remove();
    byId("capabilities-table").hidden = rows.length === 0;
    const empty = byId("capabilities-empty");
    empty.hidden = rows.length > 0;
    setText(empty, this._known.length === 0 ? "No service offers a capability yet." : "No capability matches.");
    setText(
      byId("capabilities-found"),
      wanted === ""
        ? count(this._known.length, "capability").replace("ys", "ies")
        : `${number(rows.length)} of ${number(this._known.length)}`,
    );
  }

  _row({ capability, services = 0, ready = 0, slots = 0, free = 0, unlimited = 0 }) {
    let node = this._nodes.get(capability);
    if (node === undefined) {
      const link = el("a", { href: `#/fleet?q=${encodeURIComponent(exactly("cap", capability))}` }, capability);
      const bar = meter();
      const cells = { services: el("td", { class: "num" }), ready: el("td", { class: "num" }), figure: el("span") };
      node = el(
        "tr",
        {},
        el("td", {}, link),
        cells.services,
        cells.ready,
        el("td", {}, el("div", { class: "free" }, bar, cells.figure)),
      );
      Object.assign(node, { bar, figures: cells });
      this._nodes.set(capability, node);
    }
    const { bar, figures: cells } = node;
    setText(cells.services, number(services));
    setText(cells.ready, Number(ready) === 0 ? "none" : number(ready));
    cells.ready.classList.toggle("none", Number(ready) === 0);
    setMeter(bar, Number(slots) - Number(free), Number(slots));
    const figure = Number(slots) === 0 ? "" : `${number(free)} of ${number(slots)} free`;
    const more = Number(unlimited) > 0 ? `${figure === "" ? "" : " and "}${number(unlimited)} without limit` : "";
    setText(cells.figure, figure + more || "–");
    return node;
  }
}
