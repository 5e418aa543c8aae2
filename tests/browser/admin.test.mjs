/* The operations page in headless Chromium, on a pool of its own that is reloaded and loses workers: what it shows is what the server says. Each test
 * must end without a console error or a policy violation. Run by ./dev test. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "../clients/support.mjs";
import { startPool } from "./pool.mjs";
import { accessibilityTree, nameless, poorContrasts, shot, startBrowser, stopBrowser, withPage } from "./support.mjs";

const OFFLINE = /net::ERR_|Failed to load resource/;

let pool;

before(async () => {
  [pool] = await Promise.all([startPool(), startBrowser()]);
});

after(async () => {
  await stopBrowser();
  assert.equal(await pool.stop(), 0, "the pool stops cleanly");
});

const onPage = (use, options = {}) =>
  withPage(use, { base: pool.adminUrl, at: "/admin", ready: "#pulse-dot[data-state=live]", ...options });

/* The tiles as the page shows them. */
const tiles = (page) =>
  page.$$eval("#workers .tile", (elements) =>
    elements.map((element) => {
      const text = (field) => element.querySelector(`[data-field=${field}]`).textContent;
      return {
        slot: Number(text("slot")),
        pid: Number(text("pid")),
        generation: Number(text("generation")),
        state: text("state"),
        restarts: Number(text("restarts")),
      };
    }),
  );

const bySlot = (a, b) => a.slot - b.slot;

/* Waits until the tiles are what status.json says at the same time, all ready, and gives them. */
const agreed = (page) => {
  let seen = "";
  const look = async () => {
    const { workers, generation } = await pool.status();
    const shown = (await tiles(page)).sort(bySlot);
    const said = workers.map(({ slot, pid, generation: its, state, restarts }) => ({
      slot,
      pid,
      generation: its,
      state,
      restarts,
    }));
    seen = `shown: ${JSON.stringify(shown)}, said: ${JSON.stringify(said.sort(bySlot))}`;
    const isSame = JSON.stringify(shown) === JSON.stringify(said);
    return isSame && said.every(({ state }) => state === "ready") ? { generation, workers: shown } : null;
  };
  return until("the tiles are what status.json says, and all ready", look, { state: () => seen });
};

