// Keys of the whole page. Those with Ctrl, Alt or Meta are the browser's.

import { byId } from "./dom.js";

const TYPES_TEXT = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/** commands: { filter, move(step), page(), open, back, view(name) }. */
export function setUpKeyboard(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const typing = TYPES_TEXT.has(event.target.tagName) && event.target.type !== "checkbox";
    if (typing ? whileTyping(event, commands) : elsewhere(event, commands)) event.preventDefault();
  });
}

function whileTyping(event, commands) {
  if (event.key === "Escape") return commands.back(event.target);
  if (event.key === "Enter" || event.key === "ArrowDown") return commands.leaveInput();
  return false;
}

function elsewhere(event, commands) {
  const onControl = ["BUTTON", "A"].includes(event.target.tagName);
  switch (event.key) {
    case "/":
      return commands.filter();
    case "?":
      byId("help").showModal();
      return true;
    case "Escape":
      return commands.back(null);
    case "j":
      return commands.move(1);
    case "k":
      return commands.move(-1);
    case "1":
      return commands.view("fleet");
    case "2":
      return commands.view("capabilities");
    case "3":
      return commands.view("events");
  }
  if (event.target.id !== "fleet-grid" && (onControl || event.target !== document.body)) return false;
  switch (event.key) {
    case "ArrowDown":
      return commands.move(1);
    case "ArrowUp":
      return commands.move(-1);
    case "PageDown":
      return commands.move(commands.page());
    case "PageUp":
      return commands.move(-commands.page());
    case "Home":
      return commands.move(-Infinity);
    case "End":
      return commands.move(Infinity);
    case "Enter":
      return commands.open();
  }
  return false;
}
