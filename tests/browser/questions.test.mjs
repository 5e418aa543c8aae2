/* Where a question asked on the page goes, and that it is never lost: receipts that do not come, answers that are held back, going elsewhere and
 * back meanwhile. In headless Chromium against a running server, whose answers each test holds or refuses as it needs. Run by ./dev test. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { server, until } from "../clients/support.mjs";
import {
  ask,
  BUSY,
  BUSY_CONSOLE,
  finished,
  go,
  hold,
  keep,
  OFFLINE,
  renovation,
  requested,
  shot,
  startBrowser,
  stopBrowser,
  stored,
  titled,
  withPage,
} from "./support.mjs";

before(startBrowser);
after(stopBrowser);

/* After a first answer the server goes away for this page and its next question is lost: with `arrives` only its receipt is. Nothing gets
 * through, so that what the page shows stays as it is, until back() is called or the question is sent again. */
async function loseQuestion(page, { arrives }) {
  const open = new Set();
  let away = false;
  let lost = 0;
  page.on("request", (request) => open.add(request));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => open.delete(request));
  await page.route(/\/(api|health)\//, async (route) => {
    const isQuestion = route.request().method() === "POST" && /\/messages$/.test(route.request().url());
    if (isQuestion && lost > 0) away = false;
    if (!away) return route.continue();
    if (isQuestion && arrives) await route.fetch();
    lost += isQuestion;
    return route.abort();
  });
  await ask(page, "What does a door cost?");
  await finished(page);
  away = true;
  await until("the requests from before are answered", () => open.size === 0);
  await ask(page, "What does a window cost?");
  await page.waitForSelector(".question[data-unsent] >> text=/Not sent/");
  return {
    back: () => {
      away = false;
    },
  };
}

const roles = async (page) => (await stored(page)).messages.map((row) => row.role);

test("a question whose receipt was lost is sent again and asked once", () =>
  withPage(
    async (page) => {
      await loseQuestion(page, { arrives: true });
      await shot(page, "not-sent");
      await page.click(".question >> text=Send again");
      await finished(page, 2);
      await page.waitForSelector("#connection[data-state=live]");
      assert.equal(await page.locator(".message").count(), 4);
      assert.equal(await page.locator(".question .mark").count(), 0);
      assert.deepEqual(await roles(page), ["user", "assistant", "user", "assistant"]);
    },
    { expected: OFFLINE },
  ));

test("a question whose receipt was lost is found by itself when the server is back", () =>
  withPage(
    async (page) => {
      const { back } = await loseQuestion(page, { arrives: true });
      back();
      await finished(page, 2);
      await page.waitForSelector("#connection[data-state=live]");
      assert.equal(await page.locator(".message").count(), 4);
      assert.equal(await page.locator(".question .mark").count(), 0, "nothing is left to send");
      assert.deepEqual(await roles(page), ["user", "assistant", "user", "assistant"]);
    },
    { expected: OFFLINE },
  ));

test("a question that never arrived stays where it can be sent again, also when another device asks meanwhile", () =>
  withPage(
    async (page, context) => {
      const { back } = await loseQuestion(page, { arrives: false });
      const { conversationId } = await (
        await context.request.get(`${server}/api/sessions/${page.url().split("/").at(-1)}`)
      ).json();
      const other = await context.request.post(`${server}/api/conversations/${conversationId}/messages`, {
        data: { content: "What does a sink cost?", clientMessageId: "another device's" },
        headers: { Accept: "application/json" },
      });
      assert.equal(other.status(), 202);
      back();
      await finished(page, 2);
      assert.equal(await page.locator(".message").count(), 5, "two questions, their answers, and ours");
      assert.match(await page.locator(".message").last().textContent(), /What does a window cost\?Not sent/);
      await page.click(".question[data-unsent] >> text=Send again");
      await finished(page, 3);
      assert.equal(await page.locator(".question .mark").count(), 0);
      assert.deepEqual(await page.locator(".question .bubble").allTextContents(), [
        "What does a door cost?",
        "What does a sink cost?",
        "What does a window cost?",
      ]);
      assert.equal((await roles(page)).length, 6);
    },
    { expected: OFFLINE },
  ));

/* The page again, with reads at `path` held: it asks before it has them. */
async function reloadHolding(page, path) {
  const release = await hold(page, path);
  await page.reload({ waitUntil: "domcontentloaded" });
  await page.waitForSelector(".suggestion", { state: "attached" });
  return release;
}

const SESSIONS = /\/api\/sessions(\?|$)/;

