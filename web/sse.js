/* Server-sent events over fetch: an incremental decoder (WHATWG HTML 9.2) and the follower of one answer, which comes back after
 * every loss with Last-Event-ID, waiting with jittered back-off. EventSource cannot do this: it neither tells a finished stream from
 * a lost one nor starts at a chosen event. Used by chat.js; does not know what the parts mean beyond those about the connection. */

import { call, ownedCall, problemOf, retryAfterMs } from "./api.js";
import { pause } from "./dom.js";

const SILENCE_MS = 40000; /* The server sends a comment every 15 s: this long without a byte is a dead connection. */
const BASE_MS = 400;
const CAP_MS = 15000;

/* Text in any cuts to events {data, id}; `retry` and `lastEventId` are kept as the specification says. */
export class EventDecoder {
  constructor() {
    this.rest = "";
    this.dataLines = [];
    this.lastEventId = null;
    this.retryMs = null;
    this.started = false;
  }

  push(text) {
    if (!this.started && text !== "") {
      this.started = true;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    const events = [];
    this.rest += text;
    let from = 0;
    for (;;) {
      const end = this.lineEnd(from);
      if (!end) break;
      this.line(this.rest.slice(from, end.at), events);
      from = end.next;
    }
    this.rest = this.rest.slice(from);
    return events;
  }

  /* A CR at the very end may be half of a CRLF: it waits for what follows. */
  lineEnd(from) {
    for (let i = from; i < this.rest.length; i++) {
      const c = this.rest[i];
      if (c === "\n") return { at: i, next: i + 1 };
      if (c === "\r") {
        if (i + 1 === this.rest.length) return null;
        return { at: i, next: this.rest[i + 1] === "\n" ? i + 2 : i + 1 };
      }
    }
    return null;
  }

  line(line, events) {
    if (line === "") {
      if (this.dataLines.length > 0) events.push({ data: this.dataLines.join("\n"), id: this.lastEventId });
      this.dataLines = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.dataLines.push(value);
    else if (field === "id" && !value.includes("\0")) this.lastEventId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
}

/* Follows one answer to its end. `on`: part(part, n) for each, rewind(to), state("live" | "waiting"). The promise resolves with
 * "done" ([DONE] seen, or 204: nothing after what we have), or rejects with a Problem that waiting will not cure, or AbortError. */
export async function followTurn(turnId, { signal, on, last = 0 }) {
  const follower = { turnId, signal, on, last, attempt: 0, retryMs: null, hintMs: null, done: false };
  for (;;) {
    signal.throwIfAborted();
    let delay = null;
    try {
      delay = await readOnce(follower);
      if (follower.done) return "done";
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (
        error.name === "Problem" &&
        error.status !== 0 &&
        error.status < 500 &&
        ![408, 425, 429].includes(error.status)
      )
        throw error;
      delay = error.retryAfterMs ?? null;
    }
    on.state?.("waiting");
    const wait =
      delay ?? Math.min(CAP_MS, (follower.retryMs ?? BASE_MS) * 2 ** follower.attempt) * (0.5 + Math.random() / 2);
    follower.attempt++;
    await pause(navigator.onLine ? wait : CAP_MS, { signal, wake: ["online"] });
  }
}

/* One connection, until it ends. Resolves with the time to wait before the next one, or null for the usual back-off. */
async function readOnce(follower) {
  const { signal } = follower;
  const cut = new AbortController();
  const give = () => cut.abort();
  signal.addEventListener("abort", give);
  window.addEventListener("offline", give);
  let alarm = setTimeout(give, SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream" };
    if (follower.last > 0) headers["Last-Event-ID"] = `${follower.turnId}.${follower.last}`;
    const path = `/api/turns/${follower.turnId}/stream`;
    const response = await (follower.last > 0 ? call : ownedCall)(path, { headers, signal: cut.signal });
    if (response.status === 204) {
      follower.done = true;
      return null;
    }
    if (!response.ok) throw Object.assign(await problemOf(response), { retryAfterMs: retryAfterMs(response) });
    follower.on.state?.("live");
    const decoder = new EventDecoder();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    follower.hintMs = null;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      clearTimeout(alarm);
      alarm = setTimeout(give, SILENCE_MS);
      for (const event of decoder.push(value)) takeEvent(follower, event);
      follower.retryMs = decoder.retryMs ?? follower.retryMs;
      if (follower.done) {
        cut.abort();
        return null;
      }
    }
    /* The server said when to come back (each client another time): no further jitter, no growth. */
    return follower.hintMs === null ? null : follower.hintMs;
  } finally {
    clearTimeout(alarm);
    signal.removeEventListener("abort", give);
    window.removeEventListener("offline", give);
  }
}

function takeEvent(follower, event) {
  if (event.data === "[DONE]") {
    follower.done = true;
    return;
  }
  let part;
  try {
    part = JSON.parse(event.data);
  } catch {
    return;
  }
  if (part.type === "data-reconnect") {
    follower.hintMs = part.data?.afterMs ?? follower.retryMs ?? BASE_MS;
    return;
  }
  if (part.type === "data-rewind") {
    follower.last = part.data?.to ?? 0;
    follower.on.rewind?.(follower.last);
    return;
  }
  /* An event's number is what follows the last dot of its id; transient parts carry none and repeat the id before. */
  const n = event.id === null ? 0 : Number(event.id.slice(event.id.lastIndexOf(".") + 1));
  if (Number.isSafeInteger(n) && n > 0) {
    if (n <= follower.last) return;
    follower.last = n;
    follower.attempt = 0;
  }
  follower.on.part(part, n);
}
