/* Everything of the operations page that is neither tile nor plot: figures, notices, database pool, models, reload and upgrade, crashes. Each function
 * brings one part up to date from status.json. Used by admin.js. */

import {
  ago,
  brief,
  duration,
  KeyedList,
  micros,
  moment,
  number,
  plural,
  setAttribute,
  setText,
} from "./admin_format.js";
import { $, h } from "./dom.js";

const SUPERVISOR_LATE_MS = 5000; /* it beats each second */

/* Rows of name and text; kept, so that only what changed is written. `rows`: [[label, text, isBad]]. */
class Facts {
  constructor(parent, className) {
    const dl = h("dl", { class: className });
    parent.append(dl);
    this.list = new KeyedList(
      dl,
      ([label]) => h("div", {}, h("dt", { text: label }), h("dd")),
      (row, [, text, isBad]) => {
        setText(row.lastElementChild, text);
        setAttribute(row.lastElementChild, "data-bad", isBad ? "" : null);
      },
    );
  }

  update(rows) {
    this.list.update(rows, ([label]) => label);
  }
}

/* ---- figures ---- */

/* Share of 5xx among what was answered; nothing answered has none. */
const errorShare = (point) => (point.requests === 0 ? null : (100 * point.errors) / point.requests);

export class FiguresView {
  constructor() {
    this.list = new KeyedList(
      $("figures"),
      ([key, label]) => h("div", { class: "figure", dataset: { key } }, h("dt", { text: label }), h("dd")),
      (figure, [, , text, state]) => {
        setText(figure.lastElementChild, text);
        setAttribute(figure, "data-state", state ?? null);
      },
    );
  }

  /* `last`: the newest point of the plots, null before the first. */
  update(status, last) {
    const share = last ? errorShare(last) : null;
    const restarts = Object.values(status.restarts).reduce((sum, n) => sum + n, 0);
    this.list.update(
      [
        ["ready", "Workers ready", `${status.ready} / ${status.wanted}`, status.ready < status.wanted ? "warn" : null],
        ["rate", "Requests", last ? `${brief(last.rate)}/s` : "–"],
        ["p50", "p50", last?.p50Us ? micros(last.p50Us) : "–"],
        ["p99", "p99", last?.p99Us ? micros(last.p99Us) : "–"],
        ["errors", "Errors (5xx)", share === null ? "–" : `${brief(share)} %`, share > 0 ? "bad" : null],
        ["connections", "Connections", number(status.totals.connections)],
        ["streams", "Streams", number(status.totals.streams)],
        ["turns", "Answers in flight", number(status.totals.turns)],
        ["restarts", "Crashes", number(restarts), restarts > 0 ? "warn" : null],
      ],
      ([key]) => key,
    );
  }
}

/* ---- notices ---- */

const STATES = {
  starting: ["note", (s) => `Starting: ${s.ready} of ${plural(s.wanted, "worker")} ready.`],
  degraded: [
    "bad",
    (s) =>
      `Degraded: ${s.ready} of ${plural(s.wanted, "worker")} ready. The healthy ones serve; see the crashes below.`,
  ],
  reloading: ["note", () => "Reloading: a new generation of workers is on its way, the old one serves."],
  upgrading: ["note", () => "Upgrading: a new program is on its way, the old workers serve."],
  drained: [
    "warn",
    () =>
      "Drained by the operator: one worker answers health checks, everything else gets 503. renovationctl resume ends it.",
  ],
  stopping: [
    "bad",
    ({ stop }) =>
      "Stopping: no new connections are taken, what is under way ends or is handed over." +
      (stop ? ` Phase ${stop.phase}${stop.is_fast ? ", fast" : ""}, ${plural(stop.workers_left, "worker")} left.` : ""),
  ],
};

/* A stop outranks everything, from its first moment. */
export const poolState = (status) => (status.stop ? "stopping" : status.state);

function noticesOf(status) {
  const notices = [];
  const state = STATES[poolState(status)];
  if (state) notices.push([poolState(status), state[0], state[1](status)]);
  if (status.supervisor_age_ms > SUPERVISOR_LATE_MS)
    notices.push([
      "supervisor",
      "bad",
      "The supervisor gives no sign of life. Workers go on, but nobody replaces one that ends.",
    ]);
  if (status.gemini === "failing")
    notices.push(["gemini", "warn", "Gemini does not answer as it should: chat may fail."]);
  if (status.gemini === "credentials refused")
    notices.push(["gemini", "bad", "Gemini refuses the API key: no question can be answered."]);
  for (const breaker of status.breakers)
    if (breaker.state === "open")
      notices.push([`breaker ${breaker.model}`, "warn", `${breaker.model} is left alone after ${breaker.reason}.`]);
  if (status.lost > 0) notices.push(["lost", "bad", `${plural(status.lost, "acknowledged question")} lost.`]);
  return notices;
}

