// What a screen reader is told: alarms and the connection at once, changes of the fleet in sums, not one by one.

import { byId } from "./dom.js";
import { count } from "./format.js";

const EVERY_MS = 5_000;
const NAMED = 3;

export class Spoken {
  constructor(store) {
    this._node = byId("spoken");
    this._worse = new Map();
    this._better = new Map();
    this._timer = 0;
    store.onChange((touched) => this._collect(store, touched));
  }

  /** Says it now. */
  say(text) {
    this._node.textContent = text;
  }

  _collect(store, touched) {
    if (!store.loaded) return;
    for (const id of touched.keys()) {
      const service = store.services.get(id);
      if (service?.change === "worse") this._worse.set(id, service) && this._better.delete(id);
      else if (service?.change === "better") this._better.set(id, service) && this._worse.delete(id);
    }
    if (this._timer === 0 && this._worse.size + this._better.size > 0) {
      this._timer = setTimeout(() => this._sum(), this._last === undefined ? 1_000 : EVERY_MS);
    }
  }

  _sum() {
    this._timer = 0;
    this._last = performance.now();
    const parts = [tell(this._worse, "got worse"), tell(this._better, "recovered")].filter((text) => text !== "");
    this._worse.clear();
    this._better.clear();
    this.say(`${parts.join(". ")}.`);
  }
}

function tell(services, what) {
  if (services.size === 0) return "";
  if (services.size > NAMED) return `${count(services.size, "service")} ${what}`;
  return [...services.values()]
    .map(({ name, agent, status }) => `${name} of ${agent} ${what}: ${status.toLowerCase()}`)
    .join(", ");
}
