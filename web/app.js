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
  startSession: async (place) => {
    const session = await sessions.add({ title: titleFrom(place.start.text) }, place.start.key);
    if (chat.place !== place || sessionIn(location.hash)) return session; /* gone elsewhere meanwhile, or about to */
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

const LOADED_AT = location.hash; /* what is asked before anything is open is asked there */
const RETRY_MS = 1000;
const MOST_RETRY_MS = 30000;

let begun = false; /* that address is open, or what it named is gone: from now on the page goes where the address goes */
let unread = true; /* the address could not be read yet: tried again by itself */
let opening = 0; /* counts: of addresses that are being read, only the newest is shown */
const retry = { timer: 0, count: 0 };

/* The id of the session that an address names, null for the start page. */
function sessionIn(address) {
  return /^#\/sessions\/([0-9a-f-]{36})$/i.exec(address)?.[1].toLowerCase() ?? null;
}

/* Shows what the address names. When that cannot be read, the page stays as it is, and questions wait, until it can. */
async function openAddress() {
  const id = sessionIn(begun ? location.hash : LOADED_AT);
  const mine = ++opening;
  clearTimeout(retry.timer);
  let session = null;
  try {
    if (!begun) await sessions.load();
    if (id) session = sessions.rows.find((row) => row.id === id) ?? (await sessions.read(id));
    if (mine !== opening) return;
    hideBanner("address");
  } catch (error) {
    if (mine !== opening) return;
    if (error.status !== 404) return retryLater(error);
    showBanner("address", { text: explain(error) });
    if (sessionIn(location.hash) === id) history.replaceState(null, "", "#/");
  }
  begun = true;
  unread = false;
  retry.count = 0;
  await show(session);
  if (mine === opening && matchMedia("(min-width: 900px)").matches && !$("dialog").open) $("composer-text").focus();
}

/* While it cannot be reached at all, connection.js finds out when it is back. */
function retryLater(error) {
  unread = true;
  showBanner("address", { text: explain(error), sticky: true, action: { label: "Try again", run: openAddress } });
  if (error.status === 0) return;
  const pause = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** retry.count++) * (0.5 + Math.random() / 2);
  retry.timer = setTimeout(openAddress, Math.max(pause, error.retryAfterMs ?? 0));
}

async function show(session) {
  sessions.select(session?.id ?? null);
  showHead(session);
  showPane("chat");
  const opened = Promise.all([chat.open(session), board.open(session)]);
  /* The address was changed before the first one was open. */
  if (sessionIn(location.hash) !== (session?.id ?? null)) await openAddress();
  await opened;
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
  window.addEventListener("hashchange", () => begun && openAddress());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) comeBack();
  });
  connection.addEventListener("back", comeBack);
  tellSimulator();
  await openAddress();
}

async function comeBack() {
  if (unread) openAddress();
  if (!begun) return;
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
