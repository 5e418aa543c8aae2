/* What the browser tests share: one headless Chromium, a page with its own owner whose every fault is collected (exceptions, console
 * errors, violations of the content security policy), a proxy that can cut connections, screenshots outside the repository. */

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { server, until } from "../clients/support.mjs";

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
    timeout: 180000,
    env: { PATH: process.env.PATH, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home, LANG: "C.UTF-8" },
  });
}

export async function stopBrowser() {
  await browser?.close();
  if (home) rmSync(home, { recursive: true, force: true });
  if (failed) console.log(`screenshots are in ${shots}`);
  else if (!process.env.SCREENSHOT_DIR) rmSync(shots, { recursive: true, force: true });
}

/* Opens the page as a new owner and waits for `ready`. `use(page)` does the test; afterwards no fault may have been seen but those that `expected` matches. */
export async function withPage(
  use,
  { at = "/", base = server, expected = null, ready = "#connection[data-state=live]", ...context } = {},
) {
  const made = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: "en-US", ...context });
  made.setDefaultTimeout(60000);
  const page = await made.newPage();
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
    await page.waitForSelector(ready);
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
    const shown = await page.evaluate(() => `${location.href}\n${document.body.innerText}`).catch(() => "nothing");
    error.message += `\nThe page showed: ${shown.slice(0, 3000)}\nIts console: ${faults.join("\n") || "nothing"}`;
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

export const finished = (page, count = 1, timeout = 120000) =>
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

/* The requests whose path matches `path` get no answer until what this returns is called. */
export async function hold(page, path, method = "GET") {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  await page.route(path, async (route) => {
    if (route.request().method() !== method) return route.fallback();
    await released;
    return route.fallback();
  });
  return release;
}

/* Keeps the requests whose path matches `path` for the test to answer: {next(): the route of the next one, count(): how many came}. */
export async function keep(page, path, method = "GET") {
  const routes = [];
  let taken = 0;
  await page.route(path, (route) => (route.request().method() === method ? routes.push(route) : route.fallback()));
  return {
    next: () => until("the request came", () => taken < routes.length && routes[taken++]),
    count: () => routes.length,
  };
}

/* How a server that is busy answers, and what the browser's console says of it. */
export const BUSY = { status: 503, contentType: "application/problem+json", body: "{}" };
export const BUSY_CONSOLE = /status of 503/;

/* What the console says of requests that find no server. */
export const OFFLINE = /net::ERR_|Failed to load resource/;

/* Resolves when all requests that the page had made before have reached the routes of the test: one more comes after them. */
export const requested = (page) => page.evaluate(() => fetch("/health/live").then((response) => response.text()));

/* A renovation that the page does not know of: its row. */
export async function renovation(page, title) {
  await page.waitForSelector("#sessions-empty", { state: "attached" });
  await page.waitForFunction(() => document.cookie.includes("renovationd_page"));
  const response = await page.context().request.post(`${server}/api/sessions`, { data: { title } });
  assert.equal(response.status(), 201);
  return response.json();
}

/* Opens a renovation, or the start page, through the address, and waits until the page has gone there. */
export async function go(page, row) {
  await page.evaluate(
    (hash) => {
      location.hash = hash;
    },
    row ? `#/sessions/${row.id}` : "#/",
  );
  await titled(page, row?.title ?? "Renovation planner");
}

export const titled = (page, title) =>
  page.waitForFunction((text) => document.querySelector("#chat-title").textContent === text, title);

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

/* Texts with less than 4.5 to 1 against what is below them, at a moment in which nothing fades or moves. */
export async function poorContrasts(page) {
  return page.evaluate(async () => {
    const moving = () =>
      document
        .getAnimations()
        .filter(({ effect, playState }) => playState !== "finished" && effect.getTiming().iterations !== Infinity);
    /* What is taken away while it moves never comes to its end. */
    for (let now = moving(); now.length > 0; now = moving())
      await Promise.allSettled(now.map((animation) => animation.finished));
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const ground = (element) => {
      const layers = [];
      for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
      return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const light = (color) => {
      const [r, g, b] = color.map((value) =>
        value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (
        node.textContent.trim() === "" ||
        !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) ||
        element.closest(".visually-hidden, .who, dialog, noscript")
      )
        continue;
      const below = ground(element);
      const style = getComputedStyle(element);
      const text = over(rgba(element instanceof SVGElement ? style.fill : style.color), below);
      const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5)
        found.push(
          `${ratio.toFixed(2)} ${element.className || element.tagName}: ${node.textContent.trim().slice(0, 40)}`,
        );
    }
    return found;
  });
}

/* What a screen reader is given: [{role, name}]. */
export async function accessibilityTree(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  await session.detach();
  return nodes
    .filter((node) => !node.ignored)
    .map((node) => ({ role: node.role?.value, name: node.name?.value ?? "" }));
}

/* Roles that need a name. */
const NAMED = [
  "button",
  "link",
  "textbox",
  "checkbox",
  "combobox",
  "navigation",
  "complementary",
  "main",
  "region",
  "progressbar",
  "meter",
  "image",
  "dialog",
];

/* Those of them that have none. */
export const nameless = async (page) =>
  (await accessibilityTree(page)).filter(({ role, name }) => NAMED.includes(role) && name.trim() === "");
