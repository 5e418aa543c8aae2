/* A plot of the last 15 minutes as SVG: axes with units, lines that break where nothing was measured, values under the pointer or the arrow keys,
 * and the same values as a table. Used by admin.js. Knows nothing of what is plotted; draws in pixels, so that text keeps its size. */

import { setText, timeOfDay, timeWithSeconds } from "./admin_format.js";
import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SPAN_MS = 15 * 60 * 1000;
const HEIGHT = 190;
const MARGIN = { top: 10, right: 12, bottom: 24, left: 54 };
const GAP = 2.5; /* points further apart than this many intervals are not joined */

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* 1, 2 or 5 times a power of ten, at least `step`. */
function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  const digit = [1, 2, 5, 10].find((d) => d * power >= step * 0.999999);
  return digit * power;
}

/* From 0 to the first tick above the largest value. `least`: the axis is never shorter. */
export function linearScale(values, least) {
  const top = Math.max(least, ...values);
  const step = Math.max(niceStep(top / 4), least >= 4 ? 1 : 0);
  const ticks = [];
  for (let i = 0; i * step < top + step * 0.999999; i++) ticks.push(i * step);
  const end = ticks.at(-1);
  return { ticks, place: (value) => value / end };
}

/* Whole decades around all values. */
export function logScale(values, least) {
  const known = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(least, ...known)) + 1e-9);
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(least, ...known)) - 1e-9));
  const ticks = [];
  for (let power = low; power <= high; power++) ticks.push(10 ** power);
  return { ticks, place: (value) => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low) };
}

export class Plot {
  /* `series`: [{key, label}], drawn in this order; `format(value)`: with its unit, also at the axis; `scale(values)`: linearScale or
   * logScale; `name`: what it shows, for who does not see it; `area`: fill below the first series. */
  constructor(parent, { name, series, format, scale, area = false, intervalMs = 5000 }) {
    Object.assign(this, { parent, name, series, format, scale, area, intervalMs });
    this.points = [];
    this.nowMs = 0;
    this.at = null; /* the moment that is looked at */
    this.svg = s("svg", { class: "plot-svg", role: "img", tabindex: "0", height: HEIGHT });
    this.tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.spoken = h("p", { class: "visually-hidden", role: "status" });
    this.table = h("tbody");
    this.details = this.makeTable();
    parent.append(this.makeLegend(), h("div", { class: "plot-area" }, this.svg, this.tip), this.spoken, this.details);
    this.wire();
  }

  makeLegend() {
    this.latest = new Map();
    return h(
      "ul",
      { class: "legend" },
      this.series.map(({ key, label }, i) => {
        const value = h("b", { text: "–" });
        this.latest.set(key, value);
        const sample = s("svg", { viewBox: "0 0 22 8", class: "legend-line", "aria-hidden": "true" });
        sample.append(s("path", { d: "M1 4H21", class: `line line-${i} line-${key}` }));
        return h("li", {}, sample, h("span", { text: label }), " ", value);
      }),
    );
  }

