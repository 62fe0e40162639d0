// Asks the registry. The token, where one is wanted, lives in the tab's sessionStorage and goes out as a header.

const BASE = "api/v1/";
const TOKEN = "orion-token";

/** The registry refused: `status` is HTTP's, `message` its own words. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

/** Whether an error says that the registry is away or refuses, rather than that this page is at fault. */
export const isAway = (error) =>
  error instanceof Refused || error instanceof Unreachable || error.name === "AbortError";

export const hasToken = () => sessionStorage.getItem(TOKEN) !== null;

export function setToken(token) {
  if (token === "") sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, token);
}

/** Headers of every request. */
export function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  return token === null ? more : { ...more, Authorization: `Bearer ${token}` };
}

/** The address of a path below /api/v1 with parameters; lists repeat theirs, empty ones are left out. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value])
      if (one !== "" && one !== undefined) query.append(name, one);
  }
  const text = query.toString();
  return new URL(BASE + path + (text === "" ? "" : `?${text}`), document.baseURI).href;
}

let unauthorised = () => {};

/** Calls `listener` whenever an answer says that a token is wanted. */
export function onUnauthorised(listener) {
  unauthorised = listener;
}

/** Raises Refused unless the answer is fine. */
export async function check(response) {
  if (response.ok) return;
  let message = `HTTP ${response.status}`;
  try {
    const told = await response.json();
    message = String(told.message ?? told.error?.message ?? told.error ?? message);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error; // no JSON: the number must do
  }
  if (response.status === 401) unauthorised(message);
  throw new Refused(response.status, message);
}

/** Asks; a broken connection is Unreachable. */
export async function ask(path, parameters = {}, { more = {}, signal } = {}) {
  try {
    return await fetch(address(path, parameters), { headers: headers(more), signal, cache: "no-store" });
  } catch (error) {
    if (error instanceof TypeError) throw new Unreachable(error.message); // how fetch tells it
    throw error;
  }
}

/** The JSON of an answer. Raises Refused or Unreachable. */
export async function get(path, parameters = {}, signal = undefined) {
  const response = await ask(path, parameters, { signal });
  await check(response);
  return response.json();
}

/** An id within a path. */
export const segment = (id) => encodeURIComponent(id);
