// Puts the page together: the watch fills the store, the store tells the views, the address says which one is shown.

import { CapabilitiesView } from "./capabilities_view.js";
import { DetailView } from "./detail_view.js";
import { byId, setAttribute } from "./dom.js";
import { EventsView } from "./events_view.js";
import { exactly, toggle } from "./filter.js";
import { FleetView } from "./fleet_view.js";
import { setUpHelp } from "./help.js";
import { Info } from "./info.js";
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
const info = new Info({ store, overview, notices, spoken, wantsFacts: () => route.view === "fleet" });
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
  cover();
  fleet.setActive(route.service);
  if (route.namespace !== before) watch.restart();
}

// A service's detail.

let opener = null;

/** Where the detail covers all else, all else takes no focus. */
const narrow = matchMedia("(max-width: 900px)");

function cover() {
  const covered = narrow.matches && detail.isOpen;
  for (const node of [...Object.values(views), document.querySelector("header")]) node.inert = covered;
}

narrow.addEventListener("change", cover);

function openService(id, focus = true) {
  if (!detail.holdsFocus()) opener = document.activeElement;
  route.service = id;
  writeRoute();
  detail.open(id, { focus });
  cover();
}

function closeService() {
  const held = detail.holdsFocus();
  route.service = "";
  writeRoute();
  detail.close();
  cover();
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

/** The marked service; the first one if none is. */
function open() {
  if (route.view !== "fleet") return false;
  const marked = fleet.listing.indexOf(fleet.activeId) >= 0;
  const id = marked ? fleet.activeId : fleet.move(-Infinity);
  if (id !== "") openService(id);
  return id !== "";
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
  open,
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

// Running and resting.

let hideTimer = 0;

function run() {
  watch.start();
  vitals.start();
  info.start();
  if (route.view === "events") events.show(true);
}

function rest() {
  watch.pause();
  vitals.stop();
  info.stop();
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
  info.ask();
});
applyRoute();
run();
