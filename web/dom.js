/* Small helpers for building elements without markup strings: nothing that came over the network is ever parsed as HTML.
 * Used by every view. Knows nothing of the product. */

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/* Makes an element. `props`: class, text, hidden, dataset, on (event name to listener), everything else an attribute. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "on")
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SHAPES = {
  check: ["M4.5 10.5l3.5 3.5 7.5-8"],
  room: ["M4 10l6-5.5L16 10", "M5.5 9v7h9V9"],
  task: ["M4 5.5h2v2H4z", "M9 6.5h7", "M4 12.5h2v2H4z", "M9 13.5h7"],
  product: ["M4 7h12l-1 9H5z", "M7 9V6a3 3 0 0 1 6 0v3"],
  budget: ["M3.5 6h13v9h-13z", "M3.5 9h13"],
  wait: ["M10 3.5a6.5 6.5 0 1 0 6.5 6.5"],
  warn: ["M10 3l7.5 13.5h-15z", "M10 8v4", "M10 14.2v.1"],
  pencil: ["M4 16l.8-3.4L13 4.4l2.6 2.6-8.2 8.2z"],
  bin: ["M4.5 6h11", "M8 6V4h4v2", "M6 6l.8 10h6.4L14 6"],
  close: ["M5 5l10 10", "M15 5L5 15"],
  link: ["M8 12l6-6", "M9 5h6v6", "M12 12v3.5H4.5V8H8"],
  info: ["M10 9v5", "M10 6v.1", "M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4z"],
};

/* A decorative line icon; its meaning must also be in text. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  for (const shape of SHAPES[name] ?? SHAPES.info) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

/* A link only when it leads to the web: anything else (javascript:, data:, nonsense) becomes null. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}

/* Resolves after `ms`, or at once when the signal aborts or one of the window events named in `wake` fires. */
export function pause(ms, { signal, wake = [] } = {}) {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      for (const type of wake) window.removeEventListener(type, finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    if (signal?.aborted) finish();
    signal?.addEventListener("abort", finish);
    for (const type of wake) window.addEventListener(type, finish);
  });
}

const shownRows = new WeakMap(); /* list to its rows: id to {key, element} */

/* Makes `parent` show these rows in this order. A row whose key is the same as before keeps its element, untouched: one that is taken away
 * between pressing and releasing the mouse button never gets the click. */
export function showRows(parent, rows, keyOf, make) {
  const before = shownRows.get(parent) ?? new Map();
  const now = new Map();
  for (const row of rows) {
    const key = keyOf(row);
    const known = before.get(row.id);
    now.set(row.id, known?.key === key ? known : { key, element: make(row) });
  }
  shownRows.set(parent, now);
  const elements = [...now.values()].map(({ element }) => element);
  for (const child of [...parent.children]) if (!elements.includes(child)) child.remove();
  elements.forEach((element, i) => {
    if (parent.children[i] !== element) parent.insertBefore(element, parent.children[i] ?? null);
  });
  return elements;
}
