// Completes what is typed into the filter: the words first, then the values that the fleet has.

import { byId, el, setAttribute } from "./dom.js";
import { count } from "./format.js";
import { KINDS } from "./words.js";

const MOST = 9;
const NOTES = {
  status: "as it is now",
  reason: "why",
  cap: "what it can do",
  tag: "its labels",
  zone: "where it runs",
  name: "what replicas share",
  agent: "who offers it",
  version: "of the service",
  is: "ready, degraded, draining",
  meta: "key=value",
  host: "its address",
};
const VALUES = {
  status: (service) => [service.status.toLowerCase()],
  reason: (service) => service.reasons.map(({ name }) => name.toLowerCase()),
  cap: (service) => service.capabilities,
  tag: (service) => service.tags,
  zone: (service) => [service.zone],
  name: (service) => [service.name],
  agent: (service) => [service.agent],
  version: (service) => [service.version],
};
const FIXED = {
  is: ["ready", "degraded", "draining", "static"],
  status: KINDS.filter(({ kind }) => kind !== "degraded").map(({ kind }) => kind),
};

/** What may stand for the term being typed: [{ term, note }]. */
export function complete(term, services) {
  const sign = term.startsWith("-") ? "-" : "";
  const [, word = "", rest] = /^-?([a-z]*)(?::(.*))?$/i.exec(term) ?? [];
  if (rest === undefined) {
    if (/[^a-z-]/i.test(term)) return [];
    const known = Object.keys(NOTES).filter((name) => name.startsWith(word.toLowerCase()));
    return known.slice(0, MOST).map((name) => ({ term: `${sign}${name}:`, note: NOTES[name] }));
  }
  const start = rest.replace(/^=/, "").toLowerCase();
  return ranked(word.toLowerCase(), services)
    .filter(([value]) => value.toLowerCase().startsWith(start) && value.toLowerCase() !== start)
    .slice(0, MOST)
    .map(([value, many]) => ({
      term: `${sign}${word}:${/[\s,]/.test(value) ? `"${value}"` : value}`,
      note: many > 0 ? count(many, "service") : "",
    }));
}

/** Values of a word with how many services have each, the most first. */
function ranked(word, services) {
  const found = new Map((Object.hasOwn(FIXED, word) ? FIXED[word] : []).map((value) => [value, 0]));
  const read = Object.hasOwn(VALUES, word) ? VALUES[word] : null;
  if (read !== null) {
    for (const service of services)
      for (const value of read(service)) if (value !== "") found.set(value, (found.get(value) ?? 0) + 1);
  }
  return [...found].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
}

/** The list under the input. */
export class Suggestions {
  /** services(): all; onTake(): the input's value has changed. */
  constructor({ input, services, onTake }) {
    Object.assign(this, { _input: input, _services: services, _onTake: onTake });
    this._list = byId("suggestions");
    this._offers = [];
    this._at = -1;
    input.addEventListener("input", () => this.show());
    input.addEventListener("blur", () => this.hide());
    this._list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const item = event.target.closest("li");
      if (item !== null) this._take(Number(item.dataset.index));
    });
  }

  get isOpen() {
    return !this._list.hidden;
  }

  show() {
    const { start, end } = this._term();
    const term = this._input.value.slice(start, end);
    this._offers = term === "" && this._input.value !== "" ? [] : complete(term, this._services());
    this._at = -1;
    this._list.replaceChildren(
      ...this._offers.map(({ term: text, note }, index) =>
        el(
          "li",
          { role: "option", id: `suggestion-${index}`, "data-index": index, "aria-selected": "false" },
          el("span", { class: "term" }, text),
          el("span", { class: "note" }, note),
        ),
      ),
    );
    this._list.hidden = this._offers.length === 0;
    this._mark();
  }

  hide() {
    this._list.hidden = true;
    this._at = -1;
    this._mark();
  }

  /** Returns whether the key was for the list. */
  key(event) {
    if (!this.isOpen) return false;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      const size = this._offers.length + 1; // one more: none
      this._at = ((this._at + 1 + step + size) % size) - 1;
      this._mark();
    } else if ((event.key === "Enter" && this._at >= 0) || (event.key === "Tab" && !event.shiftKey && this._at >= 0))
      this._take(this._at);
    else if (event.key === "Escape") this.hide();
    else return false;
    return true;
  }

  _mark() {
    [...this._list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === this._at)));
    setAttribute(this._input, "aria-expanded", this.isOpen);
    setAttribute(this._input, "aria-activedescendant", this._at >= 0 ? `suggestion-${this._at}` : null);
  }

  /** Where the term at the caret begins and ends. */
  _term() {
    const { value } = this._input;
    const end = this._input.selectionEnd ?? value.length;
    return { start: value.lastIndexOf(" ", end - 1) + 1, end };
  }

  _take(index) {
    const { start, end } = this._term();
    const { term } = this._offers[index];
    const tail = term.endsWith(":") ? "" : " ";
    this._input.setRangeText(term + tail, start, end, "end");
    this._onTake();
    this.show();
  }
}
