// The filter's language: the selector's words, and free text.
//
//   status:unhealthy  cap:math.add  tag:gpu  zone:eu-1  -tag:slow  name:calc,ocr  meta:owner=ann  is:ready  "free text"
//
// All terms must hold; a comma means any of these; a minus means not. A value matches what begins with it; `=` before
// it wants it whole (cap:=math.add). Case does not matter.

import { plain } from "./words.js";

const one = (read) => (service) => [read(service)];

/** Word -> the values of a service that it looks at. */
const WORDS = {
  status: one((service) => service.status),
  reason: (service) => service.reasons.flatMap(({ name }) => [name, plain(name)]),
  cap: (service) => service.capabilities,
  tag: (service) => service.tags,
  zone: one((service) => service.zone),
  name: one((service) => service.name),
  agent: one((service) => service.agent),
  id: one((service) => service.id),
  version: one((service) => service.version),
  type: one((service) => service.type),
  host: one((service) => service.host),
  ns: one((service) => service.namespace),
};

const ALIASES = {
  capability: "cap",
  capabilities: "cap",
  tags: "tag",
  service: "name",
  service_name: "name",
  agent_id: "agent",
  service_id: "id",
  service_type: "type",
  namespace: "ns",
  metadata: "meta",
  statuses: "status",
};

const STATES = {
  ready: (service) => service.ready,
  degraded: (service) => service.kind === "degraded",
  static: (service) => service.reasons.some(({ name }) => name === "STATIC"),
  draining: (service) => service.reasons.some(({ name }) => name === "DRAINING" || name === "DRAINED"),
};

/** The words that may stand before a colon. */
export const KNOWN_WORDS = [...Object.keys(WORDS), "meta", "is"];

/** Splits a line at spaces outside double quotes; an open quote goes to the end. */
export function split(line) {
  const terms = [];
  for (const [term] of line.matchAll(/(?:"[^"]*(?:"|$)|[^\s"])+/g)) terms.push(term);
  return terms;
}

/** { matches(service), unknown: [words that mean nothing], terms: how many }. Never throws: people are still typing. */
export function parse(line) {
  const tests = [];
  const unknown = [];
  for (const raw of split(line)) {
    const negative = raw.startsWith("-") && raw.length > 1;
    const term = negative ? raw.slice(1) : raw;
    const test = termTest(term, unknown);
    if (test !== null) tests.push(negative ? (service) => !test(service) : test);
  }
  const matches = (service) => {
    for (const test of tests) if (!test(service)) return false;
    return true;
  };
  return { matches, unknown, terms: tests.length };
}

/** The test of one term; null for one that does not restrict (yet). */
function termTest(term, unknown) {
  const colon = term.startsWith('"') ? -1 : term.indexOf(":");
  if (colon > 0) {
    const given = term.slice(0, colon).toLowerCase();
    const word = Object.hasOwn(ALIASES, given) ? ALIASES[given] : given;
    const values = valuesOf(term.slice(colon + 1));
    if (word === "is") return stateTest(values, unknown);
    if (word === "meta") return values.length === 0 ? null : anyOf(values.map(metaTest));
    if (Object.hasOwn(WORDS, word))
      return values.length === 0 ? null : anyOf(values.map((value) => wordTest(WORDS[word], value)));
    if (/^[a-z_]+$/.test(given) && !term.startsWith("//", colon + 1)) unknown.push(given);
  }
  const text = unquote(term).toLowerCase();
  return text === "" || text === "-" ? null : (service) => service.text.includes(text);
}

const unquote = (text) => text.replaceAll('"', "");

/** The values between commas; one in quotes may have commas of its own. */
function valuesOf(text) {
  const values = text.match(/(?:"[^"]*(?:"|$)|[^,"])+/g) ?? [];
  return values.map((value) => unquote(value).toLowerCase()).filter((value) => value !== "" && value !== "=");
}

const anyOf = (tests) => (tests.length === 1 ? tests[0] : (service) => tests.some((test) => test(service)));

/** value "=x" wants x whole, "x" and "x*" what begins with x. */
function valueTest(value) {
  if (value.startsWith("=")) {
    const whole = value.slice(1);
    return (candidate) => candidate.toLowerCase() === whole;
  }
  const start = value.endsWith("*") ? value.slice(0, -1) : value;
  return (candidate) => candidate.toLowerCase().startsWith(start);
}

function wordTest(read, value) {
  const test = valueTest(value);
  return (service) => read(service).some(test);
}

/** owner=ann: the top-level key has a value that begins so; owner: it has the key. */
function metaTest(value) {
  const [key, ...rest] = value.split("=");
  const wanted = rest.join("=");
  return ({ metadata }) =>
    Object.entries(metadata).some(
      ([name, held]) => name.toLowerCase() === key && textOf(held).toLowerCase().startsWith(wanted),
    );
}

const textOf = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : String(value));

function stateTest(values, unknown) {
  const known = values.filter((value) => Object.hasOwn(STATES, value));
  for (const value of values) {
    if (!Object.keys(STATES).some((state) => state.startsWith(value))) unknown.push(`is:${value}`);
  }
  return known.length === 0 ? null : anyOf(known.map((value) => STATES[value]));
}

/** Adds a term to a line, or takes it out if all of it is there. */
export function toggle(line, wanted) {
  const present = split(line);
  const terms = split(wanted);
  if (terms.every((term) => present.includes(term))) return present.filter((term) => !terms.includes(term)).join(" ");
  return [...present, ...terms.filter((term) => !present.includes(term))].join(" ");
}

/** word:value as a term, quoted if need be, that matches exactly that. */
export function exactly(word, value) {
  const quoted = /[\s",]/.test(value) ? `"${value.replaceAll('"', "")}"` : value;
  return `${word}:=${quoted}`;
}
