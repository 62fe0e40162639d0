import assert from "node:assert/strict";
import { test } from "node:test";

import { Listing } from "../static/listing.js";
import { parse } from "../static/filter.js";
import { Store } from "../static/store.js";
import { fallen, info, late } from "./services.mjs";

function rig() {
  const frames = [];
  const store = new Store(
    (work) => frames.push(work),
    () => 1_000,
  );
  const told = [];
  store.onChange((touched) => told.push([...touched.keys()]));
  const frame = () => frames.splice(0).forEach((work) => work());
  return { store, told, frame, frames };
}

test("many changes are told once a frame", () => {
  const { store, told, frame, frames } = rig();
  for (let n = 0; n < 100; n += 1) store.put(info({ service_id: `s${n % 10}` }));
  assert.equal(frames.length, 1);
  frame();
  assert.deepEqual(told, [["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"]]);
});

test("counts are those of a fresh count, whatever happened", () => {
  const { store } = rig();
  const make = [info, fallen, late];
  let seed = 7;
  const random = (below) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  for (let n = 0; n < 3_000; n += 1) {
    const id = `s${random(40)}`;
    if (random(4) === 0) store.remove(id);
    else store.put(make[random(3)]({ service_id: id }));
  }
  const counted = {};
  for (const { kind } of store.services.values()) counted[kind] = (counted[kind] ?? 0) + 1;
  for (const [kind, count] of Object.entries(store.counts)) assert.equal(count, counted[kind] ?? 0, kind);
});

test("a resync drops what is not added again, at the bookmark and not before", () => {
  const { store } = rig();
  for (const id of ["a", "b", "c"]) store.put(info({ service_id: id }));
  store.bookmark();
  store.resync();
  store.put(info({ service_id: "b" }));
  store.remove("c");
  assert.deepEqual([...store.services.keys()], ["a", "b"]);
  assert.equal(store.bookmark(), 1);
  assert.deepEqual([...store.services.keys()], ["b"]);
  assert.equal(store.bookmark(), 0);
});

test("what a change is, and that the snapshot is none", () => {
  const { store } = rig();
  store.put(info());
  assert.equal(store.services.get("s1").change, "");
  store.bookmark();
  store.put(fallen());
  assert.equal(store.services.get("s1").change, "worse");
  store.put(late());
  assert.equal(store.services.get("s1").change, "better");
  store.put(late({ version: "2" }));
  assert.equal(store.services.get("s1").change, "changed");
  store.put(fallen({ service_id: "new" }));
  assert.equal(store.services.get("new").change, "added");
});

test("the list kept up is the list made anew", () => {
  const { store } = rig();
  let seed = 3;
  const random = (below) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
  for (const column of ["status", "service", "zone", "version", "since"]) {
    const query = parse("-zone:us");
    const kept = new Listing(store.services);
    kept.reset({ matches: query.matches, column, descending: random(2) === 1 });
    for (let n = 0; n < 400; n += 1) {
      const touched = [];
      for (let m = random(5); m >= 0; m -= 1) {
        const id = `s${random(60)}`;
        touched.push(id);
        if (random(5) === 0) store.remove(id);
        else
          store.put(
            [info, fallen, late][random(3)]({
              service_id: id,
              zone: ["eu-1", "us-1", "ap-1"][random(3)],
              version: `1.${random(12)}.0`,
            }),
          );
      }
      kept.update(touched);
      const anew = new Listing(store.services);
      anew.reset({ matches: query.matches, column, descending: kept.descending });
      assert.deepEqual(
        kept.rows.map(({ service }) => service),
        anew.rows.map(({ service }) => service),
      );
    }
  }
});

test("held rows keep their places, and find theirs when let go", () => {
  const { store } = rig();
  for (const id of ["a", "b", "c"]) store.put(info({ service_id: id, agent_id: id }));
  const list = new Listing(store.services);
  list.reset({});
  const order = () => list.rows.map(({ service }) => service.id).join("");
  list.hold(true);
  store.put(fallen({ service_id: "c", agent_id: "c" }));
  list.update(["c"]);
  assert.equal(order(), "abc");
  assert.equal(list.rows[2].service.kind, "unhealthy");
  assert.equal(list.hold(false), true);
  assert.equal(order(), "cab");
});

test("versions are ordered by number", () => {
  const { store } = rig();
  for (const version of ["1.10.0", "1.9.0", "1.2.0"]) store.put(info({ service_id: version, version }));
  const list = new Listing(store.services);
  list.reset({ column: "version" });
  assert.deepEqual(
    list.rows.map(({ service }) => service.version),
    ["1.2.0", "1.9.0", "1.10.0"],
  );
});
