/* A small, safe Markdown: paragraphs, headings, lists, quotes, tables, fenced code, and bold, emphasis, code and web links within.
 * Text becomes elements through the DOM alone, so that nothing the model or a person wrote can become markup. While an answer streams,
 * update() keeps the elements of blocks that did not change. Does not try to be CommonMark. */

import { h, safeUrl } from "./dom.js";

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const BULLET = /^(\s*)(?:[-*+•])\s+(.*)$/;
const NUMBER = /^(\s*)(\d{1,9})[.)]\s+(.*)$/;
const RULE = /^\s{0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^\s{0,3}>\s?(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)+\|?\s*$/;

/* Cuts text into blocks {kind, lines}; a block's lines are its identity while streaming. */
export function splitBlocks(text) {
  const blocks = [];
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let open = null;
  const begin = (kind, line) => {
    open = { kind, lines: [line] };
    blocks.push(open);
  };
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const fence = FENCE.exec(line);
    if (fence) {
      begin("code", line);
      while (
        ++i < lines.length &&
        !(lines[i].trim().startsWith(fence[1]) && lines[i].trim().replace(/[`~]/g, "") === "")
      ) {
        open.lines.push(lines[i]);
      }
      open = null;
      continue;
    }
    if (line.trim() === "") {
      /* A list goes on over one empty line when another item or an indented line follows. */
      const next = lines[i + 1] ?? "";
      if (open?.kind === "list" && (BULLET.test(next) || NUMBER.test(next) || /^\s{2,}\S/.test(next))) continue;
      open = null;
      continue;
    }
    if (HEADING.test(line)) {
      begin("heading", line);
      open = null;
    } else if (RULE.test(line)) {
      begin("rule", line);
      open = null;
    } else if (BULLET.test(line) || NUMBER.test(line)) {
      if (open?.kind === "list") open.lines.push(line);
      else begin("list", line);
    } else if (QUOTE.test(line)) {
      if (open?.kind === "quote") open.lines.push(line);
      else begin("quote", line);
    } else if (open?.kind === "table") {
      open.lines.push(line);
    } else if (line.includes("|") && TABLE_RULE.test(lines[i + 1] ?? "")) {
      begin("table", line);
    } else if (open && (open.kind === "paragraph" || open.kind === "list" || open.kind === "quote")) {
      open.lines.push(line);
    } else {
      begin("paragraph", line);
    }
  }
  return blocks;
}

const INLINE = [
  { pattern: /(`+)([\s\S]*?[^`])\1(?!`)/, make: (m) => h("code", { text: m[2].replace(/^ (.*) $/, "$1") }) },
  { pattern: /\*\*(?=\S)([\s\S]*?\S)\*\*/, make: (m) => h("strong", {}, inline(m[1])) },
  { pattern: /(?<![\w_])__(?=\S)([\s\S]*?\S)__(?![\w_])/, make: (m) => h("strong", {}, inline(m[1])) },
  { pattern: /(?<![\w*])\*(?=[^\s*])([^*]*?[^\s*])\*(?![\w*])/, make: (m) => h("em", {}, inline(m[1])) },
  { pattern: /(?<![\w_])_(?=[^\s_])([^_]*?[^\s_])_(?![\w_])/, make: (m) => h("em", {}, inline(m[1])) },
  { pattern: /\[([^\]\n]{1,300})\]\(([^\s()]{1,2000})\)/, make: (m) => link(m[2], inline(m[1]), m[0]) },
  { pattern: /https?:\/\/[^\s<>()"'`\]]+[^\s<>()"'`\].,;:!?]/, make: (m) => link(m[0], [m[0]], m[0]) },
];

function link(address, content, source) {
  const url = safeUrl(address);
  return url ? h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" }, content) : source;
}

/* One run of text to nodes: the earliest match of any rule wins, what is before it is plain. */
export function inline(text) {
  const nodes = [];
  let rest = text;
  while (rest !== "") {
    let best = null;
    for (const rule of INLINE) {
      const match = rule.pattern.exec(rest);
      if (match && (best === null || match.index < best.match.index)) best = { rule, match };
    }
    if (!best) break;
    if (best.match.index > 0) nodes.push(rest.slice(0, best.match.index));
    nodes.push(best.rule.make(best.match));
    rest = rest.slice(best.match.index + best.match[0].length);
  }
  if (rest !== "") nodes.push(rest);
  return nodes;
}

function paragraph(lines) {
  const nodes = [];
  lines.forEach((line, i) => {
    if (i > 0) nodes.push(/ {2,}$|\\$/.test(lines[i - 1]) ? h("br") : " ");
    nodes.push(...inline(line.trim().replace(/\\$/, "")));
  });
  return nodes;
}

/* Items by indentation; a deeper item opens a list in the one before it. */
function list(lines) {
  const root = { indent: -1, element: null };
  const stack = [root];
  let first = null;
  for (const line of lines) {
    const bullet = BULLET.exec(line);
    const number = bullet ? null : NUMBER.exec(line);
    if (!bullet && !number) {
      stack.at(-1).item?.append(" ", ...inline(line.trim()));
      continue;
    }
    const indent = (bullet ?? number)[1].replace(/\t/g, "    ").length;
    while (stack.length > 1 && stack.at(-1).indent > indent) stack.pop();
    let top = stack.at(-1);
    if (top === root || indent > top.indent + 1) {
      const element = number ? h("ol", number[2] === "1" ? {} : { start: number[2] }) : h("ul");
      if (top.item) top.item.append(element);
      first ??= element;
      top = { indent, element, item: null };
      stack.push(top);
    }
    top.item = h("li", {}, inline(bullet ? bullet[2] : number[3]));
    top.element.append(top.item);
  }
  return first;
}

function table(lines) {
  const cells = (line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => cell.trim());
  const head = cells(lines[0]);
  const body = lines.slice(2).map(cells);
  return h(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, inline(cell))),
        ),
      ),
      h(
        "tbody",
        {},
        body.map((row) =>
          h(
            "tr",
            {},
            head.map((_, i) => h("td", {}, inline(row[i] ?? ""))),
          ),
        ),
      ),
    ),
  );
}

function build({ kind, lines }) {
  switch (kind) {
    case "code":
      return h("pre", { tabindex: "0" }, h("code", { text: lines.slice(1).join("\n") }));
    case "heading": {
      const match = HEADING.exec(lines[0]);
      return h(`h${Math.min(6, match[1].length + 3)}`, {}, inline(match[2]));
    }
    case "rule":
      return h("hr");
    case "list":
      return list(lines);
    case "quote":
      return h("blockquote", {}, h("p", {}, paragraph(lines.map((line) => QUOTE.exec(line)?.[1] ?? line))));
    case "table":
      return lines.length < 2 ? h("p", {}, paragraph(lines)) : table(lines);
    default:
      return h("p", {}, paragraph(lines));
  }
}

/* Makes `element` show `text`, touching only the blocks that changed since the last call. */
export function update(element, text) {
  const blocks = splitBlocks(text);
  blocks.forEach((block, i) => {
    const source = `${block.kind}\n${block.lines.join("\n")}`;
    const shown = element.children[i];
    if (shown && shown.markdownSource === source) return;
    const made = build(block);
    made.markdownSource = source;
    if (shown) shown.replaceWith(made);
    else element.append(made);
  });
  while (element.children.length > blocks.length) element.lastElementChild.remove();
}
