// Light, dark, or as the system is.

import { byId, glyph } from "./dom.js";

const KEY = "orion-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const NAMES = { system: "as the system", light: "light", dark: "dark" };

function remember(theme) {
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch (error) {
    console.info("no storage, so the theme is for this page alone:", error.message);
  }
}

export function setUpTheme() {
  const button = byId("theme");
  const show = () => {
    const theme = document.documentElement.dataset.theme ?? "system";
    const text = `Theme: ${NAMES[theme]}. Press for ${NAMES[NEXT[theme]]}`;
    button.setAttribute("aria-label", text);
    button.title = text;
  };
  button.append(glyph("theme"));
  button.addEventListener("click", () => {
    const next = NEXT[document.documentElement.dataset.theme ?? "system"];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    remember(next);
    show();
  });
  show();
}
