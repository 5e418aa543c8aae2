/* The API as any HTTP client sees it: Node's own fetch against a running server. Owners, rows, ETags, pages, and above all the life of an
 * answer: streamed, resumed at any event, read by many, stopped, queued, asked twice. Run by ./dev test. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { ENDLESS, KITCHEN, LONG, Owner, parts, readEvents, server, stored, textOf, types, until } from "./support.mjs";

const MISSING = "00000000-0000-7000-8000-000000000000";

async function problem(response, status, code) {
  const body = await response.json();
  assert.equal(response.status, status, JSON.stringify(body));
  assert.equal(body.success, false);
  assert.equal(body.status, status);
  if (code) assert.equal(body.code, code);
  for (const member of ["error", "title", "type", "detail", "instance", "requestId"])
    assert.equal(typeof body[member], "string", member);
  return body;
}

test("a new anonymous owner gets a token, a header and a cookie that scripts cannot read", async () => {
  const response = await fetch(`${server}/api/anonymous`, { method: "POST" });
  assert.equal(response.status, 201);
  const { ownerToken, expiresAt } = await response.json();
  assert.ok(ownerToken.length >= 32);
  assert.ok(Date.parse(expiresAt) > Date.now());
  assert.equal(response.headers.get("x-owner-token"), ownerToken);
  const cookie = response.headers.get("set-cookie");
  assert.match(cookie, /^renovationd_owner=/);
  assert.match(cookie, /; ?HttpOnly/i);
  assert.match(cookie, /; ?SameSite=(Lax|Strict)/i);
  const owner = new Owner(ownerToken);
  const session = await owner.session();
  const byCookie = await fetch(`${server}/api/sessions/${session.id}`, { headers: { Cookie: cookie.split(";")[0] } });
  assert.equal(byCookie.status, 200);
});

test("the first create without a token makes an owner and returns its token", async () => {
  const response = await fetch(`${server}/api/sessions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Attic" }),
  });
  assert.equal(response.status, 201);
  const session = await response.json();
  assert.equal(session.userId, null);
  const owner = new Owner(response.headers.get("x-owner-token"));
  assert.equal((await owner.json("GET", `/api/sessions/${session.id}`)).title, "Attic");
});

test("a wrong token is 401", async () => {
  await problem(await new Owner("wrong".repeat(10)).call("GET", "/api/sessions"), 401);
});

test("a session is created, read, changed and deleted, and its conversation with it", async () => {
  const owner = await Owner.create();
  const session = await owner.session({ title: "Bath", totalBudget: "12000.5", currency: "EUR" });
  assert.equal(session.totalBudget, "12000.50");
  assert.equal(session.phase, "INTAKE");
  assert.match(session.conversationId, /^[0-9a-f-]{36}$/);
  assert.match(session.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const changed = await owner.json("PATCH", `/api/sessions/${session.id}`, { body: { title: "Bathroom" } });
  assert.equal(changed.title, "Bathroom");
  assert.equal(changed.version, session.version + 1);
  assert.equal((await owner.json("GET", `/api/conversations/${session.conversationId}`)).sessionId, session.id);
  const removed = await owner.call("DELETE", `/api/sessions/${session.id}`);
  assert.ok(removed.status === 204 || removed.status === 200);
  await problem(await owner.call("GET", `/api/sessions/${session.id}`), 404, "not_found");
  await problem(await owner.call("GET", `/api/conversations/${session.conversationId}`), 404, "not_found");
});

test("rows of another owner are not there", async () => {
  const owner = await Owner.create();
  const other = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, "Hello");
  for (const path of [
    `/api/sessions/${session.id}`,
    `/api/sessions/${session.id}/rooms`,
    `/api/sessions/${session.id}/tasks`,
    `/api/conversations/${session.conversationId}`,
    `/api/conversations/${session.conversationId}/messages`,
    `/api/turns/${turn.id}`,
    `/api/turns/${turn.id}/stream`,
  ]) {
    const foreign = await problem(await other.call("GET", path), 404, "not_found");
    const missing = await problem(await other.call("GET", path.replace(/[0-9a-f-]{36}/, MISSING)), 404, "not_found");
    assert.equal(foreign.detail, missing.detail, "foreign and missing rows look the same");
  }
  await problem(await other.call("POST", `/api/turns/${turn.id}/cancel`), 404, "not_found");
  await problem(
    await other.call("PATCH", `/api/sessions/${session.id}`, { body: { title: "Mine" } }),
    404,
    "not_found",
  );
  await problem(await other.call("DELETE", `/api/sessions/${session.id}`), 404, "not_found");
  await owner.answer(turn.id);
});

test("invalid members are refused with their path", async () => {
  const owner = await Owner.create();
  const refused = async (body, path) => {
    const { errors } = await problem(await owner.call("POST", "/api/sessions", { body }), 400, "validation_failed");
    assert.ok(
      errors.some((error) => error.path === path),
      `${JSON.stringify(errors)} names ${path}`,
    );
  };
  await refused({}, "title");
  await refused({ title: "" }, "title");
  await refused({ title: "x".repeat(201) }, "title");
  await refused({ title: 7 }, "title");
  await refused({ title: "x", colour: "red" }, "colour");
  await refused({ title: "x", totalBudget: "-1" }, "totalBudget");
  await refused({ title: "x", totalBudget: "1.234" }, "totalBudget");
  await problem(
    await owner.call("POST", "/api/sessions", { body: { title: "x" }, headers: { "Content-Type": "text/plain" } }),
    415,
  );
  const broken = await fetch(`${server}/api/sessions`, {
    method: "POST",
    headers: { "X-Owner-Token": owner.token, "Content-Type": "application/json" },
    body: '{"title":',
  });
  await problem(broken, 400, "invalid_json");
});

test("a row carries an ETag that If-None-Match and If-Match honour", async () => {
  const owner = await Owner.create();
  const { id } = await owner.session();
  const read = await owner.call("GET", `/api/sessions/${id}`);
  const etag = read.headers.get("etag");
  assert.equal(etag, `"${(await read.json()).version}"`);
  const again = await owner.call("GET", `/api/sessions/${id}`, { headers: { "If-None-Match": etag } });
  assert.equal(again.status, 304);
  assert.equal(await again.text(), "");
  const rename = (title) =>
    owner.call("PATCH", `/api/sessions/${id}`, { body: { title }, headers: { "If-Match": etag } });
  const statuses = await Promise.all(["A", "B"].map(async (title) => (await rename(title)).status));
  assert.deepEqual(statuses.sort(), [200, 412]);
  await problem(await rename("C"), 412, "precondition_failed");
  assert.equal((await owner.call("GET", `/api/sessions/${id}`, { headers: { "If-None-Match": etag } })).status, 200);
});

test("a list is walked page by page, each row once, also while rows are added", async () => {
  const owner = await Owner.create();
  const made = new Set();
  for (let i = 0; i < 25; i++) made.add((await owner.session({ title: `Session ${i}` })).id);
  const seen = [];
  let cursor = null;
  do {
    const page = await owner.json(
      "GET",
      `/api/sessions?limit=10${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
    );
    assert.ok(page.data.length <= 10);
    seen.push(...page.data.map((row) => row.id));
    cursor = page.nextCursor;
    if (cursor) await owner.session({ title: "In between" });
  } while (cursor);
  assert.equal(new Set(seen).size, seen.length, "no row twice");
  assert.deepEqual(seen.filter((id) => made.has(id)).sort(), [...made].sort());
  for (const query of ["limit=0", "limit=101", "limit=x", "cursor=nonsense"])
    await problem(await owner.call("GET", `/api/sessions?${query}`), 400);
});

test("a create repeated with its Idempotency-Key happens once", async () => {
  const owner = await Owner.create();
  const key = randomUUID();
  const create = (body, headers = { "Idempotency-Key": key }) => owner.call("POST", "/api/sessions", { body, headers });
  const responses = await Promise.all(Array.from({ length: 5 }, () => create({ title: "Once" })));
  for (const response of responses.filter(({ status }) => status === 409))
    assert.ok(response.headers.get("retry-after"));
  const made = await Promise.all(responses.filter(({ status }) => status === 201).map((response) => response.json()));
  assert.ok(made.length >= 1);
  assert.equal(new Set(made.map((row) => row.id)).size, 1);
  const replay = await create({ title: "Once" });
  assert.equal(replay.status, 201);
  assert.equal(replay.headers.get("idempotent-replayed"), "true");
  assert.equal((await replay.json()).id, made[0].id);
  await problem(await create({ title: "Other" }), 422, "idempotency_key_reused");
  assert.equal((await owner.json("GET", "/api/sessions")).data.length, 1);
});

test("tasks are completed and reopened with If-Match", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const task = await owner.json("POST", "/api/tasks", {
    body: { sessionId: session.id, title: "Measure" },
    status: 201,
  });
  assert.equal(task.status, "open");
  const done = await owner.json("PATCH", `/api/tasks/${task.id}`, {
    body: { status: "done" },
    headers: { "If-Match": `"${task.version}"` },
  });
  assert.equal(done.status, "done");
  assert.ok(done.completedAt);
  await problem(
    await owner.call("PATCH", `/api/tasks/${task.id}`, {
      body: { status: "open" },
      headers: { "If-Match": `"${task.version}"` },
    }),
    412,
  );
  const open = await owner.json("PATCH", `/api/tasks/${task.id}`, {
    body: { status: "open" },
    headers: { "If-Match": `"${done.version}"` },
  });
  assert.equal(open.completedAt, null);
  const row = await owner.json("GET", `/api/sessions/${session.id}`);
  assert.equal(row.tasks, 1);
  assert.equal(row.openTasks, 1);
});

test("a question is answered as a stream of numbered UI-message parts, and stored as it was streamed", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const response = await owner.call("POST", `/api/conversations/${session.conversationId}/messages`, {
    body: { content: KITCHEN, clientMessageId: randomUUID() },
    headers: { Accept: "text/event-stream" },
  });
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  assert.equal(response.headers.get("x-vercel-ai-ui-message-stream"), "v1");
  assert.match(response.headers.get("cache-control"), /no-cache/);
  assert.match(response.headers.get("cache-control"), /no-transform/);
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const events = await readEvents(response);
  assert.equal(events.at(-1).data, "[DONE]");
  assert.equal(events.at(-1).id, null);
  assert.deepEqual(
    stored(events).map((event) => event.n),
    stored(events).map((_, i) => i + 1),
    "numbered from 1, one by one",
  );
  assert.equal(types(events)[0], "start");
  assert.equal(types(events).at(-1), "finish");
  for (const type of [
    "start-step",
    "text-start",
    "text-delta",
    "text-end",
    "tool-input-available",
    "tool-output-available",
    "finish-step",
  ]) {
    assert.ok(types(events).includes(type), type);
  }
  const turnId = events[0].id.slice(0, events[0].id.lastIndexOf("."));
  const { turn, message } = await owner.answer(turnId);
  assert.equal(turn.status, "completed");
  assert.equal(message.status, "complete");
  assert.equal(message.content, textOf(events));
  assert.ok(message.usage.inputTokens > 0 && message.usage.outputTokens > 0);
  assert.equal(turn.lastEventId, stored(events).at(-1).id);
  const rooms = await owner.json("GET", `/api/sessions/${session.id}/rooms`);
  assert.ok(
    rooms.data.some((room) => /kitchen/i.test(room.name)),
    "the tool's effect is there",
  );
  const tools = parts(events)
    .filter((part) => part.type === "tool-input-available")
    .map((part) => part.toolName);
  assert.ok(tools.includes("add_room"), tools.join());
  const replay = await owner.events(turnId);
  assert.deepEqual(
    replay.events.map((event) => event.raw),
    events.map((event) => event.raw),
    "replay equals live byte for byte",
  );
});

test("an answer goes on when nobody reads it", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const cut = new AbortController();
  const response = await owner.call("POST", `/api/conversations/${session.conversationId}/messages`, {
    body: { content: LONG },
    headers: { Accept: "text/event-stream" },
    signal: cut.signal,
  });
  const seen = await readEvents(response, (events) => stored(events).length >= 4);
  cut.abort();
  const turnId = seen[0].id.slice(0, seen[0].id.lastIndexOf("."));
  const { turn, message } = await owner.answer(turnId);
  assert.equal(turn.status, "completed");
  assert.equal(message.content, textOf((await owner.events(turnId)).events));
});

test("a stream cut at any of 100 random events resumes without gap or duplicate, live", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, LONG);
  let cuts = 0;
  const reader = async () => {
    const seen = [];
    for (;;) {
      const more = 1 + Math.floor(Math.random() * 8);
      const cut = new AbortController();
      const response = await owner.stream(turn.id, seen.at(-1)?.id, { signal: cut.signal });
      if (response.status === 204) return seen;
      assert.equal(response.status, 200);
      const events = await readEvents(response, (now) => stored(now).length >= more);
      cut.abort();
      /* What came in the same piece after the cut is thrown away, as a client that died there would have. */
      const kept = stored(events).slice(0, more);
      seen.push(...kept);
      if (events.at(-1)?.data === "[DONE]" && kept.length === stored(events).length) return seen;
      cuts++;
    }
  };
  const readers = await Promise.all(Array.from({ length: 8 }, reader));
  const whole = stored((await owner.events(turn.id)).events).map((event) => event.raw);
  for (const seen of readers)
    assert.deepEqual(
      seen.map((event) => event.raw),
      whole,
    );
  assert.ok(cuts >= 100, `${cuts} cuts`);
});

