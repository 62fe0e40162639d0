// Puts the page together: the watch fills the store, the store tells the views, the address says which one is shown.

import { get, isAway } from "./api.js";
import { CapabilitiesView } from "./capabilities_view.js";
import { DetailView } from "./detail_view.js";
import { byId, setAttribute } from "./dom.js";
import { EventsView } from "./events_view.js";
import { exactly, toggle } from "./filter.js";
import { FleetView } from "./fleet_view.js";
import { count } from "./format.js";
import { setUpHelp } from "./help.js";
import { setUpKeyboard } from "./keyboard.js";
import { Notices } from "./notices.js";
import { Overview } from "./overview.js";
import * as routes from "./route.js";
import { Spoken } from "./spoken.js";
import { Store } from "./store.js";
import { Suggestions } from "./suggestions.js";
import { setUpTheme } from "./theme.js";
import { setUpToken } from "./token.js";
import { title } from "./words.js";
import { Vitals } from "./vitals.js";
import { Watch } from "./watch.js";

const INFO_MS = 2_000;
/** A page in the background lets go of its connections: a browser has six for a registry, for all its tabs together. */
const HIDDEN_MS = 20_000;

const store = new Store();
const input = byId("filter");
const views = { fleet: byId("view-fleet"), capabilities: byId("view-capabilities"), events: byId("view-events") };
const route = routes.read();

const vitals = new Vitals({
  wanted: () => (route.view === "fleet" ? fleet.inSight() : [route.service].filter(Boolean)),
  onNews: () => fleet.showVitals(),
});
const fleet = new FleetView({ store, vitals, onOpen: (id) => openService(id), onFilter: filtered, onSort: sorted });
const detail = new DetailView({
  store,
  vitals,
  onClose: () => closeService(),
  onTerm: (word, value) => filterBy(toggle(input.value, exactly(word, value))),
});
const overview = new Overview(store, (terms) => filterBy(toggle(input.value, terms)));
const capabilities = new CapabilitiesView(() => route.namespace);
const events = new EventsView({ nameOf: (id) => store.services.get(id)?.name, onOpen: (id) => openService(id) });
const notices = new Notices();
const spoken = new Spoken(store);
const suggestions = new Suggestions({
  input,
  services: () => store.services.values(),
  onTake: () => fleet.setFilter(input.value),
});
const watch = new Watch({ store, notices, spoken, grid: byId("fleet-grid"), namespace: () => route.namespace });

// The address.

function writeRoute(step = false) {
  routes.write(route, { step });
}

function filtered(line) {
  route.filter = line;
  overview.showFilter(line);
  byId("filter-clear").hidden = line === "";
  writeRoute();
}

function sorted(column, descending) {
  Object.assign(route, { sort: column, descending });
  writeRoute();
}

function filterBy(line) {
  input.value = line;
  if (route.view !== "fleet") show("fleet");
  fleet.setFilter(line);
}

function show(view) {
  const step = route.view !== view;
  route.view = view;
  writeRoute(step);
  applyView();
  return true;
}

function applyView() {
  for (const [name, node] of Object.entries(views)) node.hidden = name !== route.view;
  for (const link of document.querySelectorAll("nav a"))
    setAttribute(link, "aria-current", link.dataset.view === route.view ? "page" : null);
  capabilities.show(route.view === "capabilities");
  events.show(route.view === "events");
  if (route.view === "fleet") fleet.relayout();
  document.title = `${title(route.view)} · Orion Registry`;
}

function applyRoute() {
  const before = route.namespace;
  Object.assign(route, routes.read());
  applyView();
  input.value = route.filter;
  fleet.setFilter(route.filter);
  if (route.sort !== "") fleet.setSort(route.sort, route.descending);
  if (route.service === "") detail.close();
  else detail.open(route.service);
  fleet.setActive(route.service);
  if (route.namespace !== before) watch.restart();
}

// A service's detail.

let opener = null;

function openService(id, focus = true) {
  if (!detail.holdsFocus()) opener = document.activeElement;
  route.service = id;
  writeRoute();
  detail.open(id, { focus });
}

function closeService() {
  const held = detail.holdsFocus();
  route.service = "";
  writeRoute();
  detail.close();
  if (!held) return;
  if (opener?.isConnected && opener !== document.body) opener.focus();
  else if (route.view === "fleet") fleet.focus();
}

// Keys.

function back(field) {
  if (field === input && suggestions.isOpen) suggestions.hide();
  else if (field !== null && field.value !== "") {
    field.value = "";
    field.dispatchEvent(new Event("input"));
    suggestions.hide();
  } else if (detail.isOpen) closeService();
  else if (field !== null) field.blur();
  else if (route.filter !== "") filterBy("");
  else return false;
  return true;
}

function move(step) {
  if (route.view !== "fleet") return false;
  if (!detail.holdsFocus()) fleet.focus();
  const id = fleet.move(step);
  if (id !== "" && detail.isOpen) openService(id, false);
  return true;
}

setUpKeyboard({
  filter: () => (
    views[route.view].querySelector(".filter input").select(),
    views[route.view].querySelector(".filter input").focus(),
    true
  ),
  leaveInput: () => {
    if (route.view !== "fleet") return false;
    suggestions.hide();
    fleet.focus();
    if (fleet.activeId === "" || fleet.listing.indexOf(fleet.activeId) < 0) fleet.move(-Infinity);
    return true;
  },
  move,
  page: () => fleet.pageStep(),
  open: () => fleet.activeId !== "" && (openService(fleet.activeId), true),
  back,
  view: show,
});
input.addEventListener("keydown", (event) => {
  if (suggestions.key(event)) event.preventDefault();
});
input.addEventListener("input", () => fleet.setFilter(input.value));
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  show("fleet");
  fleet.focus();
});
byId("filter-clear").addEventListener("click", () => {
  filterBy("");
  input.focus();
});

// What the watch does not tell.

async function readInfo() {
  try {
    const [info, balancer] = await Promise.all([get("info"), route.view === "fleet" ? get("stats/balancer") : null]);
    if (balancer !== null) overview.showFacts(info, balancer);
    const stalled = notices.setSelfHealth(info.self_health ?? {});
    if (stalled !== "") spoken.say(stalled);
    const { raised, over } = notices.setAlarms(info.alarms ?? []);
    if (raised.length > 0)
      spoken.say(`Alarm: ${raised.map(({ name, text }) => `${title(String(name))}, ${text}`).join(". ")}`);
    else if (over.length > 0)
      spoken.say(`${over.map((name) => title(String(name))).join(", ")} is over. ${count(store.size, "service")}.`);
  } catch (error) {
    if (!isAway(error)) throw error; // away: the watch's state says so
  }
}

let infoTimer = 0;
let hideTimer = 0;

function run() {
  watch.start();
  vitals.start();
  clearInterval(infoTimer);
  infoTimer = setInterval(readInfo, INFO_MS);
  readInfo();
  if (route.view === "events") events.show(true);
}

function rest() {
  watch.pause();
  vitals.stop();
  clearInterval(infoTimer);
  events.show(false);
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hideTimer);
  if (document.hidden) hideTimer = setTimeout(rest, HIDDEN_MS);
  else if (watch.isPaused) run();
});
window.addEventListener("online", () => watch.retryNow());
window.addEventListener("hashchange", applyRoute);
window.addEventListener("popstate", applyRoute);
matchMedia("(max-width: 640px)").addEventListener("change", () => {
  fleet.relayout();
  events.relayout();
});

setUpTheme();
setUpHelp();
setUpToken(() => {
  watch.retryNow();
  events.retryNow();
  readInfo();
});
applyRoute();
run();
