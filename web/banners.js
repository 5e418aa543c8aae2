/* The strip of notices under the header: errors with what to do about them, and the note that the simulator answers. One notice a key:
 * a second one replaces the first. Used by every view. */

import { $, h, icon } from "./dom.js";

const shown = new Map();

/* kind: "error" or "note". `action` is {label, run}. Notices without `sticky` can be closed. */
export function showBanner(key, { kind = "error", text, action = null, sticky = false }) {
  const banner = h(
    "div",
    { class: `banner banner-${kind}`, role: kind === "error" ? "alert" : "status", dataset: { key } },
    icon(kind === "error" ? "warn" : "info"),
    h("p", { text }),
    action &&
      h("button", {
        class: "button button-small",
        type: "button",
        text: action.label,
        on: {
          click: () => {
            hideBanner(key);
            action.run();
          },
        },
      }),
    !sticky &&
      h(
        "button",
        {
          class: "icon-button",
          type: "button",
          "aria-label": "Close this notice",
          on: { click: () => hideBanner(key) },
        },
        icon("close"),
      ),
  );
  shown.get(key)?.remove();
  shown.set(key, banner);
  $("banners").append(banner);
}

export function hideBanner(key) {
  shown.get(key)?.remove();
  shown.delete(key);
}
