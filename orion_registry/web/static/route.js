// Where one is, in the address: #/fleet?q=status:unhealthy&sort=zone&service=ID. It can be sent to a colleague.

const VIEWS = ["fleet", "capabilities", "events"];

export function read() {
  const [, view = "", query = ""] = /^#\/([a-z]*)\??(.*)$/.exec(location.hash) ?? [];
  const given = new URLSearchParams(query);
  return {
    view: VIEWS.includes(view) ? view : "fleet",
    filter: given.get("q") ?? "",
    sort: (given.get("sort") ?? "").replace(/^-/, ""),
    descending: (given.get("sort") ?? "").startsWith("-"),
    service: given.get("service") ?? "",
    namespace: given.get("namespace") ?? "",
  };
}

export function text({ view, filter, sort, descending, service, namespace }) {
  const query = new URLSearchParams();
  if (filter !== "") query.set("q", filter);
  if (sort !== "" && (sort !== "status" || descending)) query.set("sort", (descending ? "-" : "") + sort);
  if (service !== "") query.set("service", service);
  if (namespace !== "") query.set("namespace", namespace);
  const tail = query.toString();
  return `#/${view}${tail === "" ? "" : `?${tail}`}`;
}

/** Changes the address without a step in the history, unless `step`. */
export function write(route, { step = false } = {}) {
  const hash = text(route);
  if (hash === location.hash) return;
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}
