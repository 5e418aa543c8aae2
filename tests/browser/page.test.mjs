/* The page for everyone: delivery and policy, phone, keyboard, names and landmarks, contrast, reduced motion, text that stays text. Run by
 * ./dev test. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ENDLESS, KITCHEN, SLOW_KITCHEN, server } from "../clients/support.mjs";
import {
  accessibilityTree,
  ask,
  finished,
  nameless,
  poorContrasts,
  shot,
  startBrowser,
  stopBrowser,
  withPage,
  writing,
} from "./support.mjs";

before(startBrowser);
after(stopBrowser);

test("the page and its assets are served with a strict policy and revalidate by ETag", async () => {
  const html = await fetch(`${server}/`, { headers: { Accept: "text/html" } });
  assert.equal(html.status, 200);
  assert.match(html.headers.get("content-type"), /^text\/html; ?charset=utf-8/i);
  const policy = html.headers.get("content-security-policy");
  for (const rule of [
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ])
    assert.ok(policy.includes(rule), rule);
  assert.doesNotMatch(policy, /unsafe/);
  const text = await html.text();
  assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style/i, "nothing inline");
  const paths = [...text.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map((match) => match[1]);
  assert.ok(paths.length >= 10);
  const types = { js: /javascript/, css: /^text\/css/, svg: /^image\/svg\+xml/ };
  for (const path of ["/", ...new Set(paths)]) {
    const first = await fetch(server + path, { headers: { Accept: "text/html,*/*" } });
    assert.equal(first.status, 200, path);
    await first.text();
    if (path !== "/") assert.match(first.headers.get("content-type"), types[path.split(".").at(-1)], path);
    assert.equal(first.headers.get("x-content-type-options"), "nosniff", path);
    const again = await fetch(server + path, {
      headers: { Accept: "text/html,*/*", "If-None-Match": first.headers.get("etag") },
    });
    assert.equal(again.status, 304, path);
  }
  assert.equal((await fetch(`${server}/assets/nothing.js`)).status, 404);
});

test("nothing is loaded from another host", () =>
  withPage(async (page) => {
    const hosts = new Set();
    page.on("request", (request) => request.url().startsWith("data:") || hosts.add(new URL(request.url()).origin));
    await page.reload();
    await ask(page, "Hello");
    await finished(page);
    assert.deepEqual([...hosts], [new URL(server).origin]);
  }));

test("on a phone the panes are tabs and nothing is wider than the screen", () =>
  withPage(
    async (page) => {
      const wide = () =>
        page.evaluate(
          () =>
            document.documentElement.scrollWidth > innerWidth ||
            [...document.querySelectorAll("body *")].some((element) => {
              const box = element.getBoundingClientRect();
              return (
                box.width > 1 &&
                box.right > innerWidth + 1 &&
                getComputedStyle(element).visibility !== "hidden" &&
                !element.closest(".table, pre, .visually-hidden")
              );
            }),
        );
      assert.equal(await wide(), false);
      await shot(page, "phone-start");
      await ask(page, SLOW_KITCHEN);
      await writing(page);
      await shot(page, "phone-working");
      await finished(page);
      assert.equal(await wide(), false);
      assert.equal(await page.isVisible("#pane-board"), false);
      await page.waitForSelector("#tab-news:visible"); /* the tab says that rows have appeared */
      await page.tap("#tabs [data-pane=board]");
      await page.waitForSelector("#rooms .row >> text=/kitchen/i");
      assert.equal(await page.isVisible("#pane-chat"), false);
      assert.equal(await page.isVisible("#tab-news"), false);
      assert.equal(await page.getAttribute("#tabs [data-pane=board]", "aria-current"), "true");
      assert.equal(await wide(), false);
      await shot(page, "phone-project");
      await page.tap("#tabs [data-pane=sessions]");
      assert.equal(await wide(), false);
      await shot(page, "phone-sessions");
      const small = await page
        .locator("button:visible, a:visible")
        .evaluateAll((all) =>
          all
            .filter((element) => element.getBoundingClientRect().height < 28)
            .map((element) => element.outerHTML.slice(0, 80)),
        );
      assert.deepEqual(small, [], "everything is big enough for a finger");
      await page.tap("#sessions a");
      await page.waitForSelector("#pane-chat:visible");
    },
    { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true },
  ));

