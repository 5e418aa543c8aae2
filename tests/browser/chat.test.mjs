/* The chat page in headless Chromium against a running server: a whole conversation, stop, reload, lost connections, queueing, the rows
 * beside it. Each test is a new owner; each must end without a console error or a policy violation. Run by ./dev test. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ENDLESS, KITCHEN, LONG, SLOW_KITCHEN, server } from "../clients/support.mjs";
import {
  answerText,
  ask,
  BUSY,
  BUSY_CONSOLE,
  finished,
  go,
  hold,
  keep,
  letters,
  OFFLINE,
  renovation,
  requested,
  shot,
  startBrowser,
  startProxy,
  stopBrowser,
  stored,
  withPage,
  writing,
} from "./support.mjs";

before(startBrowser);
after(stopBrowser);

/* The page itself writes down what it shows for the first time, in order: nothing is missed however late a test looks. */
const watch = (page) =>
  page.evaluate(() => {
    window.order = [];
    const note = (what, is) => is && !window.order.includes(what) && window.order.push(what);
    const has = (selector, text) => [...document.querySelectorAll(selector)].some((e) => text.test(e.textContent));
    const look = () => {
      const answer = document.querySelector(".answer");
      const isStreaming = answer?.dataset.state === "streaming";
      note("text", isStreaming && answer.querySelector(".prose")?.textContent.trim().length > 20);
      note("stop", isStreaming && !document.querySelector("#stop").hidden);
      note("tool", has(".tool[data-state=done]", /Added room/));
      note("room", has("#rooms .row", /kitchen/i));
      note("finished", answer && !isStreaming);
      note("announced", document.querySelector("#announcer").textContent !== "");
    };
    new MutationObserver(look).observe(document.body, {
      subtree: true,
      childList: true,
      attributes: true,
      characterData: true,
    });
  });

test("a described kitchen is answered as a stream, and rooms, tasks and products appear beside it", () =>
  withPage(async (page) => {
    await page.waitForSelector(".suggestion");
    await shot(page, "start");
    await watch(page);
    await ask(page, SLOW_KITCHEN.replace("delay=40ms", "delay=120ms"));
    await page.waitForSelector(".tool[data-state=done] >> text=/Added room/");
    await page.waitForSelector("#rooms .row >> text=/kitchen/i");
    await shot(page, "working");
    await finished(page);
    const order = await page.evaluate(() => window.order);
    for (const what of ["text", "stop", "tool", "room"])
      assert.ok(order.slice(0, order.indexOf("finished")).includes(what), `${what} before the end: ${order}`);
    assert.deepEqual(order.slice(-2), ["finished", "announced"], "nothing is read out before the answer is finished");
    const now = await stored(page);
    await page.waitForFunction((n) => document.querySelectorAll("#tasks .row").length === n, now.tasks.length);
    await page.waitForFunction((n) => document.querySelectorAll("#products .row").length === n, now.products.length);
    await shot(page, "done");
    const text = await answerText(page);
    assert.equal(now.messages.length, 2);
    const prose = await page.locator(".answer .prose").allInnerTexts();
    assert.equal(letters(prose.join("")), letters(now.messages[1].content), "what is shown is what is stored");
    assert.equal(await page.locator("#announcer p").count(), 1, "read out once");
    assert.equal(letters(await page.textContent("#announcer")), letters(`Assistant: ${now.messages[1].content}`));
    assert.ok(now.tasks.length > 0);
    await page.waitForFunction(() => /15,000/.test(document.querySelector("#budget").textContent));
    assert.equal(await page.isVisible("#stop"), false);
    assert.equal(await page.locator("#sessions li").count(), 1);
    await page.reload();
    await page.waitForSelector(".answer[data-state=done]");
    assert.equal(await answerText(page), text, "a reload shows the same");
    assert.equal(await page.locator(".message").count(), 2);
  }));

test("the notice about the simulator is shown exactly when it answers", () =>
  withPage(async (page) => {
    const { features } = await (await fetch(`${server}/health/status`)).json();
    assert.equal(typeof features.geminiSimulator, "boolean");
    if (features.geminiSimulator) await page.waitForSelector(".banner[data-key=simulator] >> text=/simulator/i");
    else assert.equal(await page.locator(".banner[data-key=simulator]").count(), 0);
  }));

