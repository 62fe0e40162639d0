// The fleet: what the watch has told, and who is to be told of changes, once a frame.

import { SEVERITY } from "./words.js";
import { compare, readService } from "./service.js";

/** All services by id. Changes are collected and told once per animation frame, however many came. */
export class Store {
  constructor(schedule = (work) => requestAnimationFrame(work), clock = () => performance.now()) {
    this.services = new Map();
    this.counts = Object.fromEntries(Object.keys(SEVERITY).map((kind) => [kind, 0]));
    this.loaded = false;
    this.changes = 0; // since the page was opened
    this._schedule = schedule;
    this._clock = clock;
    this._listeners = [];
    this._pending = new Map(); // id -> the service before the batch
    this._scheduled = false;
    this._unconfirmed = null; // during a resync: ids that have not been added again
  }

  /** Calls `listener({ touched, fresh })` once a frame: `touched` maps id -> service before, undefined if it is new. */
  onChange(listener) {
    this._listeners.push(listener);
  }

  get size() {
    return this.services.size;
  }

  /** ADDED or MODIFIED. */
  put(info) {
    const after = readService(info, this._clock());
    const before = this.services.get(after.id);
    this._unconfirmed?.delete(after.id);
    after.change = this.loaded ? compare(before, after) : "";
    if (before !== undefined) {
      this.counts[before.kind] -= 1;
      if (after.change === "") {
        after.change = before.change; // its highlight goes on
        after.changedAt = before.changedAt;
      }
    }
    this.counts[after.kind] += 1;
    this.services.set(after.id, after);
    this._touch(after.id, before);
  }

  /** REMOVED. */
  remove(id) {
    const before = this.services.get(id);
    this._unconfirmed?.delete(id);
    if (before === undefined) return;
    this.counts[before.kind] -= 1;
    this.services.delete(id);
    this._touch(id, before);
  }

  /** RESYNC: what is not added again before the next bookmark is gone. */
  resync() {
    this._unconfirmed = new Set(this.services.keys());
  }

  /** BOOKMARK: the snapshot is whole. Returns how many services were dropped. */
  bookmark() {
    const gone = [...(this._unconfirmed ?? [])];
    this._unconfirmed = null;
    for (const id of gone) this.remove(id);
    if (!this.loaded) {
      this.loaded = true;
      this._touch("", undefined);
    }
    return gone.length;
  }

  _touch(id, before) {
    this.changes += 1;
    if (!this._pending.has(id)) this._pending.set(id, before);
    if (this._scheduled) return;
    this._scheduled = true;
    this._schedule(() => this._flush());
  }

  _flush() {
    const touched = this._pending;
    this._pending = new Map();
    this._scheduled = false;
    touched.delete("");
    for (const listener of this._listeners) listener(touched);
  }
}
