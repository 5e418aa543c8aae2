/* What the browser tests share: one headless Chromium, a page with its own owner whose every fault is collected (exceptions, console
 * errors, violations of the content security policy), a proxy that can cut connections, screenshots outside the repository. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { server } from "../clients/support.mjs";

/* The packages are installed beside the client tests, once for both. */
const { chromium } = createRequire(new URL("../clients/package.json", import.meta.url))("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

/* Without a folder of the caller's the pictures are thrown away, unless a test fails. */
const shots = process.env.SCREENSHOT_DIR ?? mkdtempSync(join(tmpdir(), "renovationd-screenshots-"));
mkdirSync(shots, { recursive: true });
let failed = false;

let browser = null;
let home = null;

/* The browser gets a profile and a home of its own (playwright makes the profile, fresh each time). */
export async function startBrowser() {
  home = mkdtempSync(join(tmpdir(), "renovationd-browser-"));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
    env: { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, LANG: "C.UTF-8" },
  });
}

export async function stopBrowser() {
  await browser?.close();
  if (home) rmSync(home, { recursive: true, force: true });
  if (failed) console.log(`screenshots are in ${shots}`);
  else if (!process.env.SCREENSHOT_DIR) rmSync(shots, { recursive: true, force: true });
}

/* Opens the page as a new owner. `use(page)` does the test; afterwards no fault may have been seen but those that `expected` matches. */
export async function withPage(use, { at = "/", base = server, expected = null, ...context } = {}) {
  const made = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: "en-US", ...context });
  const page = await made.newPage();
  page.setDefaultTimeout(20000);
  const faults = [];
  page.on("pageerror", (error) => faults.push(`exception: ${error.stack}`));
  page.on(
    "console",
    (message) =>
      ["error", "warning"].includes(message.type()) &&
      faults.push(`${message.type()}: ${message.text()} ${message.location().url}`),
  );
  await made.addInitScript(() => {
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  try {
    await page.goto(base + at);
    await page.waitForSelector("#connection[data-state=live]");
    await use(page, made);
    assert.deepEqual(await page.evaluate(() => window.violations), [], "violations of the content security policy");
    assert.deepEqual(
      faults.filter((fault) => !expected?.test(fault)),
      [],
      "console errors and exceptions",
    );
  } catch (error) {
    failed = true;
    await page.screenshot({ path: join(shots, `failed-${Date.now()}.png`) }).catch(() => {});
    throw error;
  } finally {
    await made.close();
  }
}

export const shot = (page, name) => page.screenshot({ path: join(shots, `${name}.png`) });

export async function ask(page, text) {
  await page.fill("#composer-text", text);
  await page.press("#composer-text", "Enter");
}

/* The text of the last answer as shown. */
export const answerText = (page) => page.locator(".answer").last().locator(".answer-body").innerText();

export const finished = (page, count = 1, timeout = 60000) =>
  page.waitForFunction(
    (n) =>
      document.querySelectorAll(".answer:not([data-state=streaming])").length >= n &&
      document.querySelectorAll(".answer[data-state=streaming]").length === 0,
    count,
    { timeout },
  );

/* Waits until an answer is being written and shows some text. */
export const writing = (page) =>
  page.waitForFunction(() => {
    const prose = document.querySelector(".answer[data-state=streaming] .prose");
    return prose && prose.textContent.trim().length > 20;
  });

/* Letters and digits alone, without the numbers of list items (those are not in the page's text): how rendered text and stored Markdown
 * are compared. */
export const letters = (text) => text.replace(/^\s*\d+[.)]\s/gm, "").replace(/[^\p{L}\p{N}]/gu, "");

/* The open session's rows, read with the page's own cookie. */
export async function stored(page) {
  return page.evaluate(async () => {
    const id = location.hash.split("/").at(-1);
    const read = async (path) => (await fetch(path)).json();
    const [session, messages, rooms, tasks, products] = await Promise.all([
      read(`/api/sessions/${id}`),
      read(`/api/sessions/${id}/messages?limit=100&order=asc`),
      read(`/api/sessions/${id}/rooms`),
      read(`/api/sessions/${id}/tasks`),
      read(`/api/sessions/${id}/products`),
    ]);
    return { session, messages: messages.data, rooms: rooms.data, tasks: tasks.data, products: products.data };
  });
}

/* A TCP proxy to the server: cut() drops every connection at once, refuse(true) answers none until refuse(false). */
export async function startProxy() {
  const target = new URL(server);
  const sockets = new Set();
  let refusing = false;
  const proxy = net.createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = net.connect(Number(target.port || 80), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    refuse: (yes) => {
      refusing = yes;
    },
    close: () => {
      sockets.forEach((socket) => socket.destroy());
      return new Promise((resolve) => proxy.close(resolve));
    },
  };
}
