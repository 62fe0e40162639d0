// A stream of events that comes back by itself, from where it was.

import { ask, check, isAway, Refused, Unreachable } from "./api.js";
import { EventParser } from "./sse.js";

/** The registry sends a comment every 5 s; a stream that is silent for longer than two of them is broken. */
const SILENCE_MS = 12_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 3_000;

/**
 * States: "connecting" (the first time), "live", "lost" (comes again by itself, at `retryAt`), "refused" (a token is
 * wanted), "paused".
 */
export class Stream {
  /**
   * path, parameters(): what to read. onOpen({ resumed }): before the first event. onEvent({ type, data, id }).
   * onState(state, { error, retryAt }). mayResume(): whether what was read so far is worth going on from.
   */
  constructor({
    path,
    parameters = () => ({}),
    onOpen = () => {},
    onEvent,
    onState = () => {},
    mayResume = () => true,
  }) {
    Object.assign(this, { _path: path, _parameters: parameters, _onOpen: onOpen, _onEvent: onEvent });
    Object.assign(this, { _onState: onState, _mayResume: mayResume });
    this.state = "paused";
    this._lastId = "";
    this._attempt = 0;
    this._abort = null;
    this._timer = 0;
  }

  start() {
    if (this._abort !== null) return;
    clearTimeout(this._timer);
    if (this.state !== "lost") this._tell("connecting");
    this._run();
  }

  pause() {
    this._end();
    this._tell("paused");
  }

  /** Tries at once, as after a new token. */
  retryNow() {
    this._end();
    this._attempt = 0;
    this._run();
  }

  _end() {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
  }

  _tell(state, more = {}) {
    this.state = state;
    this._onState(state, more);
  }

  async _run() {
    const abort = new AbortController();
    this._abort = abort;
    try {
      await this._read(abort);
      throw new Unreachable("the registry ended the stream");
    } catch (error) {
      if (this._abort !== abort) return; // ended on purpose
      this._abort = null;
      if (error instanceof Refused && error.status === 401) this._tell("refused", { error });
      else this._retryLater(error);
      if (!isAway(error)) throw error; // a fault of the page: told on the console, and read again from the start
    }
  }

  async _read(abort) {
    const resumed = this._lastId !== "" && this._mayResume();
    const more = resumed ? { "Last-Event-ID": this._lastId } : {};
    let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      const response = await ask(this._path, this._parameters(), {
        more: { Accept: "text/event-stream", ...more },
        signal: abort.signal,
      });
      await check(response);
      this._onOpen({ resumed });
      this._attempt = 0;
      this._tell("live");
      const parser = new EventParser((event) => this._onEvent(event));
      parser.lastId = resumed ? this._lastId : "";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
        const { done, value } = await reader.read().catch(broken);
        if (done || this._abort !== abort) return;
        parser.push(value);
        this._lastId = parser.lastId;
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  _retryLater(error) {
    const longest = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this._attempt);
    this._attempt += 1;
    const delay = longest * (0.5 + Math.random() / 2); // pages that were cut together come back apart
    this._tell("lost", { error, retryAt: performance.now() + delay });
    this._timer = setTimeout(() => this._run(), delay);
  }
}

/** A stream that breaks off is told as a TypeError, too. */
function broken(error) {
  throw error instanceof TypeError ? new Unreachable(error.message) : error;
}
