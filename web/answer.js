/* One answer of the assistant: a log of UI-message parts, reduced to blocks (texts, tool calls, notes) and shown as elements. Parts come
 * live from a stream or whole from a stored message; rewind() takes back what a host lost. Used by chat.js. Fetches nothing. */

import { h, icon } from "./dom.js";
import { update } from "./markdown.js";
import { describe } from "./tools.js";

const REFUSALS =
  "The model declined to go on here. Rephrase the question, or leave out what may have been taken the wrong way.";

export class Answer {
  /* `onTool(tool)` is called once for each call that has finished, not for those of a stored message. */
  constructor({ onTool = () => {}, onRetry = null } = {}) {
    this.onTool = onTool;
    this.onRetry = onRetry;
    this.log = [];
    this.reset();
    this.body = h("div", { class: "answer-body" });
    this.note = h("div", { class: "answer-notes" });
    this.working = h(
      "p",
      { class: "working" },
      h("span", { class: "working-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")),
      h("span", { text: "Thinking" }),
    );
    this.element = h(
      "li",
      { class: "message answer", dataset: { state: "streaming" } },
      h("h3", { class: "who", text: "Assistant" }),
      this.body,
      this.working,
      this.note,
    );
    this.frame = 0;
  }

  reset() {
    this.blocks = [];
    this.notes = [];
    this.texts = new Map();
    this.calls = new Map();
    this.finishReason = null;
    this.aborted = false;
    this.failed = null;
  }

  /* `n` is the event's number, 0 for one without: such a part is not taken back by a rewind and not kept. */
  apply(part, n = 0) {
    if (n > 0) this.log.push({ n, part });
    this.reduce(part, true);
    this.schedule();
  }

  rewind(to) {
    this.log = this.log.filter((entry) => entry.n <= to);
    this.reset();
    for (const { part } of this.log) this.reduce(part, false);
    this.schedule();
  }

  reduce(part, live) {
    switch (part.type) {
      case "start":
        if (part.messageId) this.element.dataset.messageId = part.messageId;
        break;
      case "start-step":
      case "finish-step":
        this.texts.clear();
        break;
      case "text-start":
        this.openText(part.id);
        break;
      case "text-delta":
        (this.texts.get(part.id) ?? this.openText(part.id)).text += part.delta;
        break;
      case "tool-input-start":
        this.call(part.toolCallId, { tool: part.toolName, state: "input-streaming" });
        break;
      case "tool-input-available":
        this.call(part.toolCallId, { tool: part.toolName, input: part.input, state: "input-available" });
        break;
      case "tool-input-error":
        this.call(part.toolCallId, {
          tool: part.toolName,
          input: part.input,
          errorText: part.errorText,
          state: "output-error",
        });
        break;
      case "tool-output-available":
      case "tool-output-error":
      case "tool-output-denied": {
        const call = this.call(part.toolCallId, {
          output: part.output,
          errorText: part.errorText,
          state: part.type.slice("tool-".length),
        });
        if (live && call.tool) this.onTool(call.tool);
        break;
      }
      case "data-refusal":
        this.notes.push({ kind: "warn", text: REFUSALS });
        break;
      case "error":
        this.failed = part.errorText || "The answer could not be finished.";
        break;
      case "abort":
        this.aborted = true;
        break;
      case "finish":
        this.finishReason = part.finishReason ?? "stop";
        break;
    }
  }

  openText(id) {
    const block = { kind: "text", text: "" };
    this.texts.set(id, block);
    this.blocks.push(block);
    return block;
  }

  call(id, change) {
    let block = this.calls.get(id);
    if (!block) {
      block = { kind: "tool", tool: "" };
      this.calls.set(id, block);
      this.blocks.push(block);
    }
    for (const [key, value] of Object.entries(change)) if (value !== undefined) block[key] = value;
    return block;
  }

  /* A stored message: parts whole, as UI messages have them. */
  load(message) {
    for (const part of message.parts ?? []) {
      if (part.type === "text") this.blocks.push({ kind: "text", text: part.text ?? "" });
      else if (part.type === "data-refusal") this.reduce(part, false);
      else if (part.toolCallId && (part.type === "dynamic-tool" || (part.type.startsWith("tool-") && part.state))) {
        const tool = part.type === "dynamic-tool" ? part.toolName : part.type.slice("tool-".length);
        this.call(part.toolCallId, {
          tool,
          input: part.input,
          output: part.output,
          errorText: part.errorText,
          state: part.state,
        });
      } else this.reduce(part, false);
    }
    if (message.content && !this.blocks.some((block) => block.kind === "text" && block.text !== "")) {
      this.blocks.push({ kind: "text", text: message.content });
    }
    if (message.status === "partial" && this.notes.length === 0) this.aborted = true;
    if (message.status === "failed") this.failed ??= "The answer could not be finished.";
    this.finish();
  }

  text() {
    return this.blocks
      .filter((block) => block.kind === "text")
      .map((block) => block.text)
      .join("\n\n")
      .trim();
  }

  /* No more parts will come. */
  finish() {
    this.element.dataset.state = this.failed ? "failed" : this.aborted ? "stopped" : "done";
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.render();
  }

  schedule() {
    if (this.frame) return;
    /* A hidden page gets no frames, and must not fall behind either: then the next task will do. */
    const run = () => {
      this.frame = 0;
      this.render();
      this.onRender?.();
    };
    this.frame = document.hidden ? setTimeout(run, 200) : requestAnimationFrame(run);
  }

  render() {
    const streaming = this.element.dataset.state === "streaming";
    this.blocks.forEach((block, i) => {
      let shown = this.body.children[i];
      if (!shown || shown.dataset.kind !== block.kind) {
        const made = h("div", { class: block.kind === "text" ? "prose" : "tool", dataset: { kind: block.kind } });
        if (shown) shown.replaceWith(made);
        else this.body.append(made);
        shown = made;
      }
      if (block.kind === "text") update(shown, block.text);
      else renderTool(shown, block, streaming);
    });
    while (this.body.children.length > this.blocks.length) this.body.lastElementChild.remove();
    const last = this.blocks.at(-1);
    const busyTool = last?.kind === "tool" && last.state.startsWith("input-");
    this.working.hidden = !streaming || busyTool || (last?.kind === "text" && last.text !== "");
    this.renderNotes(streaming);
  }

  renderNotes(streaming) {
    const notes = [...this.notes];
    if (!streaming) {
      if (this.failed) notes.push({ kind: "error", text: this.failed, retry: true });
      if (this.aborted) notes.push({ kind: "stopped", text: "Stopped here." });
      if (this.finishReason === "length")
        notes.push({ kind: "warn", text: "The answer reached its limit. Ask to continue if something is missing." });
    }
    this.note.replaceChildren(
      ...notes.map((note) =>
        h(
          "p",
          { class: `note note-${note.kind}` },
          icon(note.kind === "stopped" ? "info" : "warn"),
          h("span", { text: note.text }),
          note.retry &&
            this.onRetry &&
            h("button", {
              class: "button button-small",
              type: "button",
              text: "Ask again",
              on: { click: this.onRetry },
            }),
        ),
      ),
    );
  }
}

function renderTool(element, block, streaming) {
  const said = describe(block);
  const state = said.state === "busy" && !streaming ? "cut" : said.state;
  const text = state === "cut" ? said.text.replace(/ …$/, " (not done)") : said.text;
  if (element.dataset.text === text && element.dataset.state === state) return;
  element.dataset.text = text;
  element.dataset.state = state;
  element.replaceChildren(icon(state === "cut" ? "warn" : said.icon), h("span", { text }));
}
