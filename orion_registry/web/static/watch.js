// Keeps the store as the registry says: the watch of services, and what people are told when it breaks and comes back.

import { count } from "./format.js";
import { Stream } from "./stream.js";

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  lost: "Connection lost",
  refused: "Token wanted",
  paused: "Paused",
};

export class Watch {
  constructor({ store, notices, spoken, grid, namespace }) {
    Object.assign(this, { _store: store, _notices: notices, _spoken: spoken, _grid: grid });
    this._whole = false; // the snapshot has come to its end: going on from here misses nothing
    this._lastTrue = null;
    this._wasLost = false;
    this._before = 0;
    this._resynced = false;
    this._stream = new Stream({
      path: "watch",
      parameters: () => ({ include_not_ready: "true", namespace: namespace() }),
      onOpen: ({ resumed }) => this._opened(resumed),
      onEvent: (event) => this._event(event),
      onState: (state, { error } = {}) => this._state(state, error),
      mayResume: () => this._whole,
    });
  }

  get isPaused() {
    return this._stream.state === "paused";
  }

  start() {
    this._stream.start();
  }

  pause() {
    this._stream.pause();
  }

  retryNow() {
    if (!this.isPaused) this._stream.retryNow();
  }

  /** Other services are wanted: all anew. */
  restart() {
    this._whole = false;
    this.retryNow();
  }

  _opened(resumed) {
    this._resynced = !resumed;
    this._before = this._store.changes;
    if (!resumed) this._startAnew();
  }

  _startAnew() {
    this._whole = false;
    this._resynced = true;
    this._store.resync();
  }

  _event({ type, data }) {
    if (type === "resync") this._startAnew();
    else if (type === "bookmark") this._bookmark();
    else {
      const { service } = JSON.parse(data);
      if (type === "removed") this._store.remove(service.service_id);
      else if (type === "added" || type === "modified") this._store.put(service);
    }
  }

  _bookmark() {
    const first = !this._store.loaded;
    const dropped = this._store.bookmark();
    this._whole = true;
    if (first) this._spoken.say(`${count(this._store.size, "service")}.`);
    if (this._wasLost) this._tellBack(dropped);
  }

  _tellBack(dropped) {
    this._wasLost = false;
    const changes = this._store.changes - this._before;
    const gone = dropped > 0 ? `, ${count(dropped, "service")} gone` : "";
    const text = this._resynced
      ? `The whole fleet was read again: ${count(this._store.size, "service")}${gone}.`
      : `${count(changes, "change")} meanwhile.`;
    this._notices.back(text);
    this._spoken.say(`Connected again. ${text}`);
  }

  _state(state, error) {
    this._notices.showState(state, STATES[state]);
    this._grid.classList.toggle("stale", state === "lost");
    if (state === "live") this._lastTrue = null;
    if (state === "lost" && this._store.loaded) {
      if (!this._wasLost) this._spoken.say("Connection lost. The fleet is shown as it was.");
      this._wasLost = true;
      this._lastTrue ??= Date.now() / 1000;
      this._notices.lost(this._lastTrue, error?.message ?? "");
    }
  }
}
