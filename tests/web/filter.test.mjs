import assert from "node:assert/strict";
import { test } from "node:test";

import { exactly, parse, split, toggle } from "../static/filter.js";
import { readService } from "../static/service.js";
import { fallen, info, late } from "./services.mjs";

const matches = (line, json = info()) => parse(line).matches(readService(json, 0));

for (const [line, expected] of [
  ["", true],
  ["status:healthy", true],
  ["status:unhealthy", false],
  ["status:unhealthy,healthy", true],
  ["STATUS:Healthy", true],
  ["cap:math.add", true],
  ["cap:math", true],
  ["cap:=math", false],
  ["cap:=math.add", true],
  ["cap:math.*", true],
  ["capability:math.add", true],
  ["cap:add", false],
  ["cap:math.add cap:math.multiply", true],
  ["tag:gpu", true],
  ["-tag:gpu", false],
  ["-tag:slow", true],
  ["zone:eu", true],
  ["zone:us-1,eu-1", true],
  ["name:calc agent:ada version:1.2", true],
  ["ns:default", true],
  ["meta:owner", true],
  ["meta:owner=ann", true],
  ["meta:owner=bob", false],
  ["meta:pid=7", true],
  ["reason:stream", true],
  ['reason:"stream open"', true],
  ["is:ready", true],
  ["is:degraded", false],
  ["ada", true],
  ["ADA", true],
  ["-ada", false],
  ['"math.add"', true],
  ["nobody", false],
  ["calc nobody", false],
]) {
  test(`"${line}" ${expected ? "matches" : "does not match"}`, () => assert.equal(matches(line), expected));
}

test("what is half typed does not restrict", () => {
  for (const line of ["status:", "cap:=", "-", "is:re", '"', "meta:", "zone:,"])
    assert.equal(matches(line), true, line);
});

test("the states of a service", () => {
  assert.equal(matches("is:degraded", late()), true);
  assert.equal(matches("status:healthy", late()), true);
  assert.equal(matches("is:ready", fallen()), false);
  assert.equal(matches("status:unhealthy reason:disconnected", fallen()), true);
});

test("a word that does not exist is told, and looked for as text", () => {
  assert.deepEqual(parse("colour:red").unknown, ["colour"]);
  assert.equal(matches("colour:red"), false);
  assert.deepEqual(parse("is:blue").unknown, ["is:blue"]);
  assert.deepEqual(parse("http://x").unknown, []);
});

test("an own property of Object is no word", () => {
  for (const line of ["constructor:x", "__proto__:x", "toString:x", "is:constructor"])
    assert.doesNotThrow(() => matches(line), line);
});

test("quotes hold a term together", () => {
  assert.deepEqual(split('tag:"two words" a  "b c'), ['tag:"two words"', "a", '"b c']);
  assert.equal(matches('tag:"two words"', info({ tags: ["two words"] })), true);
});

test("a term is added, and taken out again", () => {
  assert.equal(toggle("calc", "status:unhealthy"), "calc status:unhealthy");
  assert.equal(toggle("calc status:unhealthy", "status:unhealthy"), "calc");
  assert.equal(toggle("is:ready", "is:ready -is:degraded"), "is:ready -is:degraded");
  assert.equal(toggle("is:ready x -is:degraded", "is:ready -is:degraded"), "x");
});

test("exactly() matches its value alone", () => {
  for (const value of ["a", "two words", "with,comma", "<b>bold</b>"]) {
    assert.equal(matches(exactly("tag", value), info({ tags: [value] })), true, value);
    assert.equal(matches(exactly("tag", value), info({ tags: [`${value}x`] })), false, value);
  }
});