test("a session is created, renamed, given a budget and deleted", () =>
  withPage(async (page) => {
    await page.click("#session-new");
    await page.click("#dialog-ok");
    assert.equal(await page.isVisible("#dialog"), true, "a title is needed");
    await page.fill("#dialog input[name=title]", "Attic <b>study</b>");
    await page.fill("#dialog input[name=totalBudget]", "twenty");
    await page.click("#dialog-ok");
    assert.match(await page.textContent("#field-totalBudget-error"), /amount/);
    await page.fill("#dialog input[name=totalBudget]", "20,000.50");
    await page.selectOption("#dialog select", "EUR");
    await shot(page, "dialog");
    await page.click("#dialog-ok");
    await page.waitForFunction(() => document.querySelector("#chat-title").textContent === "Attic <b>study</b>");
    assert.equal(await page.locator("#chat-title b").count(), 0, "a title is text");
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    const made = (await stored(page)).session;
    assert.equal(made.totalBudget, "20000.50");
    assert.equal(made.currency, "EUR");
    await page.hover("#sessions li");
    await page.click("#sessions button[aria-label^=Rename]");
    await page.fill("#dialog input[name=title]", "Attic study");
    await page.press("#dialog input[name=title]", "Enter");
    await page.waitForFunction(() => document.querySelector("#chat-title").textContent === "Attic study");
    assert.match(await page.title(), /^Attic study/);
    await page.click("#budget-edit");
    await page.fill("#dialog input[name=totalBudget]", "18000");
    await page.click("#dialog-ok");
    await page.waitForFunction(() => /18,000/.test(document.querySelector("#budget").textContent));
    assert.equal((await stored(page)).session.totalBudget, "18000.00");
    await page.hover("#sessions li");
    await page.click("#sessions button[aria-label^=Delete]");
    await page.click("#dialog-cancel");
    assert.equal(await page.locator("#sessions li").count(), 1, "cancelled");
    await page.hover("#sessions li");
    await page.click("#sessions button[aria-label^=Delete]");
    await page.click("#dialog-ok");
    await page.waitForFunction(
      () =>
        document.querySelectorAll("#sessions li").length === 0 &&
        document.querySelector("#chat-title").textContent === "Renovation planner",
    );
    await page.waitForSelector("#welcome:not([hidden])");
    await page.waitForFunction(() => location.hash === "#/");
  }));

test("stop keeps what was written and the conversation goes on", () =>
  withPage(async (page) => {
    await ask(page, ENDLESS);
    await writing(page);
    await page.click("#stop");
    await page.waitForSelector(".answer[data-state=stopped] >> text=Stopped here");
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    await shot(page, "stopped");
    const { messages } = await stored(page);
    assert.equal(messages[1].status, "partial");
    assert.equal(
      letters((await page.locator(".answer .prose").allInnerTexts()).join("")),
      letters(messages[1].content),
    );
    await ask(page, "And what does a sink cost?");
    await finished(page, 2);
    assert.equal(await page.locator(".answer[data-state=done]").count(), 1);
  }));

test("a reload in the middle of an answer shows it from its start and goes on", () =>
  withPage(async (page) => {
    await ask(page, ENDLESS);
    await writing(page);
    const before = await answerText(page);
    await page.reload();
    await writing(page);
    await page.waitForFunction((n) => document.querySelector(".answer").innerText.length >= n, before.length);
    assert.equal(await page.locator(".answer").count(), 1);
    assert.ok(letters(await answerText(page)).startsWith(letters(before.trim())), "it begins as before");
    await page.waitForFunction((n) => document.querySelector(".answer").innerText.length > n + 100, before.length);
    await page.click("#stop");
    await page.waitForSelector(".answer[data-state=stopped]");
    const { messages } = await stored(page);
    assert.equal(
      letters((await page.locator(".answer .prose").allInnerTexts()).join("")),
      letters(messages[1].content),
    );
    assert.equal(await page.locator(".message").count(), 2);
  }));

test("offline is said, and the answer goes on where it was when the network is back", () =>
  withPage(
    async (page, context) => {
      await ask(page, LONG);
      await writing(page);
      await context.setOffline(true);
      await page.waitForSelector("#connection[data-state=offline]");
      await page.waitForSelector(".banner[data-key=offline]");
      await shot(page, "offline");
      await context.setOffline(false);
      await page.waitForSelector("#connection[data-state=live]");
      await finished(page);
      assert.equal(await page.locator(".banner[data-key=offline]").count(), 0);
      const { messages } = await stored(page);
      assert.equal(
        letters((await page.locator(".answer .prose").allInnerTexts()).join("")),
        letters(messages[1].content),
        "no gap, nothing twice",
      );
    },
    { expected: OFFLINE },
  ));

