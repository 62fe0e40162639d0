import assert from "node:assert/strict";
import { test } from "node:test";

import { EventParser } from "../static/sse.js";

function parsed(...pieces) {
  const events = [];
  const parser = new EventParser((event) => events.push(event));
  for (const piece of pieces) parser.push(piece);
  return events;
}

const TEXT =
  'id: h:1\nevent: added\ndata: {"a":\ndata: 1}\n\n: a comment\n\ndata: x\n\nid: h:2\nevent: bookmark\ndata: {}\n\n';
const EXPECTED = [
  { type: "added", data: '{"a":\n1}', id: "h:1" },
  { type: "message", data: "x", id: "h:1" },
  { type: "bookmark", data: "{}", id: "h:2" },
];

test("events, comments and ids", () => assert.deepEqual(parsed(TEXT), EXPECTED));

test("cut at every place, and with every end of line", () => {
  for (const text of [TEXT, TEXT.replaceAll("\n", "\r\n"), TEXT.replaceAll("\n", "\r") + " "]) {
    for (let cut = 0; cut <= text.length; cut += 1)
      assert.deepEqual(parsed(text.slice(0, cut), text.slice(cut)), EXPECTED);
    assert.deepEqual(parsed(...text), EXPECTED);
  }
});

test("an event that is not whole is not told", () => assert.deepEqual(parsed("data: x\n"), []));
test("one blank after the colon belongs to the form", () => assert.equal(parsed("data:  x\n\n")[0].data, " x"));