test("the page and its files are served with a strict policy, to the operator alone", async () => {
  const html = await fetch(`${pool.adminUrl}/admin`);
  const policy = html.headers.get("content-security-policy");
  for (const rule of ["default-src 'self'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"])
    assert.ok(policy.includes(rule), rule);
  assert.doesNotMatch(policy, /unsafe/);
  const text = await html.text();
  assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style/i, "nothing inline");
  const paths = [...new Set([...text.matchAll(/(?:href|src)="(\/admin\/assets\/[^"]+)"/g)].map((match) => match[1]))];
  assert.ok(paths.length >= 8);
  for (const path of paths) {
    assert.equal((await fetch(pool.adminUrl + path)).status, 200, path);
    assert.equal((await fetch(pool.url + path)).status, 404, `${path} on the main listener`);
    assert.equal(
      (await fetch(pool.url + path.replace("/admin", ""))).status,
      /\/admin[._]/.test(path.replace("/admin/", "/")) ? 404 : 200,
      `${path} among the public files`,
    );
  }
  assert.equal((await fetch(`${pool.url}/admin`)).status, 404);
});

test("nothing is asked of another host, and only the state over and over", () =>
  onPage(async (page) => {
    const hosts = new Set();
    const asked = [];
    page.on("request", (request) => {
      hosts.add(new URL(request.url()).origin);
      asked.push(new URL(request.url()).pathname);
    });
    await page.reload();
    await until(
      "the state was asked for three times",
      () => asked.filter((path) => path.endsWith(".json")).length >= 3,
    );
    assert.deepEqual([...hosts], [pool.adminUrl]);
    assert.deepEqual([...new Set(asked.filter((path) => !path.startsWith("/admin/assets/")))].sort(), [
      "/admin",
      "/admin/status.json",
    ]);
  }));

test("the tiles are what the server says of its workers", () =>
  onPage(async (page) => {
    const { workers } = await agreed(page);
    assert.equal(workers.length, 2);
    for (const worker of workers) assert.equal(worker.state, "ready");
    assert.equal(await page.textContent("#state"), "running");
    assert.equal(await page.textContent("[data-key=ready] dd"), "2 / 2");
    assert.match(await page.textContent("#identity"), new RegExp(`supervisor ${pool.pid} `));
    assert.match(await page.textContent("#database"), /Connections/);
    await shot(page, "operations");
  }));

test("a worker that is killed is shown with its post-mortem, and another takes its place", () =>
  onPage(async (page) => {
    const { workers } = await agreed(page);
    const victim = workers[0];
    process.kill(victim.pid, "SIGKILL");
    await page.waitForSelector(`.death[data-pid="${victim.pid}"][data-signal=KILL]`);
    const death = await page.textContent(`.death[data-pid="${victim.pid}"]`);
    assert.match(death, /killed from outside with SIGKILL/);
    assert.match(death, /SIGKILL \(9\)/);
    assert.match(death, /Lived.*ready for/);
    assert.match(death, /Last request/);
    assert.match(death, /Had open/);
    await until("another worker is ready", async () =>
      (await tiles(page)).some(
        ({ slot, pid, state }) => slot === victim.slot && pid !== victim.pid && state === "ready",
      ),
    );
    assert.equal(await page.locator(`.tile[data-pid="${victim.pid}"]`).count(), 0);
    const after = (await agreed(page)).workers.find(({ slot }) => slot === victim.slot);
    assert.equal(after.restarts, victim.restarts + 1);
    assert.ok(Number(await page.textContent("[data-key=restarts] dd")) > 0);
    await shot(page, "operations-crash");
  }));

test("a reload is told, with the new generation beside the old one until that has left", () =>
  onPage(async (page) => {
    const before = await agreed(page);
    pool.signal("SIGHUP");
    await until("the new generation serves", async () => {
      const now = (await tiles(page)).filter(({ generation }) => generation === before.generation + 1);
      return now.length === 2 && now.every(({ state }) => state === "ready");
    });
    await page.waitForSelector("#changes .badge[data-state=good] >> text=a new generation serves");
    await until("the old one has left", async () => (await tiles(page)).length === 2);
    assert.match(await page.textContent("#workers-sum"), new RegExp(`generation ${before.generation + 1}`));
  }));

test("drained and resumed are said plainly", () =>
  onPage(async (page) => {
    await agreed(page);
    pool.signal("SIGWINCH");
    await page.waitForSelector(".notice[data-key=drained]");
    assert.equal(await page.textContent("#state"), "drained");
    /* A connection from before may still be one of a worker on its way out. */
    await until("everything is answered with 503", async () => (await fetch(`${pool.url}/`)).status === 503);
    pool.signal("SIGHUP");
    await page.waitForSelector("#state[data-state=running]");
    assert.equal(await page.locator(".notice").count(), 0);
    await until("two are ready", async () => (await tiles(page)).filter(({ state }) => state === "ready").length === 2);
  }));

test("a lost connection is said plainly, and the page goes on by itself", () =>
  onPage(
    async (page) => {
      await agreed(page);
      await page.route("**/status.json", (route) => route.abort());
      await page.waitForSelector("#pulse-dot[data-state=lost]");
      assert.equal(await page.textContent("#pulse"), "Connection lost");
      assert.equal(await page.textContent("#state"), "no answer");
      assert.match(await page.textContent(".notice[data-key=connection]"), /What is shown is from/);
      assert.equal(await page.getAttribute("#main", "data-fresh"), "false");
      await shot(page, "operations-lost");
      await page.unroute("**/status.json");
      await page.waitForSelector("#pulse-dot[data-state=live]");
      assert.equal(await page.locator(".notice").count(), 0);
      await agreed(page);
    },
    { expected: OFFLINE },
  ));

test("a page that nobody sees asks nothing", () =>
  onPage(async (page) => {
    await page.evaluate(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.waitForSelector("#pulse-dot[data-state=paused]");
    /* Those made before are heard of before one more; after it there is none for longer than the page waits between two. */
    const last = page.waitForRequest("**/admin?last");
    await page.evaluate(() => fetch("/admin?last").then((response) => response.text()));
    await last;
    await assert.rejects(page.waitForRequest("**/status.json", { timeout: 3000 }), /Timeout/);
    const asked = page.waitForRequest("**/status.json");
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event("visibilitychange"));
    });
    await asked;
    await page.waitForSelector("#pulse-dot[data-state=live]");
  }));

