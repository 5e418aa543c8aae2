/* The conversation in the middle: stored messages, the question box, and the answers being written, which it follows until they end,
 * over reloads and lost connections. One ChatView for the page; open() points it at another session. The server's rows are the
 * truth: it keeps nothing that a reload would need. Does not touch the project pane; it tells app.js which tools have run. */

import { api, explain, newId } from "./api.js";
import { Answer } from "./answer.js";
import { showBanner, hideBanner } from "./banners.js";
import { Composer } from "./composer.js";
import { streamState } from "./connection.js";
import { $, h } from "./dom.js";
import { Place } from "./place.js";
import { mark, questionElement } from "./question.js";
import { followTurn } from "./sse.js";

const PAGE = 40;
const NEAR_PX = 80; /* closer to the end than this, the view sticks to the end */

export class ChatView {
  /* `onTool(tool)`: a tool has run. `startSession(place)`: makes a session for its first question, resolves with it. `onIdle()`: all is answered. */
  constructor({ onTool, startSession, onIdle }) {
    this.onTool = onTool;
    this.startSession = startSession;
    this.onIdle = onIdle;
    this.controller = new AbortController();
    this.ended = new Set(); /* ids of turns followed to their end: never a reason to look again */
    /* Which session it is, is known with the first open(); what is asked before waits for it. */
    this.place = new Place(null);
    this.left = new Set(); /* places shown before whose questions are not all confirmed */
    this.place.opening = new Promise((resolve) => {
      this.begin = resolve;
    });
    this.composer = new Composer({ onAsk: (text) => this.ask(text), onStop: () => this.stop() });
    this.forget();
    this.wire();
  }

  forget() {
    this.conversation = null;
    this.waiting = []; /* questions that wait for their turn: {turnId, element}, in order */
    this.current = null; /* the answer being followed: {turnId, answer} */
    this.questions = new Map(); /* turn id to the element of its question */
    this.answers = new Set(); /* ids of turns whose answer is shown or waited for */
    this.cursor = null;
    this.stuck = true;
    streamState("idle");
  }

  wire() {
    $("chat-earlier").addEventListener("click", () => this.loadEarlier());
    $("chat-latest").addEventListener("click", () => this.toEnd(true));
    $("chat-scroll").addEventListener("scroll", () => {
      const area = $("chat-scroll");
      this.stuck = area.scrollHeight - area.scrollTop - area.clientHeight < NEAR_PX;
      if (this.stuck) $("chat-latest").hidden = true;
    });
    new ResizeObserver(() => this.stuck && this.toEnd()).observe($("chat-scroll"));
  }

  get session() {
    return this.place.session;
  }

  get own() {
    return this.place.own;
  }

  /* null shows the start page. What the same conversation did not get stays where it can be sent again. */
  open(session) {
    if (this.begin) this.place.session = session;
    else if (session?.id !== this.session?.id) this.go(session);
    this.place.opening = this.show(session);
    this.begin?.(this.place.opening);
    this.begin = null;
    return this.place.opening;
  }

  go(session) {
    if (this.own.size > 0) this.left.add(this.place);
    this.place = [...this.left].find((place) => place.session?.id === session?.id) ?? new Place(session);
    this.left.delete(this.place);
  }

  async show(session) {
    this.controller.abort();
    this.controller = new AbortController();
    const { signal } = this.controller;
    this.forget();
    $("messages").replaceChildren(...[...this.own.values()].map(({ element }) => element));
    $("messages").removeAttribute("aria-busy");
    $("chat-earlier").hidden = true;
    $("chat-latest").hidden = true;
    hideBanner("chat");
    hideBanner("stream");
    this.showState();
    $("welcome").hidden = session !== null || this.own.size > 0;
    if (!session) return;
    $("messages").setAttribute("aria-busy", "true");
    try {
      this.conversation = await api.get(`/api/conversations/${session.conversationId}`, { signal });
      const page = await api.get(`/api/conversations/${session.conversationId}/messages?limit=${PAGE}`, { signal });
      if (signal.aborted) return;
      this.cursor = page.nextCursor;
      $("chat-earlier").hidden = !this.cursor;
      const messages = page.data.reverse();
      this.placeAll(messages);
      $("welcome").hidden = messages.length + this.own.size > 0;
      this.toEnd();
      await this.resume(messages, signal);
    } catch (error) {
      if (signal.aborted) return;
      showBanner("chat", { text: explain(error), action: { label: "Try again", run: () => this.open(session) } });
    } finally {
      if (!signal.aborted) $("messages").removeAttribute("aria-busy");
    }
  }