test("connections cut again and again, and a server that is away for a while, cost nothing of the answer", async () => {
  const proxy = await startProxy();
  try {
    await withPage(
      async (page) => {
        const resumed = [];
        page.on("request", (request) => {
          const id = request.headers()["last-event-id"];
          if (id) resumed.push(id);
        });
        await ask(page, ENDLESS);
        await writing(page);
        for (let i = 0; i < 4; i++) {
          const length = (await answerText(page)).length;
          proxy.refuse(i === 1);
          proxy.cut();
          if (i === 1) {
            await page.waitForSelector("#connection[data-state=waiting]");
            proxy.refuse(false);
          }
          await page.waitForFunction(
            (n) => document.querySelector(".answer .answer-body").innerText.length > n,
            length,
          );
        }
        await page.click("#stop");
        await finished(page);
        await page.waitForSelector("#connection[data-state=live]");
        assert.ok(resumed.length > 0, "it came back with Last-Event-ID");
        const { messages } = await stored(page);
        assert.equal(
          letters((await page.locator(".answer .prose").allInnerTexts()).join("")),
          letters(messages[1].content),
        );
        assert.equal(messages.length, 2);
      },
      { base: proxy.url, expected: OFFLINE },
    );
  } finally {
    await proxy.close();
  }
});

test("a renovation that is deleted slowly leaves the focus in the question box", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    await go(page, attic);
    await go(page, bath);
    const release = await hold(page, `**/api/sessions/${attic.id}`, "DELETE");
    await page.hover(`#sessions li:has-text("Attic")`);
    await page.click(`#sessions button[aria-label="Delete Attic"]`);
    await page.click("#dialog-ok");
    await page.click("#composer-text");
    release();
    await page.waitForFunction(() => document.querySelectorAll("#sessions li").length === 1);
    assert.equal(await page.evaluate(() => document.activeElement.id), "composer-text");
  }));

test("questions asked meanwhile wait, can be removed, survive a reload and are answered in order", () =>
  withPage(async (page) => {
    await ask(page, ENDLESS);
    await writing(page);
    await ask(page, "Which tiles are best?");
    await page.waitForSelector(".question >> text=/Waiting/");
    await ask(page, "Which paint is best?");
    await page.waitForFunction(() => document.querySelectorAll(".question .mark").length === 2);
    await shot(page, "queued");
    await page.locator(".question").nth(2).locator("text=Remove").click();
    await page.waitForSelector(".question >> text=/Removed/");
    await page.reload();
    await writing(page);
    await page.waitForSelector(".question >> text=/Waiting/");
    await page.click("#stop");
    await finished(page, 2);
    const order = await page
      .locator(".message")
      .evaluateAll((elements) =>
        elements.map((element) => (element.classList.contains("question") ? "question" : "answer")),
      );
    assert.deepEqual(order.slice(0, 4), ["question", "answer", "question", "answer"]);
    assert.equal(await page.locator(".answer").count(), 2);
  }));

test("a second tab follows the same answer", () =>
  withPage(async (page, context) => {
    await ask(page, ENDLESS);
    await writing(page);
    const other = await context.newPage();
    await other.goto(page.url());
    await writing(other);
    await page.click("#stop");
    await Promise.all([finished(page), finished(other)]);
    assert.equal(await answerText(other), await answerText(page));
    await other.close();
  }));

test("tasks are completed and reopened, products chosen, and a stale row is read again", () =>
  withPage(
    async (page) => {
      await ask(page, KITCHEN);
      await finished(page);
      /* From here on the page reads the tasks only when it is told to. */
      await page.reload();
      await page.waitForSelector("#tasks .row");
      const box = page.locator("#tasks input").first();
      await box.check();
      await page.waitForFunction(() => document.querySelector("#tasks .row").dataset.done === "true");
      await page.waitForFunction(() => /: done$/.test(document.querySelector("#board-status").textContent));
      assert.equal((await stored(page)).tasks.filter((task) => task.status === "done").length, 1);
      await box.uncheck();
      await page.waitForFunction(() => /open again$/.test(document.querySelector("#board-status").textContent));
      assert.equal((await stored(page)).tasks.filter((task) => task.status === "done").length, 0);
      /* Changed behind the page's back: the next change is refused, said, and the newest state shown. */
      const { tasks, products } = await stored(page);
      await page.evaluate(
        (id) =>
          fetch(`/api/tasks/${id}`, {
            method: "PATCH",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify({ title: "Changed elsewhere" }),
          }),
        tasks[0].id,
      );
      await page.locator("#tasks input").first().click();
      await page.waitForSelector(".banner[data-key=change] >> text=/changed elsewhere/i");
      await page.waitForSelector("#tasks >> text=Changed elsewhere");
      if (products.length > 0) {
        await page.locator("#products .row-buttons button").first().click();
        await page.waitForSelector("#products [data-status=accepted]");
        await page.waitForFunction(async (id) => {
          const rows = await (await fetch(`/api/sessions/${location.hash.split("/").at(-1)}/products`)).json();
          return rows.data.find((row) => row.id === id).status === "accepted";
        }, products[0].id);
      }
    },
    { expected: /412/ },
  ));