test("a finished stream resumes after each of 100 random events with exactly the rest", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, KITCHEN);
  const { message } = await owner.answer(turn.id);
  const whole = (await owner.events(turn.id)).events;
  const numbered = stored(whole);
  assert.equal(textOf(whole), message.content);
  for (let i = 0; i < 100; i++) {
    const at = Math.floor(Math.random() * numbered.length);
    const { status, events } = await owner.events(turn.id, numbered[at].id);
    if (at === numbered.length - 1) assert.equal(status, 204);
    else
      assert.deepEqual(
        events.map((event) => event.raw),
        whole.slice(at + 1).map((event) => event.raw),
        `after event ${at + 1}`,
      );
  }
});

test("a Last-Event-ID that is not one of the turn's is answered with a rewind", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, "What does a new floor cost?");
  await owner.answer(turn.id);
  const whole = stored((await owner.events(turn.id)).events);
  const last = whole.length;
  assert.equal((await owner.events(turn.id, `${turn.id}.${last}`)).status, 204);
  for (const id of ["nonsense", `${MISSING}.3`, `${turn.id}.`, `${turn.id}.0x1`, `${turn.id}.-1`]) {
    const { events } = await owner.events(turn.id, id);
    assert.deepEqual(events[0].part, { ...events[0].part, type: "data-rewind", data: { to: 0 } }, id);
    assert.equal(events[0].id, null);
    assert.deepEqual(
      stored(events).map((event) => event.raw),
      whole.map((event) => event.raw),
      id,
    );
  }
  const beyond = await owner.events(turn.id, `${turn.id}.${last + 5}`);
  assert.equal(beyond.events[0].part.type, "data-rewind");
  assert.equal(beyond.events[0].part.data.to, last);
  assert.equal(stored(beyond.events).length, 0);
});