  makeTable() {
    return h(
      "details",
      { class: "values", on: { toggle: () => this.fillTable() } },
      h("summary", { text: "Values as a table" }),
      h(
        "div",
        { class: "values-scroll", tabindex: "0", role: "region", "aria-label": `${this.name}, values` },
        h(
          "table",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col", text: "Time" }),
              this.series.map(({ label }) => h("th", { scope: "col", text: label })),
            ),
          ),
          this.table,
        ),
      ),
    );
  }

  wire() {
    new ResizeObserver(() => this.draw()).observe(this.svg.parentElement);
    this.svg.addEventListener("pointermove", (event) => this.look(this.momentAt(event.offsetX)));
    this.svg.addEventListener("pointerleave", () => this.look(null));
    this.svg.addEventListener("blur", () => this.look(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") this.look(null);
      if (!step || this.points.length === 0) return;
      event.preventDefault();
      const from = this.at === null ? this.points.length : this.nearest(this.at);
      const to = Math.min(this.points.length - 1, Math.max(0, from + step));
      this.look(this.points[to].at);
      this.speak(this.points[to]);
    });
  }

  speak(point) {
    const values = this.series.map(({ key, label }) => `${label} ${this.valueText(point, key)}`);
    setText(this.spoken, `${timeWithSeconds(point.at)}: ${values.join(", ")}`);
  }

  valueText(point, key) {
    const value = point.values[key];
    return value === null || value === undefined ? "–" : this.format(value);
  }

  /* `points`: [{at (ms), values: {key: number or null}}], oldest first; `nowMs`: the right end. */
  update(points, nowMs) {
    this.points = points.filter((point) => point.at > nowMs - SPAN_MS && point.at <= nowMs + this.intervalMs);
    this.nowMs = nowMs;
    const last = this.points.at(-1);
    for (const [key, element] of this.latest) setText(element, last ? this.valueText(last, key) : "–");
    this.draw();
    if (this.details.open) this.fillTable();
  }

  fillTable() {
    if (!this.details.open) return;
    const rows = [...this.points].reverse().map((point) =>
      h(
        "tr",
        {},
        h("th", { scope: "row", text: timeWithSeconds(point.at) }),
        this.series.map(({ key }) => h("td", { text: this.valueText(point, key) })),
      ),
    );
    this.table.replaceChildren(...rows);
  }

  /* ---- geometry ---- */

  x(at) {
    return MARGIN.left + ((at - (this.nowMs - SPAN_MS)) / SPAN_MS) * (this.width - MARGIN.left - MARGIN.right);
  }

  momentAt(x) {
    const inner = this.width - MARGIN.left - MARGIN.right;
    return this.nowMs - SPAN_MS + ((x - MARGIN.left) / inner) * SPAN_MS;
  }

  nearest(at) {
    let best = 0;
    for (let i = 1; i < this.points.length; i++)
      if (Math.abs(this.points[i].at - at) < Math.abs(this.points[best].at - at)) best = i;
    return best;
  }

  /* Runs of points that belong together: no value or a long pause ends one. */
  runs(key) {
    const runs = [];
    let run = null;
    let before = null;
    for (const point of this.points) {
      const value = point.values[key];
      if (value === null || value === undefined) run = null;
      else {
        if (!run || point.at - before > GAP * this.intervalMs) runs.push((run = []));
        run.push(point);
        before = point.at;
      }
    }
    return runs;
  }

  /* ---- drawing ---- */

  draw() {
    this.width = Math.max(240, Math.floor(this.svg.parentElement.clientWidth));
    const values = this.points
      .flatMap((point) => this.series.map(({ key }) => point.values[key]))
      .filter((value) => value !== null);
    const { ticks, place } = this.scale(values);
    this.y = (value) => HEIGHT - MARGIN.bottom - place(value) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.setAttribute("aria-label", this.describe());
    this.cursor = s("g", { class: "cursor" });
    this.svg.replaceChildren(
      this.drawAxes(ticks),
      ...this.series.map((series, i) => this.drawSeries(series, i)),
      this.cursor,
    );
    this.look(this.at);
  }

  describe() {
    if (this.points.length === 0) return `${this.name}: nothing measured yet`;
    const parts = this.series.map(({ key, label }) => {
      const known = this.points.map((point) => point.values[key]).filter((value) => value !== null);
      if (known.length === 0) return `${label}: none`;
      return `${label}: now ${this.valueText(this.points.at(-1), key)}, at most ${this.format(Math.max(...known))}`;
    });
    return `${this.name}, last 15 minutes. ${parts.join("; ")}. Arrow keys read the values.`;
  }

  drawAxes(ticks) {
    const group = s("g", { class: "axes" });
    const right = this.width - MARGIN.right;
    for (const tick of ticks) {
      const y = Math.round(this.y(tick)) + 0.5;
      group.append(s("path", { d: `M${MARGIN.left} ${y}H${right}`, class: tick === ticks[0] ? "axis" : "grid" }));
      const label = s("text", { x: MARGIN.left - 7, y: y + 3.5, "text-anchor": "end" });
      label.textContent = this.format(tick);
      group.append(label);
    }
    const every = (this.width < 320 ? 5 : 3) * 60000;
    for (let at = Math.ceil((this.nowMs - SPAN_MS) / every) * every; at <= this.nowMs; at += every) {
      const x = Math.round(this.x(at)) + 0.5;
      if (x < MARGIN.left + 14 || x > right - 12) continue;
      const bottom = HEIGHT - MARGIN.bottom;
      group.append(s("path", { d: `M${x} ${bottom}v4`, class: "axis" }));
      const label = s("text", { x, y: bottom + 17, "text-anchor": "middle" });
      label.textContent = timeOfDay(at);
      group.append(label);
    }
    return group;
  }

  drawSeries({ key }, i) {
    const group = s("g", { class: `series series-${key}` });
    const bottom = HEIGHT - MARGIN.bottom;
    for (const run of this.runs(key)) {
      const spots = run.map((point) => `${this.x(point.at).toFixed(1)} ${this.y(point.values[key]).toFixed(1)}`);
      if (run.length === 1) {
        const [cx, cy] = spots[0].split(" ");
        group.append(s("circle", { cx, cy, r: 2.5, class: `spot spot-${i} spot-${key}` }));
        continue;
      }
      if (this.area && i === 0)
        group.append(
          s("path", {
            d: `M${this.x(run[0].at).toFixed(1)} ${bottom}L${spots.join("L")}L${this.x(run.at(-1).at).toFixed(1)} ${bottom}Z`,
            class: `area area-${key}`,
          }),
        );
      group.append(s("path", { d: `M${spots.join("L")}`, class: `line line-${i} line-${key}` }));
    }
    return group;
  }

  /* Shows the values of the point nearest to that moment; null hides them. */
  look(at) {
    this.at = at;
    this.cursor?.replaceChildren();
    this.tip.hidden = at === null || this.points.length === 0;
    if (this.tip.hidden) return;
    const point = this.points[this.nearest(at)];
    const x = this.x(point.at);
    this.cursor.append(
      s("path", { d: `M${x.toFixed(1)} ${MARGIN.top}V${HEIGHT - MARGIN.bottom}`, class: "cursor-line" }),
    );
    this.series.forEach(({ key }, i) => {
      const value = point.values[key];
      if (value === null || value === undefined) return;
      this.cursor.append(
        s("circle", { cx: x.toFixed(1), cy: this.y(value).toFixed(1), r: 3.5, class: `spot spot-${i} spot-${key}` }),
      );
    });
    this.tip.replaceChildren(
      h("b", { text: timeWithSeconds(point.at) }),
      ...this.series.map(({ key, label }) =>
        h("span", {}, h("span", { text: label }), h("span", { class: "tip-value", text: this.valueText(point, key) })),
      ),
    );
    const room = this.tip.offsetWidth + 12;
    this.tip.style.transform = `translate(${Math.round(x + room > this.width ? x - room : x + 12)}px, ${MARGIN.top}px)`;
  }
}