  /* After time away, or when all is answered: another device may have asked. Whatever is not shown yet is. */
  async catchUp() {
    if (!this.session || this.current) return;
    const { signal } = this.controller;
    const path = `/api/conversations/${this.session.conversationId}`;
    try {
      const [conversation, page] = await Promise.all([
        api.get(path, { signal }),
        api.get(`${path}/messages?limit=6`, { signal }),
      ]);
      const shown = this.shown();
      const missing = page.data.some((message) => !shown.has(message.id) && !this.ended.has(message.turnId));
      const active = conversation.activeTurnId && !this.ended.has(conversation.activeTurnId);
      const sending = [...this.own.values()].some(({ isSending }) => isSending);
      if ((missing || active) && !this.current && !sending && !signal.aborted) await this.open(this.session);
    } catch {
      /* The connection indicator says it; the next return tries again. */
    }
  }

  /* Above all that is shown, so before what is not sent yet. A question of ours whose receipt was lost is found by its clientMessageId:
   * it did arrive. Returns the elements that are new. */
  placeAll(messages) {
    const elements = [];
    const shown = this.shown();
    for (const message of messages) {
      if (shown.has(message.id)) continue;
      if (message.role === "user") elements.push(this.arrived(message) ?? this.storedQuestion(message));
      else if (message.role === "assistant" && !this.isLive(message)) elements.push(this.storedAnswer(message));
    }
    $("messages").prepend(...elements);
    return elements;
  }

  /* Ids of the messages on the page. */
  shown() {
    return new Set([...$("messages").children].map((element) => element.dataset.messageId));
  }

  arrived({ clientMessageId, id, turnId }) {
    const element = this.own.get(clientMessageId)?.element;
    if (!element) return null;
    this.own.delete(clientMessageId);
    this.confirm(element, id, turnId);
    return element;
  }

  confirm(element, messageId, turnId) {
    element.dataset.messageId = messageId;
    delete element.dataset.unsent;
    this.questions.set(turnId, element);
    mark(element, null);
  }

  isLive(message) {
    return (
      message.status === "streaming" ||
      (message.turnId && message.turnId === this.conversation.activeTurnId && message.status !== "complete")
    );
  }

  storedAnswer(message) {
    const answer = new Answer({ onRetry: () => this.askAgain(message.turnId) });
    answer.load(message);
    answer.element.dataset.messageId = message.id;
    this.answers.add(message.turnId);
    if (message.status === "failed" && message.turnId) this.explainFailure(answer, message.turnId);
    return answer.element;
  }

  async explainFailure(answer, turnId) {
    try {
      const turn = await api.get(`/api/turns/${turnId}`, { signal: this.controller.signal });
      if (!turn.error) return;
      answer.failed = turn.error.message;
      answer.finish();
    } catch {
      /* The plain sentence stays. */
    }
  }

  storedQuestion({ content, id, turnId }) {
    const element = questionElement(content);
    element.dataset.messageId = id;
    if (turnId) this.questions.set(turnId, element);
    return element;
  }

