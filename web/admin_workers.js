/* The pool as tiles, one a worker: state, load, how its loop keeps up, what it has open. Used by admin.js; reads what status.json says and
 * nothing else. A tile belongs to one life of a worker: the next one in the same slot gets a tile of its own. */

import { bytes, duration, KeyedList, micros, number, plural, setAttribute, setText } from "./admin_format.js";
import { $, h } from "./dom.js";

const LAG_LATE_US = 50000; /* the balance leaves such a worker out */
const BEAT_LATE_MS = 5000; /* the supervisor calls it unhealthy */
const LOAD_LEAST = 20; /* a bar is full at this load at least, so that one connection does not fill it */

/* As the workers weigh themselves when they share connections out. */
const loadOf = (worker) => worker.connections + 4 * worker.streams;

const isLate = (worker) => worker.heartbeat_age_ms > BEAT_LATE_MS || worker.is_sick;

const STATES = {
  boot: "starting",
  ready: "ready",
  draining: "draining",
  closing: "closing",
  exited: "ended",
};

export function stateOf(worker) {
  return isLate(worker) ? "sick" : worker.state;
}

function stateText(worker) {
  if (worker.is_sick) return "sick";
  if (isLate(worker)) return "not responding";
  return STATES[worker.state] ?? worker.state;
}

/* Name, text, and whether it should stand out. */
const FACTS = [
  ["lag", "Loop lag", (w) => micros(w.loop_lag_us), (w) => w.loop_lag_us > LAG_LATE_US],
  ["heartbeat", "Heartbeat", (w) => `${duration(w.heartbeat_age_ms)} ago`, (w) => w.heartbeat_age_ms > BEAT_LATE_MS],
  ["connections", "Connections", (w) => `${number(w.connections)}, ${number(w.idle)} idle`],
  ["streams", "Streams", (w) => number(w.streams)],
  ["turns", "Answers", (w) => number(w.turns)],
  ["requests", "Requests", (w) => number(w.requests)],
  ["errors", "Errors (5xx)", (w) => number(w.errors), (w) => w.errors > 0],
  [
    "db",
    "Database",
    (w) => `${number(Math.max(0, w.db.open - w.db.idle))} of ${number(w.db.open)} busy`,
    (w) => w.db.open === 0 && w.state === "ready",
  ],
  ["memory", "Memory", (w) => (w.memory_bytes ? bytes(w.memory_bytes) : "–")],
  ["age", "Up", (w) => duration(w.age_ms)],
  ["restarts", "Crashes here", (w) => number(w.restarts ?? 0), (w) => w.restarts > 0],
];

function makeTile(worker) {
  const tile = h(
    "li",
    { class: "tile card", dataset: { slot: worker.slot, pid: worker.pid, epoch: worker.epoch } },
    h(
      "div",
      { class: "tile-head" },
      h("h3", {}, "Slot ", h("span", { text: worker.slot, dataset: { field: "slot" } })),
      h("span", { class: "badge", dataset: { field: "state" } }),
    ),
    h(
      "p",
      { class: "tile-id quiet" },
      "pid ",
      h("span", { text: worker.pid, dataset: { field: "pid" } }),
      " · generation ",
      h("span", { dataset: { field: "generation" } }),
    ),
    h(
      "div",
      { class: "load", role: "meter", "aria-label": "Load", "aria-valuemin": "0" },
      h("span", { class: "load-bar" }),
    ),
    h("p", { class: "load-text quiet" }, "Load ", h("span", { dataset: { field: "load" } })),
    h(
      "dl",
      { class: "facts" },
      FACTS.map(([field, label]) => h("div", {}, h("dt", { text: label }), h("dd", { dataset: { field } }))),
    ),
    h("p", { class: "tile-last quiet" }),
    h("p", { class: "tile-note", hidden: true }),
  );
  tile.fields = Object.fromEntries(
    [...tile.querySelectorAll("[data-field]")].map((element) => [element.dataset.field, element]),
  );
  tile.meter = tile.querySelector(".load");
  tile.bar = tile.querySelector(".load-bar");
  tile.last = tile.querySelector(".tile-last");
  tile.note = tile.querySelector(".tile-note");
  return tile;
}

function noteOf(worker) {
  const notes = [];
  if (worker.drain_left_ms !== null)
    notes.push(`Leaves by itself, at the latest in ${duration(worker.drain_left_ms)}.`);
  if (worker.is_sick) notes.push("Its part of the scoreboard holds values that cannot be.");
  if (worker.log_dropped > 0) notes.push(`${plural(worker.log_dropped, "log line")} dropped.`);
  return notes.join(" ");
}

/* One line, so that the tile keeps its height from second to second; the whole is in its title. */
function lastOf(worker) {
  if (!worker.last_request) return "Nothing asked yet";
  return `${duration(worker.last_request.age_ms)} ago: ${worker.last_request.text}`;
}

function fillTile(tile, worker, full, newest) {
  const load = loadOf(worker);
  setAttribute(tile, "data-state", stateOf(worker));
  setAttribute(tile, "data-old", worker.generation < newest ? "" : null);
  setAttribute(tile, "aria-label", `Worker in slot ${worker.slot}, ${stateText(worker)}`);
  setText(tile.fields.state, stateText(worker));
  setAttribute(tile.fields.state, "data-state", stateOf(worker));
  setText(tile.fields.generation, String(worker.generation));
  setText(tile.fields.load, number(load));
  setAttribute(tile.meter, "aria-valuemax", full);
  setAttribute(tile.meter, "aria-valuenow", load);
  setAttribute(tile.meter, "aria-valuetext", plural(load, "unit"));
  tile.bar.style.width = `${(100 * Math.min(load, full)) / full}%`;
  for (const [field, , text, isBad] of FACTS) {
    setText(tile.fields[field], text(worker));
    setAttribute(tile.fields[field], "data-bad", isBad?.(worker) ? "" : null);
  }
  const last = lastOf(worker);
  setText(tile.last, last);
  setAttribute(tile.last, "title", last);
  const note = noteOf(worker);
  tile.note.hidden = note === "";
  setText(tile.note, note);
}

export class WorkersView {
  constructor() {
    this.full = LOAD_LEAST;
    this.newest = 0;
    this.list = new KeyedList($("workers"), makeTile, (tile, worker) => fillTile(tile, worker, this.full, this.newest));
  }

  update(status) {
    const workers = [...status.workers].sort((a, b) => b.generation - a.generation || a.slot - b.slot);
    this.full = Math.max(LOAD_LEAST, ...workers.map(loadOf));
    this.newest = status.generation;
    this.list.update(workers, (worker) => `${worker.slot}/${worker.epoch}`);
    $("workers-none").hidden = workers.length > 0;
    const old = workers.filter((worker) => worker.generation < status.generation).length;
    setText(
      $("workers-sum"),
      `${number(status.ready)} of ${number(status.wanted)} ready, generation ${status.generation}` +
        (old > 0 ? `; ${number(old)} of an older one on the way out` : ""),
    );
  }
}
