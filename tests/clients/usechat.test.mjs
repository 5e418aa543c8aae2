/* The npm package `ai` (useChat's own transport, reader and chat class) against /api/chat, unchanged: version 7, the newest 6, and the last
 * 6 that refuses every key it does not know. Run by ./dev test. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import * as ai6strict from "ai6strict";
import * as ai6 from "ai6";
import * as ai7 from "ai7";
import { ENDLESS, KITCHEN, LONGER, Owner, parts, readEvents, server, textOf, until } from "./support.mjs";

const VERSIONS = { "ai 6, strict": ai6strict, "ai 6": ai6, "ai 7": ai7 };

const userMessage = (text) => ({ id: randomUUID(), role: "user", parts: [{ type: "text", text }] });
const chatId = () => `chat-${randomUUID().slice(0, 16)}`;

function transport(ai, owner) {
  return new ai.DefaultChatTransport({ api: `${server}/api/chat`, headers: { "X-Owner-Token": owner.token } });
}

const send = (ai, owner, id, message, more = {}) =>
  transport(ai, owner).sendMessages({
    chatId: id,
    messages: [message],
    trigger: "submit-message",
    messageId: undefined,
    abortSignal: undefined,
    ...more,
  });

/* Renders a stream of chunks as a page would; resolves with the last state of the message. */
async function render(ai, stream) {
  let last = null;
  for await (const message of ai.readUIMessageStream({
    stream,
    onError: (error) => {
      throw error;
    },
  }))
    last = message;
  return last;
}

const messageText = (message) =>
  message.parts
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join("");

/* The conversation that a chat id stands for is the owner's newest. */
async function newestAnswer(owner) {
  const [conversation] = (await owner.json("GET", "/api/conversations?limit=1")).data;
  const page = await owner.json("GET", `/api/conversations/${conversation.id}/messages?limit=100`);
  return page.data.find((row) => row.role === "assistant");
}

/* Ends the answer that is being written in a chat. */
async function stop(owner, id) {
  const response = await owner.call("POST", `/api/chat/${id}/stop`);
  assert.ok(response.ok, `stop answered ${response.status}`);
  await response.body?.cancel();
}

/* A Chat without a framework: the state is plain members. */
function plainChat(ai, options) {
  class State {
    status = "ready";
    error = undefined;
    messages = options.messages ?? [];
    pushMessage = (message) => {
      this.messages = [...this.messages, message];
    };
    popMessage = () => {
      this.messages = this.messages.slice(0, -1);
    };
    replaceMessage = (index, message) => {
      this.messages = this.messages.with
        ? this.messages.with(index, message)
        : this.messages.map((known, i) => (i === index ? message : known));
    };
    snapshot = (value) => structuredClone(value);
  }
  class Chat extends ai.AbstractChat {
    constructor() {
      super({ ...options, state: new State() });
    }
  }
  return new Chat();
}

test("every part of an answer with tools is valid for every version's own schema", async () => {
  const owner = await Owner.create();
  const response = await owner.call("POST", "/api/chat", {
    body: { id: chatId(), messages: [userMessage(KITCHEN)], trigger: "submit-message" },
  });
  assert.equal(response.status, 200, response.status === 200 ? "" : await response.text());
  assert.equal(response.headers.get("x-vercel-ai-ui-message-stream"), "v1");
  const events = await readEvents(response);
  assert.equal(events.at(-1).data, "[DONE]");
  assert.ok(parts(events).some((part) => part.type === "tool-output-available"));
  for (const [name, ai] of Object.entries(VERSIONS)) {
    const schema = typeof ai.uiMessageChunkSchema === "function" ? ai.uiMessageChunkSchema() : ai.uiMessageChunkSchema;
    for (const part of parts(events)) {
      const { success, error } = await schema.validate(part);
      assert.ok(success, `${name}: ${JSON.stringify(part)}: ${error?.message}`);
    }
  }
});

