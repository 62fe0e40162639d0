// Reads server-sent events from bytes. EventSource cannot send a token, so fetch does, and this takes them apart.

/** Takes text in any pieces; hands out { type, data, id } for each event. Comments are dropped. */
export class EventParser {
  constructor(onEvent) {
    this.lastId = "";
    this._onEvent = onEvent;
    this._rest = "";
    this._reset();
  }

  _reset() {
    this._type = "";
    this._data = [];
  }

  push(text) {
    const lines = (this._rest + text).split(/\r\n|\n|\r(?!$)/); // a last "\r" may be half of "\r\n"
    this._rest = lines.pop();
    for (const line of lines) this._line(line);
  }

  _line(line) {
    if (line === "") {
      if (this._data.length > 0)
        this._onEvent({ type: this._type || "message", data: this._data.join("\n"), id: this.lastId });
      this._reset();
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this._data.push(value);
    else if (field === "event") this._type = value;
    else if (field === "id") this.lastId = value;
  }
}
