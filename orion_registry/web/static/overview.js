// How many there are of each kind, and a few facts of the registry.

import { byId, el, glyph, setAttribute, setText } from "./dom.js";
import { split } from "./filter.js";
import { number } from "./format.js";
import { KINDS } from "./words.js";

/** What is wrong first in the list; what is well first here, for the bar reads from the left. */
const ORDER = [...KINDS].reverse();

export class Overview {
  /** onToggle(terms): a kind was pressed. */
  constructor(store, onToggle) {
    this._store = store;
    this._facts = byId("facts");
    this._kinds = new Map();
    for (const kind of ORDER) this._kinds.set(kind.kind, this._make(kind, onToggle));
    store.onChange(() => this.show());
    this.show();
  }

  _make({ kind, label, filter }, onToggle) {
    const figure = el("b", {}, "0");
    const button = el(
      "button",
      { type: "button", class: `kind kind-${kind}`, "aria-pressed": "false", onclick: () => onToggle(filter) },
      glyph(kind),
      figure,
      label,
    );
    const share = el("i", { class: `kind-${kind}` });
    byId("kinds").append(button);
    byId("proportions").append(share);
    return { button, figure, share, terms: split(filter) };
  }

  show() {
    for (const [kind, { button, figure, share }] of this._kinds) {
      const count = this._store.counts[kind];
      setText(figure, number(count));
      button.classList.toggle("none", count === 0);
      share.style.flexGrow = String(count);
      share.hidden = count === 0;
    }
  }

  /** Shows which kinds the filter asks for. */
  showFilter(line) {
    const terms = split(line);
    for (const { button, terms: wanted } of this._kinds.values()) {
      setAttribute(
        button,
        "aria-pressed",
        wanted.every((term) => terms.includes(term)),
      );
    }
  }

  /** From GetServerInfo and GetBalancerStats. */
  showFacts(info, balancer) {
    const facts = [
      ["agents", info.agents],
      ["leases", balancer?.leases_open],
      ["waiting", balancer?.waiting],
    ];
    const shown = facts.filter(([name, value]) => value !== undefined || name === "agents");
    this._facts.replaceChildren(
      ...shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, number(value)))),
    );
  }
}