for (const [name, ai] of Object.entries(VERSIONS)) {
  test(`${name}: the transport sends, and the reader renders text and tool parts`, async () => {
    const owner = await Owner.create();
    const message = await render(ai, await send(ai, owner, chatId(), userMessage(KITCHEN)));
    assert.equal(message.role, "assistant");
    const answer = await newestAnswer(owner);
    assert.equal(messageText(message), answer.content);
    assert.equal(message.id, answer.id, "the message has the id it is stored under");
    const tools = message.parts.filter((part) => part.type.startsWith("tool-"));
    assert.ok(tools.length > 0);
    for (const part of tools) {
      assert.equal(part.state, "output-available", JSON.stringify(part));
      assert.equal(typeof part.input, "object");
      assert.notEqual(part.output, undefined);
    }
    assert.ok(message.parts.filter((part) => part.type === "text").every((part) => part.state === "done"));
    assert.ok(message.parts.some((part) => part.type === "step-start"));
  });

  test(`${name}: reconnecting is null when nothing is being answered`, async () => {
    const owner = await Owner.create();
    const id = chatId();
    assert.equal(await transport(ai, owner).reconnectToStream({ chatId: id }), null, "an id never seen");
    await render(ai, await send(ai, owner, id, userMessage("Hello")));
    assert.equal(await transport(ai, owner).reconnectToStream({ chatId: id }), null, "answered");
  });

  test(`${name}: an answer left in the middle is rendered whole after reconnecting`, async () => {
    const owner = await Owner.create();
    const id = chatId();
    const cut = new AbortController();
    const stream = await send(ai, owner, id, userMessage(LONGER), { abortSignal: cut.signal });
    const reader = stream.getReader();
    for (let deltas = 0; deltas < 3;) if ((await reader.read()).value.type === "text-delta") deltas++;
    cut.abort();
    await reader.cancel().catch(() => {});
    const resumed = await transport(ai, owner).reconnectToStream({ chatId: id });
    assert.notEqual(resumed, null, "still being answered");
    const message = await render(ai, resumed);
    const answer = await newestAnswer(owner);
    assert.equal(answer.status, "complete");
    assert.equal(messageText(message), answer.content);
  });

  test(`${name}: stop ends the answer for its readers and keeps what was said`, async () => {
    const owner = await Owner.create();
    const id = chatId();
    const reader = (await send(ai, owner, id, userMessage(ENDLESS))).getReader();
    const chunks = [];
    let stopped = false;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      chunks.push(value);
      if (!stopped && value.type === "text-delta") {
        stopped = true;
        await stop(owner, id);
      }
    }
    assert.ok(chunks.some((chunk) => chunk.type === "abort"));
    const text = chunks
      .filter((chunk) => chunk.type === "text-delta")
      .map((chunk) => chunk.delta)
      .join("");
    const answer = await newestAnswer(owner);
    assert.equal(answer.status, "partial");
    assert.equal(answer.content, text);
  });

  test(`${name}: the chat class sends twice, keeps its ids, and resumes after a reload`, async () => {
    const owner = await Owner.create();
    const id = chatId();
    const options = {
      id,
      transport: transport(ai, owner),
      onError: (error) => {
        throw error;
      },
    };
    const chat = plainChat(ai, options);
    await chat.sendMessage({ text: "What does a new sink cost?" });
    assert.equal(chat.status, "ready", String(chat.error));
    await chat.sendMessage({ text: KITCHEN });
    assert.deepEqual(
      chat.messages.map((message) => message.role),
      ["user", "assistant", "user", "assistant"],
    );
    assert.equal(messageText(chat.lastMessage), (await newestAnswer(owner)).content);
    const sending = chat.sendMessage({ text: ENDLESS });
    await until(
      "some text is shown",
      () => chat.status === "streaming" && chat.lastMessage.role === "assistant" && messageText(chat.lastMessage) !== "",
      { state: () => `${chat.status} ${chat.error} ${JSON.stringify(chat.lastMessage)}` },
    );
    /* A reload: another instance with the messages up to the question. */
    const reloaded = plainChat(ai, {
      ...options,
      messages: structuredClone(chat.messages.filter((message, i) => i < 5)),
    });
    const resuming = reloaded.resumeStream();
    await until(
      "the reloaded page shows as much",
      () =>
        reloaded.lastMessage.role === "assistant" &&
        messageText(reloaded.lastMessage).length >= messageText(chat.lastMessage).length,
      { state: () => `${reloaded.status} ${reloaded.error} ${JSON.stringify(reloaded.lastMessage)}` },
    );
    await stop(owner, id);
    await Promise.all([resuming, sending]);
    assert.equal(reloaded.status, "ready", String(reloaded.error));
    assert.equal(messageText(reloaded.lastMessage), messageText(chat.lastMessage));
    assert.equal(messageText(reloaded.lastMessage), (await newestAnswer(owner)).content);
  });

  test(`${name}: regenerating answers the last question again`, async () => {
    const owner = await Owner.create();
    const chat = plainChat(ai, {
      id: chatId(),
      transport: transport(ai, owner),
      onError: (error) => {
        throw error;
      },
    });
    await chat.sendMessage({ text: "What does a new floor cost?" });
    const first = chat.lastMessage.id;
    await chat.regenerate();
    assert.equal(chat.status, "ready", String(chat.error));
    assert.deepEqual(
      chat.messages.map((message) => message.role),
      ["user", "assistant"],
    );
    assert.notEqual(chat.lastMessage.id, first, "another answer");
    const answer = await newestAnswer(owner);
    assert.equal(answer.id, chat.lastMessage.id);
  });

  test(`${name}: the same message sent again is the same question`, async () => {
    const owner = await Owner.create();
    const id = chatId();
    const message = userMessage("What does a door cost?");
    const first = await render(ai, await send(ai, owner, id, message));
    const second = await render(ai, await send(ai, owner, id, message));
    assert.equal(second.id, first.id);
    assert.equal(messageText(second), messageText(first));
  });

  test(`${name}: what cannot be asked comes as a readable error`, async () => {
    const owner = await Owner.create();
    await assert.rejects(send(ai, owner, chatId(), { id: "x", role: "user", parts: [] }), (error) =>
      /content|text|message/i.test(`${error.message} ${error.responseBody ?? ""}`),
    );
  });
}

test("two tabs on one chat see the same answer", async () => {
  const owner = await Owner.create();
  const id = chatId();
  const first = await owner.call("POST", "/api/chat", {
    body: { id, messages: [userMessage(ENDLESS)], trigger: "submit-message" },
  });
  const second = await owner.call("GET", `/api/chat/${id}/stream`);
  assert.equal(second.status, 200);
  let hasText = false;
  const both = Promise.all([
    readEvents(first),
    readEvents(second, (events) => {
      hasText ||= textOf(events) !== "";
      return false;
    }),
  ]);
  await until("there is text", () => hasText);
  await stop(owner, id);
  const [one, two] = await both;
  assert.deepEqual(
    two.map((event) => event.raw),
    one.map((event) => event.raw),
  );
  assert.notEqual(textOf(one), "");
});