test("everything can be done with the keyboard, with the focus always to be seen", () =>
  withPage(async (page) => {
    const focused = () =>
      page.evaluate(
        () =>
          document.activeElement.id ||
          document.activeElement.getAttribute("aria-label") ||
          document.activeElement.textContent.trim().slice(0, 40),
      );
    /* The page puts the focus there once it has read what there is: not after our click. */
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    await page.mouse.click(680, 2);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Shift+Tab");
    assert.match(await focused(), /Skip to the question box/);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    await page.keyboard.type("A small bath");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type(ENDLESS);
    await page.keyboard.press("Enter");
    await writing(page);
    assert.match(await page.textContent(".question"), /A small bath/);
    await page.keyboard.press("Tab");
    assert.equal(await focused(), "stop");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".answer[data-state=stopped]");
    await page.waitForFunction(() => document.activeElement.id === "composer-text");
    await page.mouse.click(680, 2);
    const seen = [];
    for (let i = 0; i < 30; i++) {
      await page.keyboard.press("Tab");
      const now = await page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return null;
        const style = getComputedStyle(element);
        const box = element.getBoundingClientRect();
        return {
          name: element.id || element.getAttribute("aria-label") || element.textContent.trim().slice(0, 40),
          outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
          shown: box.width > 0 && box.height > 0 && style.opacity !== "0",
        };
      });
      if (!now) break;
      seen.push(now);
    }
    for (const stop of seen) assert.ok(stop.outlined && stop.shown, JSON.stringify(stop));
    for (const name of ["session-new", "composer-text", "budget-edit"])
      assert.ok(
        seen.some((stop) => stop.name === name),
        `${name} among ${seen.map((stop) => stop.name).join(", ")}`,
      );
    await page.focus("#sessions button[aria-label^=Rename]");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.name === "title");
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement.getAttribute("aria-label")?.startsWith("Rename"));
  }));

test("landmarks, headings, names and roles are there for a screen reader", () =>
  withPage(async (page) => {
    await ask(page, KITCHEN);
    await finished(page);
    await page.waitForSelector("#tasks .row");
    const known = await accessibilityTree(page);
    for (const role of ["banner", "main", "navigation", "complementary", "log"])
      assert.ok(
        known.some((node) => node.role === role),
        role,
      );
    assert.deepEqual(await nameless(page), [], "without a name");
    const look = () =>
      page.evaluate(() => {
        const found = [];
        const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
        for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push(`id ${id} twice`);
        for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
          for (const element of document.querySelectorAll(`[${name}]`)) {
            for (const id of element.getAttribute(name).split(/\s+/))
              if (!document.getElementById(id) && !element.closest("[hidden], dialog:not([open])"))
                found.push(`${name}="${id}" leads nowhere`);
          }
        }
        if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
        if (document.documentElement.lang !== "en") found.push("no language");
        for (const image of document.images) if (!image.hasAttribute("alt")) found.push("image without alt");
        let level = 1;
        for (const heading of document.querySelectorAll("main h1, main h2, main h3, main h4, main h5, main h6")) {
          if (heading.closest("[hidden]")) continue;
          const now = Number(heading.tagName[1]);
          if (now > level + 2) found.push(`heading ${heading.textContent} jumps to ${now}`);
          level = now;
        }
        for (const list of document.querySelectorAll("ul, ol"))
          for (const child of list.children) if (child.tagName !== "LI") found.push("a list with something else in it");
        if (document.querySelector("#announcer").getAttribute("aria-live") !== "polite")
          found.push("answers are not announced");
        if (document.querySelector("#messages").getAttribute("aria-live") !== "off")
          found.push("every token is announced");
        return found;
      });
    assert.deepEqual(await look(), []);
    await page.click("#session-new");
    assert.deepEqual(await look(), [], "with the dialog open");
    assert.deepEqual(await nameless(page), [], "in the dialog");
    const inDialog = await accessibilityTree(page);
    for (const name of ["What is it about?", "Budget (optional)", "Currency"])
      assert.ok(
        inDialog.some((node) => node.name === name && node.role !== "LabelText"),
        name,
      );
  }));

for (const colorScheme of ["light", "dark"]) {
  test(`all text has a contrast of at least 4.5 to 1, ${colorScheme}`, () =>
    withPage(
      async (page) => {
        await ask(page, KITCHEN);
        await finished(page);
        await page.waitForSelector("#tasks .row");
        await page.locator("#tasks input").first().check();
        await ask(page, ENDLESS);
        await writing(page);
        const poor = await poorContrasts(page);
        await shot(page, colorScheme);
        assert.deepEqual(poor, []);
        await page.click("#stop");
        await page.waitForSelector(".answer[data-state=stopped]");
      },
      { colorScheme },
    ));
}

test("who wants less motion gets none", () =>
  withPage(
    async (page) => {
      await ask(page, ENDLESS);
      await writing(page);
      assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
      await page.click("#stop");
      await page.waitForSelector(".answer[data-state=stopped]");
    },
    { reducedMotion: "reduce" },
  ));

