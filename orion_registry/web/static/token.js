// Asks for a token when the registry wants one.

import { hasToken, onUnauthorised, setToken } from "./api.js";
import { byId, setText } from "./dom.js";

/** onToken(): there is another one. */
export function setUpToken(onToken) {
  const dialog = byId("token");
  const input = byId("token-input");
  onUnauthorised((message) => {
    if (dialog.open) return;
    if (hasToken()) setText(byId("token-why"), `The registry does not take this token: ${message}`);
    dialog.showModal();
    input.focus();
  });
  byId("token-form").addEventListener("submit", () => {
    setToken(input.value.trim());
    input.value = "";
    onToken();
  });
}
