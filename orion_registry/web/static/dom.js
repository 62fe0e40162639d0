// Makes nodes. Everything that comes from outside enters the document as a text node or an attribute's value; nothing
// in these modules parses markup (tests/web/test_page_files.py holds it).

const SVG = "http://www.w3.org/2000/svg";

/** An element: el("p", { class: "note", onclick: f, "aria-label": "x" }, "text", node, ...). */
export function el(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A glyph of the sprite in index.html. It says nothing to a screen reader: the words beside it do. */
export function glyph(name) {
  const use = svg("use", { href: `#g-${name}` });
  return svg("svg", { class: `glyph glyph-${name}`, "aria-hidden": "true", width: 14, height: 14 }, use);
}

/** Changes what a glyph of glyph() shows. */
export function setGlyph(node, name) {
  if (node.dataset.name === name) return;
  node.dataset.name = name;
  node.setAttribute("class", `glyph glyph-${name}`);
  node.firstChild.setAttribute("href", `#g-${name}`);
}

/** Sets a node's text; touches the document only if it differs. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute, null removes it; touches the document only if it differs. */
export function setAttribute(node, name, value) {
  if (value === null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
}

/** The element with an id that index.html is known to have. */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`index.html has no #${id}`);
  return node;
}