test("a question asked before the page knows its sessions is kept on it, sent, and answered", () =>
  withPage(async (page) => {
    const create = await hold(page, SESSIONS, "POST");
    const release = await reloadHolding(page, SESSIONS);
    await ask(page, "What does a door cost?");
    await page.waitForSelector(".question >> text=/Sending/");
    const read = page.waitForResponse((response) => SESSIONS.test(response.url()));
    release();
    await read;
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    await page.waitForSelector(".question >> text=/Sending/");
    create();
    await finished(page);
    assert.deepEqual(await page.locator(".question .bubble").allTextContents(), ["What does a door cost?"]);
    assert.equal(await page.locator(".question .mark").count(), 0);
    assert.deepEqual(await roles(page), ["user", "assistant"]);
  }));

test("a question asked before the addressed session is open goes to that session, after what was said there", () =>
  withPage(async (page) => {
    await ask(page, "What does a door cost?");
    await finished(page);
    const address = page.url();
    const release = await reloadHolding(page, SESSIONS);
    await ask(page, "What does a window cost?");
    await page.waitForSelector(".question >> text=/Sending/");
    release();
    await finished(page, 2);
    assert.equal(page.url(), address);
    assert.deepEqual(await page.locator(".question .bubble").allTextContents(), [
      "What does a door cost?",
      "What does a window cost?",
    ]);
    assert.equal(await page.locator("#sessions li").count(), 1);
    assert.deepEqual(await roles(page), ["user", "assistant", "user", "assistant"]);
  }));

test("a question asked while its session opens goes there though the page is elsewhere by then", () =>
  withPage(async (page) => {
    await ask(page, "What does a door cost?");
    await finished(page);
    const first = page.url();
    await page.evaluate(() => {
      location.hash = "#/";
    });
    await page.waitForSelector("#welcome:not([hidden])");
    await ask(page, "What does a roof cost?");
    await finished(page);
    const release = await hold(page, /\/api\/conversations\//);
    const second = page.url();
    await page.goto(first);
    await ask(page, "What does a window cost?");
    await page.waitForSelector(".question >> text=/Sending/");
    await page.goto(second);
    release();
    await page.waitForSelector(".question >> text=/roof/");
    await page.goto(first);
    await finished(page, 2);
    assert.deepEqual(await page.locator(".question .bubble").allTextContents(), [
      "What does a door cost?",
      "What does a window cost?",
    ]);
    assert.deepEqual(await roles(page), ["user", "assistant", "user", "assistant"]);
    await page.goto(second);
    await page.waitForSelector(".question >> text=/roof/");
    assert.equal(await page.locator(".question").count(), 1);
  }));

const MESSAGES = /\/api\/conversations\/[^/]+\/messages(\?|$)/;
const DOOR = "What does a door cost? [sim:words=8]";
const WINDOW = "What does a window cost? [sim:words=8]";
const questions = (page) => page.locator(".question .bubble").allTextContents();

test("a question that is being sent, or could not be, is there when one comes back to its conversation", () =>
  withPage(
    async (page) => {
      const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
      const posts = await keep(page, MESSAGES, "POST");
      await go(page, attic);
      await ask(page, DOOR);
      const first = await posts.next();
      await go(page, bath);
      assert.deepEqual(await questions(page), []);
      await go(page, attic);
      await page.waitForSelector(".question >> text=/Sending/");
      await go(page, bath);
      await first.fulfill(BUSY);
      await go(page, attic);
      await page.click(".question[data-unsent] >> text=Send again");
      await (await posts.next()).continue();
      await finished(page);
      assert.deepEqual(await questions(page), [DOOR]);
      assert.equal(await page.locator(".question .mark").count(), 0);
      assert.deepEqual(await roles(page), ["user", "assistant"]);
    },
    { expected: BUSY_CONSOLE },
  ));

test("a question that arrives after its conversation was opened again is shown with its answer", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    const posts = await keep(page, MESSAGES, "POST");
    await go(page, attic);
    await ask(page, DOOR);
    const post = await posts.next();
    await go(page, bath);
    const read = page.waitForResponse(
      (response) => MESSAGES.test(response.url()) && response.url().includes(attic.conversationId),
    );
    await go(page, attic);
    await read;
    await page.waitForSelector("#messages:not([aria-busy]) .question >> text=/Sending/");
    await post.continue();
    await finished(page);
    assert.deepEqual(await questions(page), [DOOR]);
    assert.equal(await page.locator(".question .mark").count(), 0);
  }));

