/* Whether the server is there: shown in the header, found out from the page's own requests and the browser's online state. While it is
 * not there, a probe asks /health/live with growing pauses; its first answer sends "back" to who listens. */

import { reachability } from "./api.js";
import { $, pause } from "./dom.js";
import { showBanner, hideBanner } from "./banners.js";

const TEXTS = { connecting: "Connecting", live: "Connected", waiting: "Reconnecting", offline: "Offline" };

export const connection = new EventTarget();

let reachable = null; /* null: nothing asked yet */
let streamWaits = false; /* the stream of an answer is between two connections */
let probing = false;

function show() {
  const state = !navigator.onLine
    ? "offline"
    : reachable === null
      ? "connecting"
      : !reachable || streamWaits
        ? "waiting"
        : "live";
  const element = $("connection");
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  $("connection-text").textContent = TEXTS[state];
  if (state === "offline")
    showBanner("offline", {
      text: "You are offline. Answers go on being written on the server and are shown when you are back.",
    });
  else hideBanner("offline");
}

async function probe() {
  if (probing) return;
  probing = true;
  for (let attempt = 0; !reachable; attempt++) {
    await pause(Math.min(10000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2), { wake: ["online"] });
    try {
      const response = await fetch("/health/live", { cache: "no-store" });
      await response.body?.cancel();
      markUp();
    } catch {
      /* still away */
    }
  }
  probing = false;
}

function markUp() {
  const wasDown = reachable === false;
  reachable = true;
  show();
  if (wasDown) connection.dispatchEvent(new CustomEvent("back"));
}

/* chat.js tells how the stream of the answer fares. */
export function streamState(state) {
  streamWaits = state === "waiting";
  show();
}

export function watchConnection() {
  reachability.addEventListener("up", markUp);
  reachability.addEventListener("down", () => {
    reachable = false;
    show();
    probe();
  });
  window.addEventListener("online", () => {
    show();
    connection.dispatchEvent(new CustomEvent("back"));
  });
  window.addEventListener("offline", show);
}