test("thirty readers of one answer, early and late, see the same events", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, LONG);
  const early = Array.from({ length: 15 }, () => owner.events(turn.id));
  const first = await owner.stream(turn.id);
  await readEvents(first, (events) => stored(events).length >= 10);
  const late = Array.from({ length: 15 }, () => owner.events(turn.id));
  const all = (await Promise.all([...early, ...late])).map(({ events }) =>
    events.map((event) => event.raw).join("\n\n"),
  );
  assert.equal(new Set(all).size, 1);
  assert.match(all[0], /\[DONE\]$/);
});

test("a stopped answer keeps what was streamed and says so", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { turn } = await owner.ask(session.conversationId, ENDLESS);
  const response = await owner.stream(turn.id);
  let hasBegun = false;
  const reading = readEvents(response, (events) => {
    hasBegun ||= textOf(events) !== "";
    return false;
  });
  await until("the answer has begun", () => hasBegun);
  const stopped = await owner.json("POST", `/api/turns/${turn.id}/cancel`, { status: 200 });
  assert.equal(stopped.status, "cancelled");
  const events = await reading;
  assert.equal(events.at(-1).data, "[DONE]");
  assert.ok(types(events).includes("abort"));
  const { message } = await owner.answer(turn.id);
  assert.equal(message.status, "partial");
  assert.equal(message.content, textOf(events));
  assert.equal((await owner.json("POST", `/api/turns/${turn.id}/cancel`, { status: 200 })).status, "cancelled");
  const next = await owner.ask(session.conversationId, "And a bath?");
  assert.equal((await owner.answer(next.turn.id)).turn.status, "completed", "the conversation is usable afterwards");
});

