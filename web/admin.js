/* The operations page: asks for the state of the pool each second while it is seen, and hands it to the views. Loaded by admin.html. It changes
 * nothing on the server; what there is to do is done with renovationctl. */

import { brief, duration, micros, number, setAttribute, setText, timeWithSeconds } from "./admin_format.js";
import {
  ChangesView,
  DatabaseView,
  DeathsView,
  FiguresView,
  ModelsView,
  NoticesView,
  poolState,
} from "./admin_panels.js";
import { linearScale, logScale, Plot } from "./admin_plot.js";
import { WorkersView } from "./admin_workers.js";
import { $, pause } from "./dom.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 4000; /* an answer that takes longer is none */

const figures = new FiguresView();
const notices = new NoticesView();
const workers = new WorkersView();
const database = new DatabaseView();
const models = new ModelsView();
const changes = new ChangesView();
const deaths = new DeathsView();

const plots = [
  new Plot($("plot-rate"), {
    name: "Requests per second",
    series: [
      { key: "rate", label: "Requests" },
      { key: "errors", label: "Errors (5xx)" },
    ],
    format: (value) => `${brief(value)}/s`,
    scale: (values) => linearScale(values, 1),
    area: true,
  }),
  new Plot($("plot-latency"), {
    name: "Time to answer",
    series: [
      { key: "p50", label: "p50" },
      { key: "p99", label: "p99" },
    ],
    format: (value) => micros(value),
    scale: (values) => logScale(values, 1000),
  }),
  new Plot($("plot-open"), {
    name: "Open connections, streams and answers",
    series: [
      { key: "connections", label: "Connections" },
      { key: "streams", label: "Streams" },
      { key: "turns", label: "Answers" },
    ],
    format: (value) => number(value),
    scale: (values) => linearScale(values, 4),
  }),
];

let status = null; /* the last answer */
let heardAt = 0; /* performance.now() of it; 0 = none yet */
let failure = null; /* why the last question had no answer; null = it had one */

/* What a sample says per second, over the time since the one before. */
function pointsOf({ samples, sample_s: sampleS }) {
  return samples.map((sample, i) => {
    const spanS = i === 0 ? sampleS : (sample.at_us - samples[i - 1].at_us) / 1e6;
    const seconds = Math.min(Math.max(spanS, sampleS / 2), sampleS * 2);
    return {
      at: sample.at_us / 1000,
      requests: sample.requests,
      errors: sample.errors,
      rate: sample.requests / seconds,
      p50Us: sample.p50_us,
      p99Us: sample.p99_us,
      values: {
        rate: sample.requests / seconds,
        errors: sample.errors / seconds,
        p50: sample.requests > 0 ? sample.p50_us : null,
        p99: sample.requests > 0 ? sample.p99_us : null,
        connections: sample.connections,
        streams: sample.streams,
        turns: sample.turns,
      },
    };
  });
}

function show() {
  const nowMs = Date.parse(status.now);
  const points = pointsOf(status);
  setText(
    $("identity"),
    `${status.url ? `${status.url.replace(/^http:\/\//, "")} · ` : ""}version ${status.version || "unknown"} · supervisor ${status.pid} · up ${duration(status.uptime_s * 1000)}`,
  );
  figures.update(status, points.at(-1) ?? null);
  for (const plot of plots) plot.update(points, nowMs);
  workers.update(status);
  database.update(status);
  models.update(status);
  changes.update(status, nowMs);
  deaths.update(status, nowMs);
}

/* Whether what is shown is what is. */
function showPulse() {
  const state = document.hidden ? "paused" : failure ? "lost" : status ? "live" : "waiting";
  const texts = { paused: "Paused", lost: "Connection lost", live: "Live", waiting: "Connecting" };
  const pool = failure ? "no answer" : status ? poolState(status) : "connecting";
  setText($("state"), pool);
  setAttribute($("state"), "data-state", failure ? "bad" : pool);
  document.title = `${pool}${status && !failure ? `, ${status.ready}/${status.wanted} ready` : ""} · Operations`;
  setAttribute($("pulse-dot"), "data-state", state);
  setText($("pulse"), texts[state]);
  setText($("pulse-age"), state === "lost" && heardAt ? `for ${duration(performance.now() - heardAt)}` : "");
  setAttribute($("main"), "data-fresh", String(state === "live"));
  notices.update(
    status,
    failure &&
      `${failure} ${status ? `What is shown is from ${timeWithSeconds(Date.parse(status.now))}.` : "Trying again each second."}`,
  );
}

async function ask() {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), PATIENCE_MS);
  try {
    const response = await fetch("/admin/status.json", { cache: "no-store", signal: timeout.signal });
    if (!response.ok) throw new Error(`The server answered ${response.status}.`);
    status = await response.json();
    heardAt = performance.now();
    failure = null;
  } catch (error) {
    failure = error.message.startsWith("The server answered")
      ? error.message
      : "No answer from the server: it has stopped, or the way to it is broken.";
    return;
  } finally {
    clearTimeout(timer);
  }
  show();
}

async function run() {
  for (;;) {
    const began = performance.now();
    if (!document.hidden) await ask();
    showPulse();
    if (document.hidden)
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    else await pause(Math.max(200, EVERY_MS - (performance.now() - began)), { wake: ["online"] });
  }
}

document.addEventListener("visibilitychange", showPulse);
run();