export class NoticesView {
  constructor() {
    this.list = new KeyedList(
      $("notices"),
      ([key, kind]) => h("p", { class: "notice", dataset: { key, kind } }),
      (notice, [, , text]) => setText(notice, text),
    );
  }

  /* `status` is null before the first answer; `lost` is null or says that nothing is heard, and then nothing else is known. */
  update(status, lost) {
    this.list.update(lost ? [["connection", "bad", lost]] : status ? noticesOf(status) : [], ([key]) => key);
  }
}

/* ---- database and models ---- */

export class DatabaseView {
  constructor() {
    this.bar = h("span", { class: "load-bar" });
    this.meter = h(
      "div",
      { class: "load", role: "meter", "aria-label": "Busy database connections", "aria-valuemin": "0" },
      this.bar,
    );
    $("database").append(this.meter);
    this.facts = new Facts($("database"), "facts facts-wide");
  }

  update(status) {
    const sum = (field) => status.workers.reduce((n, worker) => n + worker.db[field], 0);
    const open = sum("open");
    const busy = Math.max(0, open - sum("idle"));
    const { totals } = status;
    this.bar.style.width = `${open === 0 ? 0 : (100 * busy) / open}%`;
    setAttribute(this.meter, "aria-valuemax", Math.max(1, open));
    setAttribute(this.meter, "aria-valuenow", busy);
    this.facts.update([
      ["Connections", number(open), open === 0 && status.ready > 0],
      ["Busy", number(busy)],
      ["Queries under way", number(sum("waiting"))],
      ["Queries answered", number(totals.db_queries)],
      ["Errors", number(totals.db_errors), totals.db_errors > 0],
      ...(totals.db_reconnects === undefined ? [] : [["Connected again", number(totals.db_reconnects)]]),
    ]);
  }
}

const BREAKERS = { closed: "in use", half: "being tried", open: "left alone" };

function breakerText({ state, reason, failures, left_ms: leftMs }) {
  const parts = [];
  if (reason) parts.push(`after ${reason}`);
  if (failures > 0) parts.push(`${plural(failures, "failure")} in a row`);
  if (state === "open") parts.push(`tried again in ${duration(leftMs)}`);
  return parts.join(", ");
}

export class ModelsView {
  constructor() {
    const list = h("ul", { class: "models" });
    this.none = h("p", { class: "quiet", text: "No model has been asked yet." });
    $("models").append(list, this.none);
    this.list = new KeyedList(
      list,
      ({ model }) =>
        h(
          "li",
          { dataset: { model } },
          h("span", { class: "model-name", text: model }),
          h("span", { class: "badge" }),
          h("span", { class: "quiet" }),
        ),
      (element, breaker) => {
        const [, badge, text] = element.children;
        setText(badge, BREAKERS[breaker.state] ?? breaker.state);
        setAttribute(badge, "data-state", `breaker-${breaker.state}`);
        setText(text, breakerText(breaker));
      },
    );
    this.facts = new Facts($("models"), "facts facts-wide");
  }

  update(status) {
    const { totals } = status;
    this.list.update(status.breakers, ({ model }) => model);
    this.none.hidden = status.breakers.length > 0;
    this.facts.update([
      ["Gemini", status.gemini, status.gemini === "failing" || status.gemini === "credentials refused"],
      ["Answers in flight", number(totals.turns)],
      ["Answers completed", number(totals.turns_completed)],
      ["Answers failed", number(totals.turns_failed), totals.turns_failed > 0],
      ["Taken over", number(totals.turns_taken_over)],
      ["Calls, errors", `${number(totals.model_calls)}, ${number(totals.model_errors)}`],
      ["Tokens in, out", `${number(totals.tokens_in)}, ${number(totals.tokens_out)}`],
    ]);
  }
}

/* ---- reload and upgrade ---- */

const RELOADS = {
  live: ["applied to the running workers", "good"],
  replaced: ["a new generation serves", "good"],
  rejected: ["rejected: nothing was changed", "bad"],
  failed: ["failed: the old workers serve", "bad"],
};

function changeElement(title) {
  return h(
    "div",
    { class: "change" },
    h("h3", { text: title }),
    h("p", {}, h("span", { class: "badge" }), " ", h("span", { class: "quiet" })),
    h("p", { class: "change-text" }),
  );
}

