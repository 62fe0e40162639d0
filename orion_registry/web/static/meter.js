// The bar of slots.

import { el, setText } from "./dom.js";
import { number } from "./format.js";

/** A bar for setMeter(). */
export function meter() {
  return el("div", { class: "meter" }, el("i"));
}

/** Shows `taken` of `slots`; without a limit there is no bar to fill. */
export function setMeter(bar, taken, slots) {
  const share = slots > 0 ? Math.min(1, taken / slots) : 0;
  bar.classList.toggle("full", slots > 0 && taken >= slots);
  bar.classList.toggle("unbounded", slots === 0);
  bar.firstChild.style.transform = `scaleX(${share.toFixed(3)})`;
}

/** "3 / 8", "3" without a limit, "8 / 8 +2" with a queue. */
export function slotsText(taken, slots, queued = 0) {
  const bounded = slots > 0 ? `${number(taken)} / ${number(slots)}` : number(taken);
  return queued > 0 ? `${bounded} +${number(queued)}` : bounded;
}

/** The bar and its figure, from vitals that may be undefined. */
export function showLoad(bar, figure, vital) {
  if (vital === undefined) {
    setMeter(bar, 0, 0);
    setText(figure, "–");
    return;
  }
  setMeter(bar, vital.inFlight, vital.slots);
  setText(figure, slotsText(vital.inFlight, vital.slots, vital.queued));
}