  /* Follows the active turn of a conversation just read, then those that wait behind it. */
  async resume(messages, signal) {
    const active = this.conversation.activeTurnId;
    const answered = new Set(messages.filter((m) => m.role === "assistant" && !this.isLive(m)).map((m) => m.turnId));
    const turnIds = messages
      .filter((m) => m.role === "user" && m.turnId && !answered.has(m.turnId))
      .map((m) => m.turnId);
    if (active && !answered.has(active) && !turnIds.includes(active)) turnIds.unshift(active);
    /* A question without an answer waits for one, or its turn was taken back: only the turn's row knows. */
    const turns = await Promise.all(
      turnIds.map((id) => (id === active ? { id, status: "running" } : api.get(`/api/turns/${id}`, { signal }))),
    );
    for (const turn of turns) {
      const question = this.questions.get(turn.id) ?? null;
      if (["queued", "running", "waiting_approval"].includes(turn.status)) this.enqueue(turn.id, question);
      else if (turn.status === "cancelled") mark(question, "Not answered: it was stopped while it waited.");
      else if (turn.error) mark(question, turn.error.message);
    }
    this.pump();
  }

  enqueue(turnId, element) {
    if (this.answers.has(turnId)) return; /* sent again, and found by itself meanwhile */
    this.answers.add(turnId);
    this.waiting.push({ turnId, element });
    this.showQueue();
  }

  showQueue() {
    this.waiting.forEach(({ turnId, element }, i) => {
      if (!element || (i === 0 && !this.current)) return;
      if (element.queuedFor === turnId) return;
      element.queuedFor = turnId;
      mark(element, "Waiting for the answer before", { Remove: () => this.dequeue(turnId) });
    });
  }

  /* Takes a waiting question back. */
  async dequeue(turnId) {
    const entry = this.waiting.find((waiting) => waiting.turnId === turnId);
    try {
      const turn = await api.post(`/api/turns/${turnId}/cancel`);
      if (turn.status !== "cancelled" || !entry) return;
      this.waiting = this.waiting.filter((waiting) => waiting !== entry);
      mark(entry.element, "Removed before it was answered.");
      this.composer.focus();
    } catch (error) {
      showBanner("chat", { text: explain(error) });
    }
  }

  /* One answer after the other. */
  async pump() {
    if (this.current || this.waiting.length === 0) {
      this.showState();
      return;
    }
    const { signal } = this.controller;
    const { turnId, element } = this.waiting.shift();
    mark(element, null);
    const answer = new Answer({ onTool: this.onTool, onRetry: () => this.askAgain(turnId) });
    this.current = { turnId, answer };
    answer.onRender = () => this.grown();
    answer.render();
    if (element?.isConnected) element.after(answer.element);
    else $("messages").append(answer.element);
    this.showState();
    this.grown();
    try {
      await followTurn(turnId, {
        signal,
        on: {
          part: (part, n) => answer.apply(part, n),
          rewind: (to) => answer.rewind(to),
          state: streamState,
        },
      });
      await this.settle(turnId, answer, signal);
    } catch (error) {
      if (signal.aborted) return;
      answer.failed = explain(error);
    }
    if (signal.aborted) return;
    this.ended.add(turnId);
    answer.finish();
    streamState("idle");
    this.announce(answer);
    this.grown();
    this.current = null;
    this.showState();
    if (this.waiting.length > 0) this.pump();
    else {
      this.onIdle();
      await this.catchUp();
    }
  }

  /* The stream's end tells how it went; where it did not (204 after a reload at the very end), the turn's row does. */
  async settle(turnId, answer, signal) {
    if (answer.finishReason || answer.aborted || answer.failed) return;
    const turn = await api.get(`/api/turns/${turnId}`, { signal });
    if (turn.status === "cancelled") answer.aborted = true;
    if (turn.error) answer.failed = turn.error.message;
    answer.finishReason = turn.finishReason;
  }

  async stop() {
    if (!this.current) return;
    const { turnId } = this.current;
    try {
      await api.post(`/api/turns/${turnId}/cancel`);
    } catch (error) {
      showBanner("chat", { text: explain(error), action: { label: "Try again", run: () => this.stop() } });
    }
  }

