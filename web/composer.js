/* The question box under the chat: typing, Enter, Send, Stop, and the ideas of the start page that fill it. Tells chat.js what was asked;
 * keeps nothing but what is being typed. */

import { $, h, icon } from "./dom.js";

const MOST_PX = 220; /* a longer text scrolls */

export class Composer {
  /* `onAsk(text)`: a question, never empty; the box is empty again. `onStop()`: the answer shall end; resolves when it was tried. */
  constructor({ onAsk, onStop }) {
    this.onAsk = onAsk;
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    $("composer-text").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    $("composer-text").addEventListener("input", () => this.fit());
    $("stop").addEventListener("click", async () => {
      if ($("stop").getAttribute("aria-disabled") === "true") return;
      $("stop").setAttribute("aria-disabled", "true"); /* not `disabled`: that would drop the focus */
      await onStop();
      $("stop").removeAttribute("aria-disabled");
    });
  }

  submit() {
    const text = $("composer-text").value.trim();
    if (text === "") return;
    this.put("");
    this.onAsk(text);
  }

  put(text) {
    $("composer-text").value = text;
    this.fit();
  }

  /* Nothing of what is being typed is lost. */
  putBefore(text) {
    const draft = $("composer-text").value.trim();
    this.put(draft === "" ? text : `${text}\n\n${draft}`);
  }

  focus() {
    $("composer-text").focus();
  }

  fit() {
    const box = $("composer-text");
    $("send").disabled = box.value.trim() === "";
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, MOST_PX)}px`;
  }

  /* While an answer is written it can be stopped, and a further question waits. */
  setBusy(busy) {
    /* A focused button must not vanish under the person; on a phone the question box would bring up the keyboard. */
    if (!busy && document.activeElement === $("stop")) {
      $(matchMedia("(pointer: coarse)").matches ? "chat-scroll" : "composer-text").focus();
    }
    $("stop").hidden = !busy;
    $("send-text").textContent = busy ? "Queue" : "Send";
    $("composer-hint").textContent = busy
      ? "You can ask on: questions are answered one after the other."
      : "Enter sends, Shift + Enter starts a new line.";
    this.fit();
  }

  /* Ideas for the start page; a click puts the text into the box, in place of another idea but after words of one's own. */
  suggest(texts) {
    const item = (text) => {
      const take = () => {
        const draft = $("composer-text").value.trim();
        if (draft === "" || texts.includes(draft)) this.put(text);
        else if (!draft.endsWith(text)) this.put(`${draft}\n\n${text}`);
        this.focus();
      };
      const button = h(
        "button",
        { class: "suggestion", type: "button", on: { click: take } },
        icon("room"),
        h("span", { text }),
      );
      return h("li", {}, button);
    };
    $("suggestions").replaceChildren(...texts.map(item));
  }
}
