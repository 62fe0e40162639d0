// A line of figures over time.

import { svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 40;

/** Points of a line through `values` (null = a gap is closed, at an end left out), scaled from 0 to their most. */
export function points(values, width = WIDTH, height = HEIGHT) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(...known, 1e-9);
  const first = values.findIndex((value) => value !== null);
  const last = values.findLastIndex((value) => value !== null);
  const step = last > first ? width / (last - first) : 0;
  const made = [];
  values.forEach((value, index) => {
    if (value !== null) made.push([(index - first) * step, height - 2 - (value / most) * (height - 6)]);
  });
  return made;
}

/** An SVG; `label` says in words what it shows. */
export function spark(values, label) {
  const made = points(values);
  const line = made.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const area = made.length > 1 ? `${made[0][0]},${HEIGHT} ${line} ${made.at(-1)[0].toFixed(1)},${HEIGHT}` : "";
  return svg(
    "svg",
    {
      class: "spark",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("polygon", { class: "area", points: area }),
    svg("polyline", { class: "line", points: line }),
  );
}