  async ask(content) {
    hideBanner("chat");
    $("welcome").hidden = true;
    await this.send(questionElement(content), newId());
  }

  askAgain(turnId) {
    const question = this.questions.get(turnId);
    if (question) this.ask(question.questionText);
    else this.composer.focus();
  }

  /* The same clientMessageId on every try: however often it arrives, it is one question. Going elsewhere does not take it back. */
  async send(element, clientMessageId) {
    const { place } = this; /* another one later: this page shows another conversation */
    place.own.set(clientMessageId, { element, isSending: true });
    delete element.dataset.unsent;
    mark(element, "Sending");
    $("messages").append(element);
    this.toEnd(true);
    try {
      const { message, turn } = await place.inTurn(() => this.post(place, element.questionText, clientMessageId));
      if (!place.own.delete(clientMessageId)) return; /* read again meanwhile, and found */
      if (place.own.size === 0) this.left.delete(place);
      if (!element.isConnected) return; /* gone elsewhere: it is read when the place is opened again */
      this.confirm(element, message.id, turn.id);
      await place.opened(); /* what is answered before it comes first */
      if (!element.isConnected) return;
      this.enqueue(turn.id, element);
      this.pump();
    } catch (error) {
      if (place.own.has(clientMessageId)) this.showUnsent(place, element, clientMessageId, error);
    }
  }

  async post(place, content, clientMessageId) {
    await place.opened(); /* the question comes after what was said before */
    if (!place.session) {
      place.start ??= { text: content, key: clientMessageId };
      place.session = await this.startSession(place);
    }
    return api.post(`/api/conversations/${place.session.conversationId}/messages`, { content, clientMessageId });
  }

  showUnsent(place, element, clientMessageId, error) {
    place.own.set(clientMessageId, { element, isSending: false });
    mark(element, `Not sent. ${explain(error)}`, {
      "Send again": () => this.send(element, clientMessageId),
      Edit: () => this.takeBack(element, clientMessageId),
    });
    element.dataset.unsent = "true";
  }

  takeBack(element, clientMessageId) {
    this.own.delete(clientMessageId);
    if (this.place.start?.key === clientMessageId) this.place.start = null;
    this.composer.putBefore(element.questionText);
    element.remove();
    this.composer.focus();
  }

  async loadEarlier() {
    const { cursor } = this;
    if (!cursor) return; /* already under way */
    this.cursor = null;
    const { signal } = this.controller;
    const area = $("chat-scroll");
    try {
      const path = `/api/conversations/${this.session.conversationId}/messages?limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`;
      const page = await api.get(path, { signal });
      if (signal.aborted) return;
      this.cursor = page.nextCursor;
      $("chat-earlier").hidden = !this.cursor;
      const below = area.scrollHeight - area.scrollTop;
      const [first] = this.placeAll(page.data.reverse());
      area.scrollTop = area.scrollHeight - below;
      first?.setAttribute("tabindex", "-1");
      first?.focus({ preventScroll: true });
    } catch (error) {
      if (signal.aborted) return;
      this.cursor = cursor;
      showBanner("chat", { text: explain(error) });
    }
  }

  /* Screen readers hear each finished answer once and whole, not every token of it. */
  announce(answer) {
    const text = answer.text();
    const end = answer.failed ? `The answer failed: ${answer.failed}` : answer.aborted ? "The answer was stopped." : "";
    const entry = h("p", { text: `Assistant: ${text} ${end}`.trim() });
    $("announcer").append(entry);
    while ($("announcer").children.length > 3) $("announcer").firstElementChild.remove();
  }

  showState() {
    this.composer.setBusy(this.current !== null);
  }

  grown() {
    if (this.stuck) this.toEnd();
    else $("chat-latest").hidden = false;
  }

  toEnd(force = false) {
    if (force) this.stuck = true;
    const area = $("chat-scroll");
    area.scrollTop = area.scrollHeight;
    $("chat-latest").hidden = true;
  }
}
