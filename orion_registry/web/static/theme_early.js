// Before the first paint: the theme that was chosen here, if one was. A classic script, so that nothing flashes.
"use strict";
try {
  const chosen = localStorage.getItem("orion-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch (error) {
  console.info("no storage, so the system's theme:", error.message);
}