test("questions asked meanwhile wait and are answered in order", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const first = await owner.ask(session.conversationId, ENDLESS);
  const second = await owner.ask(session.conversationId, "Which tiles are best?");
  const third = await owner.ask(session.conversationId, "Which paint is best?");
  assert.equal(second.turn.status, "queued");
  assert.equal((await owner.json("POST", `/api/turns/${third.turn.id}/cancel`)).status, "cancelled");
  assert.equal((await owner.json("GET", `/api/turns/${second.turn.id}`)).status, "queued");
  await owner.json("POST", `/api/turns/${first.turn.id}/cancel`);
  const [one, two] = [await owner.answer(first.turn.id), await owner.answer(second.turn.id)];
  assert.ok(
    Date.parse(two.turn.startedAt) >= Date.parse(one.turn.endedAt),
    "the second began after the first had ended",
  );
  assert.equal(two.turn.status, "completed");
  const page = await owner.json("GET", `/api/conversations/${session.conversationId}/messages?order=asc&limit=100`);
  assert.deepEqual(
    page.data.map((row) => row.seq),
    [...page.data.map((row) => row.seq)].sort((a, b) => a - b),
  );
  assert.equal((await owner.json("GET", `/api/turns/${third.turn.id}`)).status, "cancelled");
});

test("a busy conversation can refuse or interrupt instead of queueing, and queues at most 8", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const first = await owner.ask(session.conversationId, ENDLESS);
  const path = `/api/conversations/${session.conversationId}/messages`;
  const refused = await problem(
    await owner.call("POST", path, { body: { content: "Now?", whenBusy: "reject" } }),
    409,
    "turn_in_progress",
  );
  assert.equal(refused.turnId, first.turn.id);
  const interrupting = await owner.ask(session.conversationId, ENDLESS, { whenBusy: "interrupt" });
  assert.equal((await owner.answer(first.turn.id)).turn.status, "cancelled");
  const queued = [];
  for (let i = 0; i < 8; i++) queued.push(await owner.ask(session.conversationId, `Question ${i}`));
  await problem(await owner.call("POST", path, { body: { content: "One too many" } }), 409, "too_many_queued");
  for (const { turn } of queued) await owner.json("POST", `/api/turns/${turn.id}/cancel`);
  await owner.json("POST", `/api/turns/${interrupting.turn.id}/cancel`);
});