test("plots have points with their values, under the pointer, the arrow keys and in a table", () =>
  onPage(async (page) => {
    await until(
      "three rows with requests",
      async () => {
        await Promise.all(Array.from({ length: 20 }, () => fetch(`${pool.url}/health/live`).then((r) => r.text())));
        return (await pool.status()).samples.filter(({ requests }) => requests > 0).length >= 3;
      },
      { deadlineMs: 180000 },
    );
    for (const [id, keys] of [
      ["plot-rate", ["rate", "errors"]],
      ["plot-latency", ["p50", "p99"]],
      ["plot-open", ["connections", "streams", "turns"]],
    ]) {
      for (const key of keys)
        await page.waitForSelector(`#${id} .series-${key} :is(.line, .spot)`, { state: "attached" });
      const svg = page.locator(`#${id} .plot-svg`);
      assert.match(await svg.getAttribute("aria-label"), /last 15 minutes\..*now/);
      const labels = await page.locator(`#${id} .axes text`).allTextContents();
      assert.ok(
        labels.some((label) => /^\d\d:\d\d$/.test(label)),
        `times at the axis: ${labels}`,
      );
      assert.ok(labels.length >= 5, `values at the axis: ${labels}`);
      await until("the tip is shown", async () => {
        const box = await svg.boundingBox(); /* it may move while what is above it changes */
        await page.mouse.move(box.x + box.width - 14, box.y + 60);
        return page.isVisible(`#${id} .tip`);
      });
      assert.match(await page.textContent(`#${id} .tip`), /^\d\d:\d\d:\d\d/);
      await page.mouse.move(0, 0);
      await page.waitForSelector(`#${id} .tip`, { state: "hidden" });
      await svg.focus();
      await page.keyboard.press("ArrowLeft");
      assert.match(await page.locator(`#${id} [role=status]`).textContent(), /^\d\d:\d\d:\d\d: /);
      await page.keyboard.press("Escape");
      await page.click(`#${id} summary`);
      const { samples } = await pool.status();
      await until(
        "a row for each sample",
        async () => (await page.locator(`#${id} tbody tr`).count()) >= samples.length,
      );
      await page.click(`#${id} summary`);
    }
    /* What is plotted is what was counted. */
    const { samples, sample_s: sampleS } = await pool.status();
    const { p50_us: p50Us } = samples.filter(({ requests }) => requests > 0).at(-1);
    assert.ok(p50Us > 0 && p50Us < 10e6);
    assert.equal(sampleS, 5);
    await shot(page, "operations-plots");
  }));

test("on a phone everything is there and nothing is wider than the screen", () =>
  onPage(
    async (page) => {
      await agreed(page);
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll("body *")]
          .filter((element) => {
            const box = element.getBoundingClientRect();
            return box.width > 1 && box.right > innerWidth + 1 && !element.closest(".values-scroll, .visually-hidden");
          })
          .map((element) => element.outerHTML.slice(0, 80)),
      );
      assert.deepEqual(wide, []);
      assert.equal(await page.locator(".tile:visible").count(), 2);
      await shot(page, "operations-phone");
    },
    { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true },
  ));

test("landmarks, headings and names are there for a screen reader", () =>
  onPage(async (page) => {
    await agreed(page);
    const known = await accessibilityTree(page);
    for (const role of ["banner", "main", "contentinfo", "meter", "status"])
      assert.ok(
        known.some((node) => node.role === role),
        role,
      );
    assert.deepEqual(await nameless(page), []);
    const headings = known.filter(({ role }) => role === "heading").map(({ name }) => name);
    for (const name of ["Operations", "Requests", "Time to answer", "Workers", "Database pool", "Models", "Crashes"])
      assert.ok(headings.includes(name), `${name} among ${headings}`);
  }));

for (const colorScheme of ["light", "dark"])
  test(`all text has a contrast of at least 4.5 to 1, ${colorScheme}`, () =>
    onPage(
      async (page) => {
        await agreed(page);
        assert.deepEqual(await poorContrasts(page), []);
        await shot(page, `operations-${colorScheme}`);
      },
      { colorScheme },
    ));
