// What keys do, how to filter, and what the signs mean.

import { byId, el, glyph } from "./dom.js";
import { KINDS } from "./words.js";

const KEYS = [
  ["/", "to the filter"],
  ["j k", "next, previous service; arrows, Page keys, Home and End too"],
  ["Enter", "open it"],
  ["Esc", "close it, or clear the filter"],
  ["1 2 3", "fleet, capabilities, events"],
  ["?", "this"],
];

const FILTERS = [
  ["status:unhealthy", "its status"],
  ["reason:late", "a reason that holds"],
  ["cap:math.add", "a capability that begins so"],
  ["cap:=math.add", "that one alone; so with all words"],
  ["tag:gpu -tag:slow", "the one label, not the other"],
  ["zone:eu-1,eu-2", "in either"],
  ["name:calc agent:ada", "service name, agent"],
  ["meta:owner=ann", "metadata"],
  ["is:ready", "may be selected; also is:degraded, is:draining"],
  ["words", "in names, ids, labels, zone, version, reasons"],
];

const SIGNS = {
  healthy: "may be selected",
  degraded: "lives; taken only when nothing better is free, or kept out for a while",
  starting: "not heard of yet",
  stopping: "takes nothing new",
  unknown: "the registry cannot tell now",
  unhealthy: "gone, silent or broken",
};

export function setUpHelp() {
  const dialog = byId("help");
  const close = el("button", { class: "primary", type: "button", onclick: () => dialog.close() }, "Close");
  const signs = [...KINDS].reverse();
  dialog.append(
    el("h2", { id: "help-title" }, "Keys and filter"),
    el(
      "div",
      { class: "columns" },
      el(
        "div",
        {},
        el("h3", {}, "Keys"),
        list(
          KEYS,
          ([keys]) => el("dt", {}, ...keys.split(" ").flatMap((key) => [el("kbd", {}, key), " "])),
          ([, text]) => text,
        ),
        el("h3", {}, "Signs"),
        list(
          signs,
          ({ kind, label }) => el("dt", { class: `sign kind-${kind}` }, glyph(kind), label),
          ({ kind }) => SIGNS[kind],
        ),
      ),
      el(
        "div",
        {},
        el("h3", {}, "Filter: all terms must hold"),
        list(
          FILTERS,
          ([term]) => el("dt", {}, el("code", {}, term)),
          ([, text]) => text,
        ),
      ),
    ),
    el("div", { class: "actions" }, close),
  );
  byId("help-open").addEventListener("click", () => dialog.showModal());
}

const list = (rows, term, text) =>
  el("dl", { class: "keys" }, ...rows.flatMap((row) => [term(row), el("dd", {}, text(row))]));