test("a question that arrives while its conversation is read again is shown once, with its answer", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    const posts = await keep(page, MESSAGES, "POST");
    await go(page, attic);
    await ask(page, DOOR);
    const post = await posts.next();
    await go(page, bath);
    const release = await hold(page, `**/api/conversations/${attic.conversationId}**`);
    await go(page, attic);
    await post.continue();
    await page.waitForFunction(() => document.querySelector(".question") && !document.querySelector(".question .mark"));
    release();
    await finished(page);
    assert.deepEqual(await questions(page), [DOOR]);
    assert.equal(await page.locator(".message").count(), 2);
  }));

test("a first question is on the start page again while its renovation is made, and that opens there", () =>
  withPage(async (page) => {
    const attic = await renovation(page, "Attic");
    const create = await hold(page, SESSIONS, "POST");
    await ask(page, DOOR);
    await page.waitForSelector(".question >> text=/Sending/");
    await go(page, attic);
    assert.deepEqual(await questions(page), []);
    await go(page, null);
    await page.waitForSelector(".question >> text=/Sending/");
    assert.equal(await page.isVisible("#welcome"), false);
    create();
    await finished(page);
    await titled(page, "What does a door cost");
    assert.deepEqual(await questions(page), [DOOR]);
    assert.deepEqual(await roles(page), ["user", "assistant"]);
    assert.equal(await page.locator("#sessions li").count(), 2);
  }));

test("a first question whose renovation was made without a receipt makes no second one", () =>
  withPage(
    async (page, context) => {
      const creates = await keep(page, SESSIONS, "POST");
      await ask(page, DOOR);
      const create = await creates.next();
      await create.fetch();
      await create.fulfill(BUSY);
      await page.click(".question[data-unsent] >> text=Send again");
      await (await creates.next()).continue();
      await finished(page);
      const { data } = await (await context.request.get(`${server}/api/sessions`)).json();
      assert.equal(data.length, 1);
    },
    { expected: BUSY_CONSOLE },
  ));

/* While the server is busy for requests at `path`; what this returns ends it. */
async function busy(page, path) {
  let ended = false;
  await page.route(path, (route) =>
    ended || route.request().method() !== "GET" ? route.fallback() : route.fulfill(BUSY),
  );
  return () => {
    ended = true;
  };
}

test("a question asked while the addressed renovation cannot be read waits for it", () =>
  withPage(
    async (page, context) => {
      const attic = await renovation(page, "Attic");
      await go(page, attic);
      /* Not among the first that are listed: its row is read by itself. */
      await page.route(SESSIONS, (route) =>
        route.request().method() === "GET" ? route.fulfill({ json: { data: [], nextCursor: null } }) : route.fallback(),
      );
      const back = await busy(page, `**/api/sessions/${attic.id}`);
      await page.reload();
      await ask(page, DOOR);
      await page.waitForSelector(".banner >> text=Try again");
      await page.waitForSelector(".question >> text=/Sending/");
      back();
      await finished(page);
      await titled(page, "Attic");
      assert.deepEqual(await roles(page), ["user", "assistant"]);
      assert.equal(await page.locator(".banner >> text=Try again").count(), 0);
      const { data } = await (await context.request.get(`${server}/api/sessions`)).json();
      assert.deepEqual(
        data.map((row) => row.id),
        [attic.id],
      );
    },
    { expected: BUSY_CONSOLE },
  ));

test("a renovation that cannot be read leaves the page where it is until it can", () =>
  withPage(
    async (page) => {
      const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
      await go(page, attic);
      const back = await busy(page, `**/api/sessions/${bath.id}`);
      await page.goto(`${server}/#/sessions/${bath.id}`);
      await page.waitForSelector(".banner >> text=Try again");
      assert.equal(await page.textContent("#chat-title"), "Attic");
      back();
      await titled(page, "Bath");
      assert.ok(page.url().endsWith(bath.id));
    },
    { expected: BUSY_CONSOLE },
  ));

test("a question asked while the renovations cannot be read is sent when they can", () =>
  withPage(
    async (page) => {
      await page.waitForSelector("#sessions-empty");
      const back = await busy(page, SESSIONS);
      await page.reload({ waitUntil: "domcontentloaded" });
      await page.waitForSelector(".banner >> text=Try again");
      assert.equal(await page.locator(".banner:has-text('Try again') [aria-label]").count(), 0);
      await ask(page, DOOR);
      await page.waitForSelector(".question >> text=/Sending/");
      back();
      await finished(page);
      assert.deepEqual(await questions(page), [DOOR]);
      assert.equal(await page.locator(".banner >> text=Try again").count(), 0);
    },
    { expected: BUSY_CONSOLE },
  ));

