/* Puts the page together: the address says which session is open (#/sessions/<id>), the views do the rest. Also the tabs that panes
 * become on a phone, and what happens when the server or the page comes back. Loaded by index.html. */

import { api, explain } from "./api.js";
import { showBanner, hideBanner } from "./banners.js";
import { BoardView } from "./board.js";
import { ChatView } from "./chat.js";
import { connection, watchConnection } from "./connection.js";
import { $ } from "./dom.js";
import { SessionsView } from "./sessions.js";
import { touchedBy } from "./tools.js";

const TITLE = "Renovation planner";
const SUGGESTIONS = [
  "My kitchen is 4 by 3 metres, the cabinets are from 1990 and I have 15,000 dollars. Where do I start?",
  "The bathroom is 2.5 by 2 metres, it is damp and has no window. What should I do first?",
  "I want to turn the attic into a study for about 20,000 euros.",
];

const sessions = new SessionsView({
  onChange: (session) => {
    if (session.id === sessions.openId) showHead(session);
    board.take(session);
  },
});

const board = new BoardView({
  readSession: async (id) => {
    const session = await sessions.read(id);
    if (id === sessions.openId) showHead(session);
    return session;
  },
  editBudget: (session) => sessions.changeBudget(session),
  onNews: () => {
    $("tab-news").hidden = document.body.dataset.pane === "board";
  },
});

const chat = new ChatView({
  onTool: (tool) => board.touch(touchedBy(tool)),
  startSession: async (text) => {
    const session = await sessions.add({ title: titleFrom(text) });
    if (sessions.openId !== null) return session; /* gone elsewhere meanwhile */
    /* The address changes without opening it anew: the question is already on the page. */
    history.pushState(null, "", `#/sessions/${session.id}`);
    sessions.select(session.id);
    showHead(session);
    board.open(session);
    return session;
  },
  onIdle: () => board.refresh(),
});

/* A title from the first words of a first question. */
function titleFrom(text) {
  const line = text.split(/[\n.!?]/, 1)[0].trim() || text.trim();
  if (line.length <= 60) return line;
  return `${line.slice(0, 60).replace(/\s+\S*$/, "")} …`;
}

function showHead(session) {
  $("chat-title").textContent = session ? session.title : TITLE;
  $("chat-meta").textContent = session?.phase ? phaseName(session.phase) : "";
  document.title = session ? `${session.title} · ${TITLE}` : TITLE;
}

function phaseName(phase) {
  return `Phase: ${phase.charAt(0)}${phase.slice(1).toLowerCase()}`;
}

function showPane(name, { focus = false } = {}) {
  document.body.dataset.pane = name;
  for (const tab of $("tabs").querySelectorAll("button")) {
    if (tab.dataset.pane === name) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  if (name === "board") $("tab-news").hidden = true;
  if (focus && name === "chat") $("chat-title").focus();
}

async function openAddress({ focus = true } = {}) {
  const id = /^#\/sessions\/([0-9a-f-]{36})$/i.exec(location.hash)?.[1] ?? null;
  let session = null;
  if (id) {
    try {
      session = sessions.rows.find((row) => row.id === id) ?? (await sessions.read(id));
    } catch (error) {
      showBanner("sessions", {
        text: explain(error),
        action: error.status === 404 ? null : { label: "Try again", run: () => openAddress() },
      });
      if (error.status === 404) history.replaceState(null, "", "#/");
    }
  }
  sessions.select(session?.id ?? null);
  showHead(session);
  showPane("chat");
  await Promise.all([chat.open(session), board.open(session)]);
  if (focus && matchMedia("(min-width: 900px)").matches && !$("dialog").open) $("composer-text").focus();
}

async function tellSimulator() {
  try {
    const status = await api.get("/health/status");
    if (status.features?.geminiSimulator) {
      showBanner("simulator", {
        kind: "note",
        sticky: true,
        text: "A simulator answers here, not Gemini. Start the server with GOOGLE_API_KEY set to talk to the real model.",
      });
    } else hideBanner("simulator");
  } catch {
    /* Not worth an error of its own: the page works without knowing. */
  }
}

let begun = false;

async function start() {
  watchConnection();
  chat.composer.suggest(SUGGESTIONS);
  for (const tab of $("tabs").querySelectorAll("button")) {
    tab.addEventListener("click", () => showPane(tab.dataset.pane, { focus: true }));
  }
  /* Also for the session that is open already: its address does not change. */
  $("sessions").addEventListener("click", (event) => event.target.closest("a") && showPane("chat"));
  /* Not through the address: that names the session. */
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    showPane("chat");
    $("composer-text").focus();
  });
  window.addEventListener("hashchange", () => openAddress());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) comeBack();
  });
  connection.addEventListener("back", comeBack);
  tellSimulator();
  await begin();
}

/* The first look at the sessions; tried again whenever the server comes back, until it worked. */
async function begin() {
  try {
    await sessions.load();
    if (begun) return; /* tried again twice */
    begun = true;
    hideBanner("start");
    await openAddress();
  } catch (error) {
    showBanner("start", { text: explain(error), action: { label: "Try again", run: begin } });
  }
}

async function comeBack() {
  if (!begun) {
    await begin();
    return;
  }
  try {
    await sessions.load();
    board.refresh();
    await chat.catchUp();
    tellSimulator();
  } catch {
    /* The indicator in the header says it. */
  }
}

start();
