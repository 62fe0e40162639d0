// One service, beside the list: read every two seconds while it is open, and at once when the watch tells of a change.

import { get, isAway, segment } from "./api.js";
import { byId, el, glyph, setText } from "./dom.js";
import { seconds } from "./format.js";
import * as parts from "./detail_parts.js";
import * as records from "./detail_records.js";
import { heading } from "./words.js";

const EVERY_MS = 2_000;
const SAMPLES = 60;

/** Part -> title; in the order in which they stand. */
const PARTS = [
  ["reasons", "Reasons"],
  ["overlay", "Set by an operator"],
  ["load", "Slots"],
  ["calls", "Calls"],
  ["timeline", "Changes of status"],
  ["checks", "Checks"],
  ["leases", "Leases"],
  ["explanation", "Selection"],
  ["registration", "Registration"],
];

export class DetailView {
  /** onClose(): it was closed by its own button. onTerm(word, value): a label was pressed. */
  constructor({ store, vitals, onClose, onTerm }) {
    Object.assign(this, { _store: store, _vitals: vitals, _onClose: onClose, _onTerm: onTerm });
    this._place = byId("detail");
    this.id = "";
    this._timer = 0;
    this._abort = null;
    store.onChange((touched) => {
      if (this.id === "" || !touched.has(this.id)) return;
      this._showService();
      this._readSoon(60);
    });
  }

  get isOpen() {
    return this.id !== "";
  }

  /** Opens a service; `focus`: takes the focus to its heading. */
  open(id, { focus = false } = {}) {
    if (id !== this.id) {
      this._stop();
      this.id = id;
      this._samples = [];
      this._last = null;
      this._shown = {};
      this._build();
      this._showService();
      this._readSoon(0);
    }
    if (focus) this._title.focus();
  }

  close() {
    this._stop();
    this.id = "";
    this._place.hidden = true;
    this._place.replaceChildren();
    byId("main").classList.remove("with-detail");
  }

  holdsFocus() {
    return this._place.contains(document.activeElement);
  }

  _stop() {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
  }

  _build() {
    this._title = el("h2", { id: "detail-title", tabindex: "-1" });
    this._agent = el("p", { class: "mono" });
    this._word = el("span", { class: "word" });
    this._glyph = el("span", {});
    this._badge = el("span", { class: "badge" });
    this._state = el("div", { class: "state" }, this._glyph, this._word, this._badge);
    const close = el(
      "button",
      {
        class: "quiet",
        type: "button",
        "aria-label": "Close (Escape)",
        title: "Close (Esc)",
        onclick: () => this._onClose(),
      },
      glyph("close"),
    );
    this._bodies = {};
    const sections = PARTS.map(([key, name]) => {
      const body = el("div", {});
      const section = el("section", { class: "part", "data-part": key }, el("h3", {}, name), body);
      section.hidden = true;
      this._bodies[key] = { section, body };
      return section;
    });
    this._place.replaceChildren(
      el("div", { class: "detail-head" }, this._title, close, this._agent),
      this._state,
      ...sections,
    );
    this._place.scrollTop = 0;
    this._place.hidden = false;
    byId("main").classList.add("with-detail");
  }

  /** Fills a part if what it is made from is new; null hides it. */
  _fill(key, source, make) {
    const text = JSON.stringify(source);
    if (this._shown[key] === text) return;
    this._shown[key] = text;
    const { section, body } = this._bodies[key];
    section.hidden = source === null;
    body.replaceChildren(...(source === null ? [] : make()));
  }

  /** What the watch knows. */
  _showService() {
    const service = this._store.services.get(this.id);
    if (service === undefined) {
      setText(this._title, this._title.textContent || this.id);
      this._state.className = "state kind-unknown";
      this._glyph.replaceChildren(glyph("unknown"));
      setText(this._word, this._store.loaded ? "Not registered" : "Reading…");
      this._badge.hidden = true;
      return;
    }
    setText(this._title, service.name);
    setText(this._agent, service.agent);
    this._state.className = `state kind-${service.kind}`;
    this._glyph.replaceChildren(glyph(service.kind));
    setText(
      this._word,
      heading(
        service.kind,
        service.status,
        service.reasons.map(({ name }) => name),
      ),
    );
    this._badge.hidden = false;
    setText(this._badge, service.ready ? "ready" : "not ready");
    this._badge.classList.toggle("yes", service.ready);
    this._fill("reasons", [service.reasons, Math.floor(Date.now() / 5_000)], () => parts.reasonsPart(service.reasons));
    this._fill("registration", service.info, () => records.registrationPart(service, this._onTerm));
  }

  _readSoon(delay) {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._read(), delay);
  }

  async _read() {
    this._abort?.abort();
    const abort = new AbortController();
    this._abort = abort;
    const { id } = this;
    const service = this._store.services.get(id);
    const base = `services/${segment(id)}/`;
    const ask = (path, parameters) => get(path, parameters, abort.signal).catch((error) => failed(error));
    const [health, performance, leases, overlays, explanation] = await Promise.all([
      ask(`${base}health`),
      ask(`${base}performance`),
      ask(`${base}selections`),
      ask("overlays", { service_id: id }),
      service === undefined || service.capabilities.length === 0 ? null : ask("explain", explainRequest(service)),
    ]);
    if (this._abort !== abort || this.id !== id) return;
    this._show(id, { health, performance, leases, overlays, explanation });
    this._showService();
    this._readSoon(EVERY_MS);
  }

  _show(id, { health, performance, leases, overlays, explanation }) {
    if (health !== null) {
      const timeline = health.timeline ?? [];
      this._fill("timeline", [timeline, Math.floor(Date.now() / 5_000)], () => parts.timelinePart(timeline));
      const checks = health.checks ?? [];
      this._fill("checks", checks.length > 0 ? checks : null, () => parts.checksPart(checks));
    }
    if (performance !== null) {
      this._sample(performance);
      const vital = this._vitals.of(id);
      this._fill("load", [performance.in_flight, performance.max_concurrency, vital?.queued], () =>
        parts.loadPart(performance, vital),
      );
      this._fill("calls", [performance, this._samples], () => parts.callsPart(performance, this._samples));
    }
    if (leases !== null)
      this._fill("leases", leases.selections ?? [], () => records.leasesPart(leases.selections ?? []));
    const overlay = overlays?.overlays?.find(({ key }) => key?.service_id === id) ?? null;
    if (overlays !== null) this._fill("overlay", overlay, () => records.overlayPart(overlay));
    if (explanation !== null) this._fill("explanation", explanation, () => records.explanationPart(explanation, id));
  }

  /** The average of the calls since the last reading: the registry tells totals. */
  _sample(performance) {
    const calls = Number(performance.succeeded ?? 0);
    const total = calls * (seconds(performance.average) ?? 0);
    if (this._last !== null) {
      const more = calls - this._last.calls;
      this._samples.push(more > 0 ? Math.max(0, (total - this._last.total) / more) : null);
      if (this._samples.length > SAMPLES) this._samples.shift();
    }
    this._last = { calls, total };
  }
}

const explainRequest = (service) => ({ capabilities: service.capabilities[0], namespace: service.namespace });

/** A part that cannot be read now stays as it was. */
function failed(error) {
  if (isAway(error)) return null;
  throw error;
}
