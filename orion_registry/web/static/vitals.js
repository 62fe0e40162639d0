// Load and age of the last beat, which the watch does not tell: asked for the rows in sight alone, once a second.

import { get, isAway } from "./api.js";

const EVERY_MS = 1_000;
const AT_ONCE = 200;

export class Vitals {
  /** wanted(): ids. onNews(): some were read. */
  constructor({ wanted, onNews }) {
    this._wanted = wanted;
    this._onNews = onNews;
    this._known = new Map();
    this._timer = 0;
    this._running = false;
    this._asking = false;
  }

  /** { inFlight, slots, queued, beatAge } of a service, the age as it is by now; undefined if not known. */
  of(id) {
    const vital = this._known.get(id);
    if (vital === undefined) return undefined;
    const age = vital.beatAge === null ? null : vital.beatAge + (performance.now() - vital.readAt) / 1000;
    return { ...vital, beatAge: age };
  }

  start() {
    this._running = true;
    this.ask();
  }

  stop() {
    this._running = false;
    clearTimeout(this._timer);
  }

  forget(id) {
    this._known.delete(id);
  }

  /** Asks now; the next time is a second later. */
  async ask() {
    if (this._asking || !this._running) return;
    clearTimeout(this._timer);
    const ids = this._wanted().slice(0, AT_ONCE);
    this._asking = true;
    try {
      if (ids.length > 0) this._take(await get("vitals", { service_id: ids }));
    } catch (error) {
      if (!isAway(error)) throw error; // away: the watch says so, and the figures stay as they were
    } finally {
      this._asking = false;
      if (this._running) this._timer = setTimeout(() => this.ask(), EVERY_MS);
    }
  }

  _take(answer) {
    const readAt = performance.now();
    for (const [id, vital] of Object.entries(answer.services ?? {})) {
      this._known.set(id, {
        inFlight: Number(vital.in_flight ?? 0),
        slots: Number(vital.max_concurrency ?? 0),
        queued: Number(vital.queue_depth ?? 0),
        beatAge: vital.beat_age ?? null,
        readAt,
      });
    }
    this._onNews();
  }
}