test("a question asked before anything is open goes where it was asked though the address has changed since", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    await go(page, attic);
    const release = await reloadHolding(page, SESSIONS);
    await ask(page, DOOR);
    await page.waitForSelector(".question >> text=/Sending/");
    await page.goto(`${server}/#/sessions/${bath.id}`);
    release();
    await titled(page, "Bath");
    assert.deepEqual(await questions(page), []);
    await go(page, attic);
    await finished(page);
    assert.deepEqual(await questions(page), [DOOR]);
    assert.deepEqual(await roles(page), ["user", "assistant"]);
  }));

test("a renovation that is read late does not take the place of one that was opened after it", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    const reads = await keep(page, `**/api/sessions/${attic.id}`);
    await page.goto(`${server}/#/sessions/${attic.id}`);
    const late = await reads.next();
    await go(page, bath);
    await late.continue();
    await page.waitForSelector(`#sessions a[href$="${attic.id}"]`);
    assert.equal(await page.textContent("#chat-title"), "Bath");
    assert.ok(page.url().endsWith(bath.id));
    assert.equal(await page.getAttribute("#sessions a[aria-current]", "href"), `#/sessions/${bath.id}`);
  }));

test("questions arrive in the order they were asked in, also when the one before could not be sent", () =>
  withPage(
    async (page) => {
      const attic = await renovation(page, "Attic");
      await go(page, attic);
      const posts = await keep(page, MESSAGES, "POST");
      await ask(page, DOOR);
      await ask(page, WINDOW);
      await page.waitForFunction(() => document.querySelectorAll(".question .mark").length === 2);
      const first = await posts.next();
      assert.equal(first.request().postDataJSON().content, DOOR);
      await requested(page);
      assert.equal(posts.count(), 1, "the second waits for the first");
      await first.fulfill(BUSY);
      await (await posts.next()).continue();
      await finished(page);
      await page.click(".question[data-unsent] >> text=Send again");
      await (await posts.next()).continue();
      await finished(page, 2);
      assert.deepEqual(await questions(page), [WINDOW, DOOR]);
      assert.deepEqual(
        (await stored(page)).messages.filter((row) => row.role === "user").map((row) => row.content),
        [WINDOW, DOOR],
      );
    },
    { expected: BUSY_CONSOLE },
  ));

test("editing a question that was not sent, or taking an idea, keeps what is being typed", () =>
  withPage(
    async (page) => {
      const typed = () => page.inputValue("#composer-text");
      const idea = page.locator(".suggestion");
      await idea.nth(0).click();
      const first = await typed();
      await idea.nth(1).click();
      const second = await typed();
      assert.ok(second !== "" && !second.includes(first), "another idea instead");
      await page.fill("#composer-text", "We live in Oslo.");
      await idea.nth(0).click();
      await idea.nth(0).click();
      assert.equal(await typed(), `We live in Oslo.\n\n${first}`);
      await page.route(SESSIONS, (route) =>
        route.request().method() === "POST" ? route.fulfill(BUSY) : route.fallback(),
      );
      await ask(page, DOOR);
      await page.waitForSelector(".question[data-unsent]");
      await page.fill("#composer-text", "And a roof?");
      await page.click(".question >> text=Edit");
      assert.equal(await typed(), `${DOOR}\n\nAnd a roof?`);
      assert.equal(await page.locator(".question").count(), 0);
    },
    { expected: BUSY_CONSOLE },
  ));

test("earlier messages are shown once however often they are asked for", () =>
  withPage(async (page) => {
    await ask(page, DOOR);
    await finished(page);
    await ask(page, WINDOW);
    await finished(page, 2);
    /* Pages of two messages, so that there are earlier ones. */
    await page.route(MESSAGES, (route) =>
      route.continue({ url: route.request().url().replace("limit=40", "limit=2") }),
    );
    const earlier = await keep(page, /\/messages\?.*cursor=/);
    await page.reload();
    await page.waitForSelector(".answer");
    assert.deepEqual(await questions(page), [WINDOW]);
    await page.click("#chat-earlier");
    await page.click("#chat-earlier");
    const read = await earlier.next();
    await requested(page);
    assert.equal(earlier.count(), 1);
    await read.fallback();
    await page.waitForFunction(() => document.querySelectorAll(".answer").length === 2);
    assert.deepEqual(await questions(page), [DOOR, WINDOW]);
    assert.equal(await page.isVisible("#chat-earlier"), false);
  }));

test("the start page is not busy with a conversation that was left before it was read", () =>
  withPage(async (page) => {
    const attic = await renovation(page, "Attic");
    const release = await hold(page, `**/api/conversations/${attic.conversationId}`);
    await go(page, attic);
    await page.waitForSelector("#messages[aria-busy]", { state: "attached" });
    await go(page, null);
    assert.equal(await page.locator("#messages[aria-busy]").count(), 0);
    release();
  }));
