import assert from "node:assert/strict";
import { test } from "node:test";

import { readEvent } from "../static/event_words.js";
import { age, latency, number, seconds, short, span } from "../static/format.js";
import { points } from "../static/spark.js";
import { text } from "../static/route.js";
import { complete } from "../static/suggestions.js";
import { heading, kindOf } from "../static/words.js";
import { readService } from "../static/service.js";
import { info } from "./services.mjs";

test("spans", () => {
  assert.deepEqual([0, 0.44, 9.9, 12.4, 59, 61, 3_600, 7_500, 90_000, null].map(span), [
    "0.0 s",
    "0.4 s",
    "9.9 s",
    "12 s",
    "59 s",
    "1 min",
    "1 h",
    "2 h 5 min",
    "1 d",
    "–",
  ]);
  assert.deepEqual([0.9, 59.9, 60].map(age), ["0 s", "59 s", "1 min"]);
  assert.deepEqual([0.00002, 0.0042, 0.031, 1.5].map(latency), ["20 µs", "4.2 ms", "31 ms", "1.50 s"]);
  assert.deepEqual(["1.5s", "0s", undefined, "x", 2].map(seconds), [1.5, 0, null, null, 2]);
  assert.deepEqual([number("5000"), short(99_999), short(5_400_000)], ["5,000", "99,999", "5.4M"]);
});

test("kinds and their headings", () => {
  assert.equal(kindOf("HEALTHY", ["STREAM_OPEN"]), "healthy");
  assert.equal(kindOf("HEALTHY", ["LATE", "STREAM_OPEN"]), "degraded");
  assert.equal(heading("degraded", "HEALTHY", ["CHECK_STALE"]), "Check stale");
  assert.equal(heading("unhealthy", "UNHEALTHY", ["SILENT"]), "Unhealthy");
  assert.equal(kindOf("OF_A_LATER_VERSION", []), "unknown");
  assert.equal(kindOf("CONSTRUCTOR", []), "unknown");
});

test("events", () => {
  const changed = {
    seq: "7",
    time: "2026-11-28T12:00:00Z",
    status_changed: {
      service_id: "s",
      agent_id: "a",
      before: "SERVICE_STATUS_HEALTHY",
      after: "SERVICE_STATUS_UNHEALTHY",
      reasons: ["STATUS_REASON_CODE_DISCONNECTED"],
    },
  };
  const read = readEvent(changed);
  assert.equal(read.text, "healthy to unhealthy: disconnected");
  assert.deepEqual(
    [read.seq, read.kind, read.serviceId, read.agent, read.type],
    [7, "unhealthy", "s", "a", "status_changed"],
  );
  assert.match(readEvent({ seq: "1", of_a_later_version: {} }).text, /does not know/);
  assert.equal(readEvent({ seq: "1", registry_stopping: {} }).text, "the registry stops");
});

test("suggestions", () => {
  const services = [info(), info({ capabilities: ["math.add", "text.embed"], zone: "us 1" })].map((json) =>
    readService(json, 0),
  );
  const terms = (term) => complete(term, services).map((offer) => offer.term);
  assert.deepEqual(terms("ca"), ["cap:"]);
  assert.deepEqual(terms("-t"), ["-tag:"]);
  assert.deepEqual(terms("cap:"), ["cap:math.add", "cap:math.multiply", "cap:text.embed"]);
  assert.deepEqual(terms("cap:math.add"), []);
  assert.deepEqual(terms("zone:us"), ['zone:"us 1"']);
  assert.deepEqual(terms("is:d"), ["is:degraded", "is:draining"]);
  for (const term of ["nothing:x", "constructor:", "__proto__:a"]) assert.deepEqual(terms(term), []);
  assert.deepEqual(terms("a.b"), []);
});

test("the address says what is shown", () => {
  const route = {
    view: "fleet",
    filter: "status:unhealthy a&b",
    sort: "zone",
    descending: true,
    service: "s1",
    namespace: "",
  };
  assert.equal(text(route), "#/fleet?q=status%3Aunhealthy+a%26b&sort=-zone&service=s1");
  assert.equal(
    text({ view: "events", filter: "", sort: "status", descending: false, service: "", namespace: "" }),
    "#/events",
  );
});

test("a line stays within its frame", () => {
  for (const [x, y] of points([0, 5, null, 10])) assert.ok(x >= 0 && x <= 300 && y >= 0 && y <= 40);
  const xs = points([null, 1, null, 2, null]).map(([x]) => x);
  assert.deepEqual(xs, [0, 300]);
  assert.deepEqual(points([]), []);
  assert.equal(points([0, 0]).length, 2);
});