test("the same clientMessageId is one question, however often it arrives", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const path = `/api/conversations/${session.conversationId}/messages`;
  const body = { content: "What does a window cost?", clientMessageId: "device-1:42" };
  const responses = await Promise.all(
    Array.from({ length: 6 }, () => owner.call("POST", path, { body, headers: { Accept: "application/json" } })),
  );
  const answers = await Promise.all(responses.map((response) => response.json()));
  assert.deepEqual(
    responses.map((response) => response.status).sort(),
    [200, 200, 200, 200, 200, 202],
    JSON.stringify(answers),
  );
  assert.equal(new Set(answers.map(({ turn }) => turn.id)).size, 1);
  assert.equal(new Set(answers.map(({ message }) => message.id)).size, 1);
  for (const response of responses)
    assert.equal(response.headers.get("idempotent-replayed"), response.status === 200 ? "true" : null);
  await problem(
    await owner.call("POST", path, { body: { ...body, content: "Something else" } }),
    409,
    "client_message_id_reused",
  );
  const { message } = await owner.answer(answers[0].turn.id);
  const stream = await owner.call("POST", path, { body, headers: { Accept: "text/event-stream" } });
  assert.equal(stream.headers.get("idempotent-replayed"), "true");
  assert.equal(textOf(await readEvents(stream)), message.content);
  const page = await owner.json("GET", path);
  assert.equal(page.data.filter((row) => row.role === "user").length, 1);
});

test("questions that are no text are refused", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const path = `/api/conversations/${session.conversationId}/messages`;
  for (const body of [
    {},
    { content: "" },
    { content: "x".repeat(32001) },
    { content: 5 },
    { content: "a\u0000b" },
    { content: "ok", clientMessageId: "" },
    { content: "ok", whenBusy: "sometimes" },
  ]) {
    await problem(await owner.call("POST", path, { body }), 400);
  }
  const surrogate = await fetch(server + path, {
    method: "POST",
    headers: { "X-Owner-Token": owner.token, "Content-Type": "application/json" },
    body: '{"content":"a\\ud800b"}',
  });
  await problem(surrogate, 400);
  assert.equal((await owner.json("GET", path)).data.length, 0, "nothing was stored");
});

test("a question by session goes to its default conversation", async () => {
  const owner = await Owner.create();
  const session = await owner.session();
  const { message, turn } = await owner.json("POST", `/api/sessions/${session.id}/messages`, {
    body: { content: "Hello" },
    headers: { Accept: "application/json" },
    status: 202,
  });
  assert.equal(message.conversationId, session.conversationId);
  await owner.answer(turn.id);
  const page = await owner.json("GET", `/api/sessions/${session.id}/messages?order=asc`);
  assert.deepEqual(
    page.data.map((row) => row.role),
    ["user", "assistant"],
  );
});