function fillChange(element, change, nowMs) {
  const [, line, text] = element.children;
  const [badge, when] = line.children;
  badge.hidden = change === null;
  if (change) {
    setText(badge, change.result);
    setAttribute(badge, "data-state", change.kind);
  }
  setText(
    when,
    change ? `${moment(change.at, nowMs)}, ${ago(change.at, nowMs)}${change.took}` : "None since the pool began.",
  );
  text.hidden = !change?.text;
  setText(text, change?.text ?? "");
}

export class ChangesView {
  constructor() {
    this.reload = changeElement("Last reload");
    this.upgrade = changeElement("Last upgrade");
    $("changes").append(this.reload, this.upgrade);
    this.facts = new Facts($("changes"), "facts facts-wide");
  }

  update(status, nowMs) {
    const reload = status.reloads.last;
    const upgrade = status.upgrades.last;
    const [result, kind] = RELOADS[reload?.result] ?? [reload?.result, "note"];
    fillChange(
      this.reload,
      reload && { result, kind, at: reload.at_us / 1000, took: `, took ${duration(reload.ms)}`, text: reload.text },
      nowMs,
    );
    fillChange(
      this.upgrade,
      upgrade && {
        result: upgrade.done ? "done" : "rolled back or refused",
        kind: upgrade.done ? "good" : "bad",
        at: upgrade.at_us / 1000,
        took: "",
        text: upgrade.text,
      },
      nowMs,
    );
    const { replaced, live, rejected, failed } = status.reloads;
    this.facts.update([
      ["Generation", String(status.generation)],
      ["Reloads", `${number(replaced + live)} done, ${number(rejected + failed)} not`],
      ["Upgrades", `${number(status.upgrades.done)} done, ${number(status.upgrades.failed)} not`],
    ]);
  }
}

/* ---- crashes ---- */

const CAUSES = {
  exit: (d) => `left by itself with code ${d.exit_code}`,
  signal: (d) => `crashed with ${signalName(d)}`,
  oom: () => "killed for want of memory",
  killed: (d) => `killed from outside with ${signalName(d)}`,
  hung: () => "gave no heartbeat and was ended",
  boot: () => "was not ready in time and was ended",
};

function signalName(death) {
  return death.signal_name ? `SIG${death.signal_name}` : `signal ${death.signal}`;
}

/* "2 streams and 1 answer" */
function openText({ connections, streams, turns }) {
  const open = [
    connections > 0 && plural(connections, "connection"),
    streams > 0 && plural(streams, "stream"),
    turns > 0 && plural(turns, "answer"),
  ].filter(Boolean);
  return open.length === 0 ? "nothing" : open.join(", ");
}

function makeDeath(death) {
  const cause = (CAUSES[death.cause] ?? (() => death.cause))(death);
  const rows = [
    ["Cause", `${death.cause}${death.has_core ? ", with a core" : ""}`],
    ["Signal", death.signal > 0 ? `${signalName(death)} (${death.signal})` : "none"],
    ["Exit code", death.signal > 0 ? "none" : String(death.exit_code)],
    ["Lived", `${duration(death.lived_ms)}, ready for ${duration(death.ready_ms)}`],
    ["State", death.state],
    ["Last request", death.last_request || "none"],
    ["Had open", `${openText(death)}${death.turns > 0 ? "; another worker takes the answers over" : ""}`],
    ["Last heartbeat", `${duration(death.heartbeat_age_ms)} before, loop lag ${micros(death.loop_lag_us)}`],
    ["Generation", String(death.generation)],
  ];
  return h(
    "li",
    { class: "death card", dataset: { pid: death.pid, signal: death.signal_name, cause: death.cause } },
    h("h3", { text: `Slot ${death.slot}, pid ${death.pid}: ${cause}` }),
    h("p", { class: "death-time quiet" }),
    h(
      "dl",
      { class: "facts facts-wide" },
      rows.map(([label, text]) => h("div", {}, h("dt", { text: label }), h("dd", { text }))),
    ),
  );
}

export class DeathsView {
  constructor() {
    this.list = new KeyedList($("deaths"), makeDeath, (element, death) => {
      const at = Date.parse(death.at);
      setText(element.children[1], `${moment(at, this.nowMs)}, ${ago(at, this.nowMs)}`);
    });
  }

  update(status, nowMs) {
    this.nowMs = nowMs;
    this.list.update(status.deaths, (death) => `${death.pid}/${death.epoch}/${death.at}`);
    $("deaths-none").hidden = status.deaths.length > 0;
    const causes = Object.entries(status.restarts).filter(([, n]) => n > 0);
    setText($("deaths-sum"), causes.map(([cause, n]) => `${number(n)} ${cause}`).join(", "));
  }
}
