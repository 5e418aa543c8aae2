/* A question on the page: its bubble, and the mark below it that says how it fares. Made and marked by chat.js; knows neither the server
 * nor which conversation it is in. */

import { h } from "./dom.js";

export function questionElement(content) {
  const lines = content.split("\n").flatMap((line, i) => (i ? [h("br"), line] : [line]));
  const element = h(
    "li",
    { class: "message question" },
    h("h3", { class: "who", text: "You" }),
    h("div", { class: "bubble" }, lines),
  );
  element.questionText = content;
  return element;
}

/* `actions`: what the person can do about it, label to function. Without a text there is no mark. */
export function mark(element, text, actions = {}) {
  if (!element) return;
  element.querySelector(".mark")?.remove();
  if (!text) return;
  const buttons = Object.entries(actions).map(([label, run]) =>
    h("button", { class: "link", type: "button", text: label, on: { click: () => run() } }),
  );
  element.append(h("p", { class: "mark" }, h("span", { text }), buttons));
}
