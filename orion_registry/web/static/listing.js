// Which services are listed, in which order: kept up to date from changes, never made anew for one.

import { SEVERITY } from "./words.js";

const byText = (read) => (service) => read(service).toLowerCase();

/** Column -> the key that it sorts by. Equal keys: by name, agent, id. */
const KEYS = {
  status: (service) => String(SEVERITY[service.kind]),
  service: () => "",
  zone: byText((service) => service.zone),
  version: (service) => service.version.replaceAll(/\d+/g, (digits) => digits.padStart(8, "0")),
  since: (service) => String(Math.round(10_000_000_000 - (service.since ?? 0))).padStart(12, "0"),
};

export const SORTABLE = Object.keys(KEYS);

const natural = (text) => text.toLowerCase().replaceAll(/\d+/g, (digits) => digits.padStart(6, "0"));

/** The filtered and sorted services. */
export class Listing {
  constructor(services) {
    this.rows = [];
    this._services = services;
    this._matches = () => true;
    this._listed = new Map(); // id -> { key, service }
    this._column = "status";
    this._descending = false;
    this._held = false;
    this._late = false;
  }

  get column() {
    return this._column;
  }

  get descending() {
    return this._descending;
  }

  /** While held, rows keep their places: nothing moves under a pointer. Newcomers go to the end. */
  hold(held) {
    this._held = held;
    if (held || !this._late) return false;
    this._late = false;
    this._sort();
    return true;
  }

  /** Another filter or order: all anew. */
  reset({ matches = this._matches, column = this._column, descending = this._descending }) {
    this._matches = matches;
    this._column = KEYS[column] === undefined ? "status" : column;
    this._descending = descending;
    this._listed.clear();
    for (const service of this._services.values())
      if (matches(service)) this._listed.set(service.id, this._entry(service));
    this.rows = [...this._listed.values()];
    this._sort();
  }

  /** Takes a batch of changes. Returns whether places changed, rather than only contents. */
  update(ids) {
    let moved = false;
    let gone = false;
    for (const id of ids) {
      const service = this._services.get(id);
      const entry = this._listed.get(id);
      const listed = service !== undefined && this._matches(service);
      if (entry === undefined) {
        if (!listed) continue;
        const fresh = this._entry(service);
        this._listed.set(id, fresh);
        this.rows.push(fresh);
        moved = true;
      } else if (!listed) {
        entry.service = null;
        this._listed.delete(id);
        gone = true;
      } else {
        const { key } = this._entry(service);
        moved ||= key !== entry.key;
        entry.key = key;
        entry.service = service;
      }
    }
    if (gone) this.rows = this.rows.filter((entry) => entry.service !== null);
    if (moved && this._held) this._late = true;
    else if (moved) this._sort();
    return moved || gone;
  }

  /** Where a service is; -1 if it is not listed. */
  indexOf(id) {
    const entry = this._listed.get(id);
    return entry === undefined ? -1 : this.rows.indexOf(entry);
  }

  _entry(service) {
    const first = KEYS[this._column](service);
    return { service, key: `${first}\u0000${natural(service.name)}\u0000${natural(service.agent)}\u0000${service.id}` };
  }

  _sort() {
    const sign = this._descending ? -1 : 1;
    this.rows.sort((a, b) => (a.key < b.key ? -sign : a.key > b.key ? sign : 0));
  }
}