test("what people or the model write stays text", () =>
  withPage(async (page) => {
    await ask(page, '<img src=x onerror="window.harmed=1"> **bold** <script>window.harmed=1</script>');
    await finished(page);
    assert.equal(
      await page.textContent(".question .bubble"),
      '<img src=x onerror="window.harmed=1"> **bold** <script>window.harmed=1</script>',
    );
    assert.equal(await page.locator(".message img, .message script").count(), 0);
    const made = await page.evaluate(async () => {
      const { update } = await import("/assets/markdown.js");
      const show = (text) => {
        const element = document.createElement("div");
        update(element, text);
        return element.innerHTML;
      };
      return {
        harm: show("<img src=x onerror=alert(1)> [a](javascript:alert(1)) [b](data:text/html,x) `<b>` **<i>x</i>**"),
        link: show('See [the shop](https://example.com/a?b=1&c="2) or https://example.org/x.'),
        blocks: show(
          '# Plan\n\nOne **bold** and *soft* and `code`.\nSame paragraph.\n\n1. first\n2. second\n   - deeper\n\n```js\nlet a = "<b>";\n```\n\n> quoted\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n---',
        ),
        price: show("It costs 2 * 3 * 4 and snake_case_name stays."),
      };
    });
    assert.equal(
      made.harm,
      "<p>&lt;img src=x onerror=alert(1)&gt; [a](javascript:alert(1)) [b](data:text/html,x) <code>&lt;b&gt;</code> <strong>&lt;i&gt;x&lt;/i&gt;</strong></p>",
    );
    assert.match(
      made.link,
      /<a href="https:\/\/example\.com\/a\?b=1&amp;c=%222" target="_blank" rel="noopener noreferrer nofollow">the shop<\/a>/,
    );
    assert.match(made.link, /<a href="https:\/\/example\.org\/x"[^>]*>https:\/\/example\.org\/x<\/a>\./);
    assert.equal(
      made.blocks,
      "<h4>Plan</h4><p>One <strong>bold</strong> and <em>soft</em> and <code>code</code>. Same paragraph.</p>" +
        '<ol><li>first</li><li>second<ul><li>deeper</li></ul></li></ol><pre tabindex="0"><code>let a = "&lt;b&gt;";</code></pre><blockquote><p>quoted</p></blockquote>' +
        '<div class="table" tabindex="0" role="region" aria-label="Table"><table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></div><hr>',
    );
    assert.equal(made.price, "<p>It costs 2 * 3 * 4 and snake_case_name stays.</p>");
  }));

test("an event stream is read the same however it is cut", () =>
  withPage(async (page) => {
    const same = await page.evaluate(async () => {
      const { EventDecoder } = await import("/assets/sse.js");
      const text =
        '\ufeff: hello\r\nretry: 250\r\nid: t.1\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata:x\n\nid: t.2\rdata: é😀\r\r: c\n\nid\ndata\n\nevent: y\ndata: last\n\ndata: cut off';
      const read = (pieces) => {
        const decoder = new EventDecoder();
        return JSON.stringify([pieces.flatMap((piece) => decoder.push(piece)), decoder.retryMs, decoder.lastEventId]);
      };
      const whole = read([text]);
      const different = [];
      for (let i = 0; i <= text.length; i++) if (read([text.slice(0, i), text.slice(i)]) !== whole) different.push(i);
      if (read([...text]) !== whole) different.push("each");
      return { whole: JSON.parse(whole), different };
    });
    assert.deepEqual(same.different, []);
    assert.deepEqual(same.whole, [
      [
        { data: '{"a":\n1}', id: "t.1" },
        { data: "x", id: "t.1" },
        { data: "é😀", id: "t.2" },
        { data: "", id: "" },
        { data: "last", id: "" },
      ],
      250,
      "",
    ]);
  }));

test("money is added and read to the cent", () =>
  withPage(async (page) => {
    const read = await page.evaluate(async () => {
      const { readAmount, parseCents, formatDecimal, formatMoney, timesQuantity } = await import("/assets/money.js");
      return {
        amounts: ["", "15,000", "15 000.50", "€1.234.567", "12,5", "12.345", "abc", "-5", "90071992547409.93"].map(
          readAmount,
        ),
        tiles: formatDecimal(timesQuantity(parseCents("32.33"), 13.2)),
        sum: formatDecimal(parseCents("90071992547409.93") + parseCents("0.07")),
        shown: [formatMoney("15000.00", "USD"), formatMoney("99.90", "USD"), formatMoney("5", "XXZ9")],
      };
    });
    assert.deepEqual(read.amounts, ["", "15000.00", "15000.50", null, "12.50", null, null, null, "90071992547409.93"]);
    assert.equal(read.tiles, "426.76");
    assert.equal(read.sum, "90071992547410.00");
    assert.deepEqual(read.shown, ["$15,000", "$99.90", "5.00 XXZ9"]);
  }));