async function task(page, session, title) {
  const response = await page.context().request.post(`${server}/api/tasks`, { data: { sessionId: session.id, title } });
  assert.equal(response.status(), 201);
}

test("a row is changed again before the first change is answered, and only what was changed is said", () =>
  withPage(
    async (page) => {
      const attic = await renovation(page, "Attic");
      await task(page, attic, "Paint");
      await go(page, attic);
      await page.waitForSelector("#tasks .row");
      const said = () => page.textContent("#board-status");
      const changes = await keep(page, /\/api\/tasks\//, "PATCH");
      const box = page.locator("#tasks input");
      await box.check();
      const first = await changes.next();
      await box.uncheck();
      await requested(page);
      assert.equal(await said(), "", "not done yet");
      await first.continue();
      await (await changes.next()).continue();
      await page.waitForFunction(() => document.querySelector("#board-status").textContent === "Paint: open again");
      assert.equal(await page.locator(".banner[data-key=change]").count(), 0);
      assert.equal((await stored(page)).tasks[0].status, "open");
      await box.check();
      await (await changes.next()).fulfill(BUSY);
      await page.waitForSelector(".banner[data-key=change]");
      assert.equal(await box.isChecked(), false, "taken back");
      assert.equal(await said(), "Paint: open again");
    },
    { expected: BUSY_CONSOLE },
  ));

test("the rows of a renovation are not news because another was left before it was read", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    await task(page, bath, "Paint");
    const rooms = await keep(page, `**/api/sessions/${attic.id}/rooms**`);
    const tasks = await keep(page, `**/api/sessions/${bath.id}/tasks**`);
    await go(page, attic);
    const late = await rooms.next();
    await go(page, bath);
    const read = await tasks.next();
    const [response] = await Promise.all([page.waitForResponse(late.request().url()), late.continue()]);
    await response.finished();
    await requested(page);
    await read.continue();
    await page.waitForSelector("#tasks .row");
    assert.equal(await page.locator("#tasks [data-fresh]").count(), 0);
    assert.equal(await page.textContent("#board-status"), "");
  }));

test("rows that were read before a change, or before others, and come later take nothing back", () =>
  withPage(async (page) => {
    const attic = await renovation(page, "Attic");
    await task(page, attic, "Paint");
    await go(page, attic);
    const titles = () => page.locator("#tasks .row-title").allTextContents();
    await page.waitForSelector("#tasks .row");
    const reads = await keep(page, `**/api/sessions/${attic.id}/tasks**`);
    const look = () => page.evaluate(() => window.dispatchEvent(new Event("online")));
    await look();
    const late = await reads.next();
    const old = await late.fetch();
    const box = page.locator("#tasks input").first();
    await box.check();
    await page.waitForFunction(() => document.querySelector("#board-status").textContent === "Paint: done");
    await task(page, attic, "Sand the floor");
    await look();
    await (await reads.next()).continue();
    await page.waitForFunction(() => document.querySelectorAll("#tasks .row").length === 2);
    const newer = await titles();
    const [response] = await Promise.all([
      page.waitForResponse((each) => each.request() === late.request()),
      late.fulfill({ response: old }),
    ]);
    await response.finished();
    await requested(page);
    assert.deepEqual(await titles(), newer);
    assert.equal(await page.isChecked("#tasks .row:has-text('Paint') input"), true);
    await page.uncheck("#tasks .row:has-text('Paint') input");
    await page.waitForFunction(() => document.querySelector("#board-status").textContent === "Paint: open again");
    assert.equal(await page.locator(".banner[data-key=change]").count(), 0);
  }));

test("rows that are read again and are the same keep their elements, so that no click on them is lost", () =>
  withPage(async (page) => {
    const [attic, bath] = [await renovation(page, "Attic"), await renovation(page, "Bath")];
    await task(page, attic, "Paint");
    await go(page, bath);
    await go(page, attic);
    await page.waitForSelector("#tasks .row");
    await page.waitForSelector("#sessions li:has-text('Bath')");
    await page.evaluate(() => {
      const bath = [...document.querySelectorAll("#sessions li")].find((row) => /Bath/.test(row.textContent));
      window.rows = [document.querySelector("#tasks .row"), bath];
    });
    await task(page, attic, "Sand the floor");
    await page.evaluate(() => window.dispatchEvent(new Event("online")));
    await page.waitForFunction(() => document.querySelectorAll("#tasks .row").length === 2);
    await page.waitForSelector("#sessions li >> text=/2 open tasks/");
    assert.deepEqual(await page.evaluate(() => window.rows.map((row) => row.isConnected)), [true, true]);
  }));
