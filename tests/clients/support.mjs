/* What the client and browser tests share: the server's address from the environment, owners, event streams read in full or up to a
 * point, waiting for a condition with a deadline. Starts nothing: the server under test is already running. */

import { randomUUID, webcrypto } from "node:crypto";

/* Node 18 has it only as a module; the packages under test expect the global. */
globalThis.crypto ??= webcrypto;

export function serverUrl() {
  const url = process.env.RENOVATIOND_URL;
  if (!url)
    throw new Error(
      "RENOVATIOND_URL is not set: start renovationd and put its address there, or run ./dev test, which does both",
    );
  return url.replace(/\/$/, "");
}

export const server = serverUrl();

/* One owner of rows, with its own token. */
export class Owner {
  constructor(token) {
    this.token = token;
  }

  static async create() {
    const response = await fetch(`${server}/api/anonymous`, { method: "POST" });
    if (response.status !== 201)
      throw new Error(`POST /api/anonymous answered ${response.status}: ${await response.text()}`);
    return new Owner((await response.json()).ownerToken);
  }

  /* A raw exchange; `body` is sent as JSON. */
  call(method, path, { body, headers = {}, signal } = {}) {
    return fetch(server + path, {
      method,
      signal,
      headers: {
        "X-Owner-Token": this.token,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  /* An exchange that must end with `status` (any 2xx when not given); resolves with the JSON body, null without one. */
  async json(method, path, { status, ...options } = {}) {
    const response = await this.call(method, path, options);
    const text = await response.text();
    if (status === undefined ? !response.ok : response.status !== status) {
      throw new Error(
        `${method} ${path} answered ${response.status}, expected ${status ?? "2xx"}: ${text.slice(0, 500)}`,
      );
    }
    return text === "" ? null : JSON.parse(text);
  }

  session(members = {}) {
    return this.json("POST", "/api/sessions", { body: { title: "Kitchen", ...members }, status: 201 });
  }

  /* Asks and resolves with {message, turn} without waiting for the answer. */
  ask(conversationId, content, more = {}) {
    const body = { content, clientMessageId: randomUUID(), ...more };
    return this.json("POST", `/api/conversations/${conversationId}/messages`, {
      body,
      headers: { Accept: "application/json" },
    });
  }

  /* The whole stream of a turn from `after` (an event id) on; `status` 204 gives no events. */
  async events(turnId, after, options = {}) {
    const response = await this.stream(turnId, after, options);
    if (response.status === 204) return { status: 204, events: [] };
    if (response.status !== 200)
      throw new Error(`the stream of ${turnId} answered ${response.status}: ${await response.text()}`);
    return { status: 200, response, events: await readEvents(response) };
  }

  stream(turnId, after, { signal } = {}) {
    const headers = { Accept: "text/event-stream", ...(after === undefined ? {} : { "Last-Event-ID": after }) };
    return this.call("GET", `/api/turns/${turnId}/stream`, { headers, signal });
  }

  /* The stored answer of a turn once it has ended. */
  async answer(turnId) {
    let seen = null;
    const turn = await until(
      `turn ${turnId} has ended`,
      async () => {
        seen = await this.json("GET", `/api/turns/${turnId}`);
        return ["completed", "failed", "cancelled"].includes(seen.status) ? seen : null;
      },
      { state: () => JSON.stringify(seen) },
    );
    const page = await this.json("GET", `/api/conversations/${turn.conversationId}/messages?limit=100`);
    return { turn, message: page.data.find((row) => row.role === "assistant" && row.turnId === turnId) };
  }
}

/* Cuts the text of an event stream into events {raw, id, data, part}; comments and `retry:` alone are no events. */
export function splitEvents(text) {
  const events = [];
  for (const raw of text.split(/\r?\n\r?\n/)) {
    const lines = raw.split(/\r?\n/);
    const field = (name) =>
      lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
    const data = field("data");
    if (data.length === 0) continue;
    const event = {
      raw: lines.filter((line) => line.startsWith("id:") || line.startsWith("data:")).join("\n"),
      id: field("id")[0] ?? null,
      data: data.join("\n"),
    };
    event.n = event.id === null ? 0 : Number(event.id.slice(event.id.lastIndexOf(".") + 1));
    if (event.data !== "[DONE]") event.part = JSON.parse(event.data);
    events.push(event);
  }
  return events;
}

/* Reads events until the body ends, or until `enough(events)`; then the connection is closed by us. */
export async function readEvents(response, enough = () => false) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = [];
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    rest += value;
    const end = rest.lastIndexOf("\n\n");
    if (end < 0) continue;
    events.push(...splitEvents(rest.slice(0, end + 2)));
    rest = rest.slice(end + 2);
    if (enough(events)) {
      await reader.cancel().catch(() => {});
      break;
    }
  }
  return events;
}

export const stored = (events) => events.filter((event) => event.n > 0);
export const parts = (events) => events.filter((event) => event.part).map((event) => event.part);
export const textOf = (events) =>
  parts(events)
    .filter((part) => part.type === "text-delta")
    .map((part) => part.delta)
    .join("");
export const types = (events) => parts(events).map((part) => part.type);

/* Looks again every 20 ms until `look` gives something true; fails with `what` after the deadline, and with what `state()` says by then. */
export async function until(what, look, { deadlineMs = 60000, state = () => "" } = {}) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms in vain until ${what} ${await state()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/* Questions for the simulator's demo persona. The first makes it call its tools, the second likewise but slowly enough to be
 * watched; the third has its length and rhythm prescribed, so that it is written for about five seconds (Gemini itself takes the brackets for
 * a part of the text), the fourth for ten; the last is written for minutes: for tests that need an answer under way for as long as they last, and then
 * stop it. */
export const KITCHEN =
  "My kitchen is 4 by 3 metres, the cabinets are from 1990 and I have 15,000 dollars. Where do I start?";
export const SLOW_KITCHEN = `${KITCHEN} [sim:delay=40ms]`;
export const LONG =
  "Explain in detail, step by step, how a whole kitchen renovation goes from the first idea to the last day. [sim:words=600] [sim:delay=40ms]";
export const LONGER = LONG.replace("delay=40ms", "delay=80ms");
export const ENDLESS = LONG.replace("words=600", "words=2000").replace("delay=40ms", "delay=250ms");
