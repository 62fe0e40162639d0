// The fleet: the list, its filter and its order, moved through by keys.

import { byId, el, setAttribute, setText } from "./dom.js";
import { parse } from "./filter.js";
import { bindRow, COLUMNS, makeRow, showAges, showVitals } from "./fleet_row.js";
import { count, number } from "./format.js";
import { Listing } from "./listing.js";
import { VirtualList } from "./virtual.js";

/** How long rows keep their places after the pointer last moved over them. */
const HOLD_MS = 1_500;

export class FleetView {
  /** onOpen(id): a service is to be shown. onFilter(line), onSort(column, descending): for the address. */
  constructor({ store, vitals, onOpen, onFilter, onSort }) {
    Object.assign(this, { _store: store, _vitals: vitals, _onOpen: onOpen, _onFilter: onFilter, _onSort: onSort });
    this.listing = new Listing(store.services);
    this.activeId = "";
    this._line = "";
    this._grid = byId("fleet-grid");
    this._found = byId("found");
    this._empty = byId("fleet-empty");
    this._held = 0;
    this._list = new VirtualList({
      scroller: this._grid,
      body: byId("fleet-rows"),
      rowHeight: this._rowHeight(),
      make: makeRow,
      bind: (row, index) => this._bind(row, index),
      onWindow: () => this._vitalsSoon(),
    });
    this._buildHead();
    this._listen();
    store.onChange((touched) => this._changed(touched));
    setInterval(() => this._list.each((row) => showAges(row, this._vitals.of(row.service.id))), 1_000);
  }

  /** Ids in sight. */
  inSight() {
    return this.listing.rows.slice(this._list.first, this._list.end).map(({ service }) => service.id);
  }

  showVitals() {
    this._list.each((row) => showVitals(row, this._vitals.of(row.service.id)));
  }

  focus() {
    this._grid.focus();
  }

  setFilter(line) {
    if (line === this._line) return;
    this._line = line;
    const query = parse(line);
    this._unknown = query.unknown;
    this.listing.reset({ matches: query.matches });
    this._list.toTop();
    this._showAll();
    this._onFilter(line);
  }

  setSort(column, descending) {
    this.listing.reset({ column, descending });
    this._showHead();
    this._showAll();
  }

  /** Marks the row of a service; "" for none. */
  setActive(id, { reveal = false } = {}) {
    this.activeId = id;
    const index = this.listing.indexOf(id);
    if (reveal && index >= 0) this._list.reveal(index);
    this._showActive();
  }

  /** By keys: +1 the next one, -1 the one before; Infinity the last. Returns the id, "" if there is none. */
  move(step) {
    const { rows } = this.listing;
    if (rows.length === 0) return "";
    const at = this.listing.indexOf(this.activeId);
    const start = at < 0 ? (step > 0 ? this._list.first - 1 : this._list.first + 1) : at;
    const index = Math.max(0, Math.min(rows.length - 1, start + step));
    this.setActive(rows[index].service.id, { reveal: true });
    return this.activeId;
  }

  pageStep() {
    return Math.max(1, this._list.end - this._list.first - 2);
  }

  /** Another height of rows, as when a phone is turned. */
  relayout() {
    this._list.resize(this.listing.rows.length, this._rowHeight());
  }

  _rowHeight() {
    return parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 36;
  }

  _bind(row, index) {
    const { service } = this.listing.rows[index];
    bindRow(row, index, service, this._vitals.of(service.id), performance.now());
    setAttribute(row, "aria-selected", service.id === this.activeId);
  }

  _changed(touched) {
    this.listing.update(touched.keys());
    for (const id of touched.keys()) if (!this._store.services.has(id)) this._vitals.forget(id);
    this._showAll();
  }

  _showAll() {
    const shown = this.listing.rows.length;
    this._list.resize(shown);
    setAttribute(this._grid, "aria-rowcount", shown + 1);
    this._showFound(shown);
    this._showEmpty(shown);
    this._showActive();
    if (this._store.loaded && !this._marked) {
      this._marked = true;
      performance.mark("fleet-shown"); // for whoever measures how long the page takes (tests/e2e/page.py)
    }
  }

  _showActive() {
    let active = null;
    this._list.each((row) => {
      const here = row.service.id === this.activeId;
      setAttribute(row, "aria-selected", here);
      if (here) active = row.id;
    });
    setAttribute(this._grid, "aria-activedescendant", active);
  }

  _showFound(shown) {
    const total = this._store.size;
    if (this._unknown?.length > 0) {
      const text = `no such word: ${this._unknown.join(", ")}`;
      if (this._found.textContent !== text) this._found.replaceChildren(el("span", { class: "odd" }, text));
    } else setText(this._found, this._line === "" ? count(total, "service") : `${number(shown)} of ${number(total)}`);
  }

  _showEmpty(shown) {
    this._empty.hidden = shown > 0;
    if (shown > 0) return;
    if (this._store.size > 0) {
      this._empty.replaceChildren(
        el("b", {}, "No service matches"),
        el("span", {}, "Change the filter, or press Escape in it to clear it."),
      );
    } else if (this._store.loaded) {
      this._empty.replaceChildren(
        el("b", {}, "No services yet"),
        el("span", {}, "They appear here as agents register."),
        el("code", {}, "python examples/agent.py"),
      );
    } else this._empty.replaceChildren(el("span", {}, "Reading the fleet…"));
  }

  _vitalsSoon() {
    clearTimeout(this._soon);
    this._soon = setTimeout(() => this._vitals.ask(), 80); // once scrolling pauses
  }

  _buildHead() {
    const head = byId("fleet-head");
    for (const { key, title, sortable } of COLUMNS) {
      const button = sortable
        ? el("button", { type: "button", onclick: () => this._sortBy(key), tabindex: -1 }, title)
        : title;
      head.append(el("div", { class: `c-${key}`, role: "columnheader", "data-column": key }, button));
    }
    this._showHead();
  }

  _showHead() {
    for (const cell of byId("fleet-head").children) {
      const { column } = cell.dataset;
      if (!COLUMNS.find(({ key }) => key === column).sortable) continue;
      const order = this.listing.descending ? "descending" : "ascending";
      cell.setAttribute("aria-sort", column === this.listing.column ? order : "none");
    }
  }

  _sortBy(column) {
    const descending = column === this.listing.column && !this.listing.descending;
    this.setSort(column, descending);
    this._onSort(column, descending);
  }

  _listen() {
    this._grid.addEventListener("click", (event) => {
      const row = event.target.closest("#fleet-rows .row");
      if (row === null || row.service === null) return;
      this.setActive(row.service.id);
      this._onOpen(row.service.id);
    });
    this._grid.addEventListener("pointermove", () => this._hold(), { passive: true });
    this._grid.addEventListener("pointerleave", () => this._release());
  }

  _hold() {
    this.listing.hold(true);
    clearTimeout(this._held);
    this._held = setTimeout(() => this._release(), HOLD_MS);
  }

  _release() {
    clearTimeout(this._held);
    if (this.listing.hold(false)) this._showAll();
  }
}
