// How the registry itself is, which the watch does not tell: asked for every two seconds.

import { get, isAway } from "./api.js";
import { count } from "./format.js";
import { title } from "./words.js";

const EVERY_MS = 2_000;

export class Info {
  /** wantsFacts(): whether the overview is in sight. */
  constructor({ store, overview, notices, spoken, wantsFacts }) {
    Object.assign(this, { _store: store, _overview: overview, _notices: notices, _spoken: spoken });
    this._wantsFacts = wantsFacts;
    this._timer = 0;
  }

  start() {
    this.stop();
    this._timer = setInterval(() => this.ask(), EVERY_MS);
    this.ask();
  }

  stop() {
    clearInterval(this._timer);
  }

  /** Asks now. */
  async ask() {
    try {
      const [info, balancer] = await Promise.all([get("info"), this._wantsFacts() ? get("stats/balancer") : null]);
      if (balancer !== null) this._overview.showFacts(info, balancer);
      this._tell(info);
    } catch (error) {
      if (!isAway(error)) throw error; // away: the watch's state says so
    }
  }

  _tell(info) {
    const stalled = this._notices.setSelfHealth(info.self_health ?? {});
    if (stalled !== "") this._spoken.say(stalled);
    const { raised, over } = this._notices.setAlarms(info.alarms ?? []);
    if (raised.length > 0) {
      const told = raised.map(({ name, text }) => `${title(String(name))}, ${text}`);
      this._spoken.say(`Alarm: ${told.join(". ")}`);
    } else if (over.length > 0) {
      const names = over.map((name) => title(String(name))).join(", ");
      this._spoken.say(`${names} is over. ${count(this._store.size, "service")}.`);
    }
  }
}
