/* The project pane on the right: budget, rooms, tasks and products of the open session, read again when the agent's tools have changed
 * them. Tasks are completed and reopened here, products chosen or put aside. Rows that are new since the last look are marked for a
 * moment. Reads only what it was told has changed. */

import { api, explain } from "./api.js";
import { showBanner, hideBanner } from "./banners.js";
import { $, h, icon, safeUrl, showRows } from "./dom.js";
import { formatMoney, parseCents, timesQuantity } from "./money.js";

const LISTS = ["rooms", "tasks", "products"];
const SETTLE_MS = 80; /* several tools of one step end at nearly the same time: one look for all */

export class BoardView {
  /* `readSession(id)` reads the session's row and shows it in the list; `onNews()`: rows have appeared. */
  constructor({ readSession, editBudget, onNews }) {
    this.readSession = readSession;
    this.onNews = onNews;
    this.session = null;
    this.stale = new Set();
    this.timer = 0;
    this.changes = new Map(); /* row id to its last change under way */
    this.asked = 0; /* counts the reads: an answer that comes after that of a later one is old */
    this.taken = new Map(); /* name of a list to the newest read that it is from */
    $("budget-edit").addEventListener("click", () => this.session && editBudget(this.session));
  }

  async open(session) {
    clearTimeout(this.timer);
    this.stale.clear();
    this.session = session;
    const rows = (this.rows = { rooms: [], tasks: [], products: [] });
    this.seen = null;
    this.render();
    if (session) await this.read(LISTS);
    if (this.rows !== rows) return; /* opened anew meanwhile */
    this.seen = new Set(LISTS.flatMap((name) => this.rows[name].map((row) => row.id)));
  }

  /* What a tool has touched; names as in tools.js. */
  touch(names) {
    for (const name of names) this.stale.add(name);
    clearTimeout(this.timer);
    if (this.stale.size === 0) return;
    this.timer = setTimeout(() => {
      const wanted = [...this.stale];
      this.stale.clear();
      this.read(wanted);
    }, SETTLE_MS);
  }

  refresh() {
    if (this.session) this.touch(["session", ...LISTS]);
  }

  async read(names) {
    const session = this.session;
    const mine = ++this.asked;
    if (!session) return;
    try {
      const reads = names.map(async (name) => {
        if (name === "session") {
          const row = await this.readSession(session.id);
          if (this.session?.id === session.id) this.session = row;
        } else {
          const rows = await api.all(`/api/sessions/${session.id}/${name}`);
          if (this.session?.id === session.id) this.takeRows(name, rows, mine);
        }
      });
      await Promise.all(reads);
      if (this.session?.id !== session.id) return;
      hideBanner("board");
      this.render();
    } catch (error) {
      if (this.session?.id === session.id) {
        showBanner("board", { text: explain(error), action: { label: "Read again", run: () => this.refresh() } });
      }
    }
  }

  /* Rows just read, unless newer ones are here. A row that is being changed, or was since it was read, stays as it is. */
  takeRows(name, rows, read) {
    if (read < (this.taken.get(name) ?? 0)) return;
    this.taken.set(name, read);
    const known = new Map(this.rows[name].map((row) => [row.id, row]));
    this.rows[name] = rows.map((row) => {
      const here = known.get(row.id);
      return here && (this.changes.has(row.id) || here.version > row.version) ? here : row;
    });
  }

  /* The session's row was changed elsewhere in the page. */
  take(session) {
    if (this.session?.id !== session.id) return;
    this.session = session;
    this.render();
  }

  render() {
    const focused = document.activeElement?.closest?.("#board [data-focus]")?.dataset.focus;
    $("board").hidden = !this.session;
    $("board-empty").hidden = Boolean(this.session);
    if (!this.session) return;
    this.renderBudget();
    this.list("rooms", (row) => this.room(row), "No rooms yet.");
    this.list("tasks", (row) => this.task(row), "No tasks yet.");
    this.list("products", (row) => this.product(row), "No products yet.");
    const open = this.rows.tasks.filter((row) => row.status !== "done" && row.status !== "cancelled").length;
    $("rooms-count").textContent = this.rows.rooms.length || "";
    $("tasks-count").textContent = this.rows.tasks.length ? `${open} open` : "";
    $("products-count").textContent = this.rows.products.length || "";
    if (focused) $("board").querySelector(`[data-focus="${focused}"]`)?.focus();
    this.tellNews();
  }

  list(name, item, none) {
    const keyOf = (row) => JSON.stringify([row, this.session.currency, this.roomOf(row)?.name]);
    const make = (row) => {
      const element = item(row);
      element.dataset.id = row.id;
      return element;
    };
    for (const element of showRows($(name), this.rows[name], keyOf, make)) {
      if (this.seen && !this.seen.has(element.dataset.id)) element.dataset.fresh = "true";
      else delete element.dataset.fresh;
    }
    if (this.rows[name].length === 0) $(name).append(h("li", { class: "none", text: none }));
  }

  roomOf(row) {
    return row.roomId && this.rows.rooms.find((known) => known.id === row.roomId);
  }

  tellNews() {
    if (!this.seen) return;
    const fresh = LISTS.map((name) => [name, this.rows[name].filter((row) => !this.seen.has(row.id))]).filter(
      ([, rows]) => rows.length > 0,
    );
    if (fresh.length === 0) return;
    $("board-status").textContent = fresh.map(([name, rows]) => `${rows.length} new in ${name}`).join(", ");
    for (const [, rows] of fresh) for (const row of rows) this.seen.add(row.id);
    this.onNews();
  }

  renderBudget() {
    const { totalBudget, currency } = this.session;
    const total = totalBudget === null || totalBudget === undefined ? null : parseCents(totalBudget);
    const sums = { accepted: 0n, proposed: 0n };
    let others = 0;
    for (const row of this.rows.products) {
      const cents = parseCents(row.price);
      if (cents === null || !(row.status in sums)) continue;
      if (row.currency && row.currency !== currency) others++;
      else sums[row.status] += timesQuantity(cents, row.quantity);
    }
    const sum = sums.accepted + sums.proposed;
    const lines = [
      h(
        "p",
        { class: "budget-total" },
        total === null ? h("span", { class: "quiet", text: "Not set yet" }) : formatMoney(total, currency),
      ),
    ];
    if (sum > 0n) {
      if (total !== null && total > 0n) {
        const permille = Number((sum * 1000n) / total);
        lines.push(
          h("progress", {
            max: "1000",
            value: Math.min(1000, permille),
            "aria-label": "Share of the budget that products take",
            class: sum > total ? "over" : "",
          }),
        );
      }
      lines.push(
        h(
          "p",
          { class: "budget-line" },
          h("span", { text: "Products" }),
          h("span", { text: formatMoney(sum, currency) }),
        ),
      );
      if (sums.accepted > 0n)
        lines.push(
          h(
            "p",
            { class: "budget-line" },
            h("span", { text: "of these chosen" }),
            h("span", { text: formatMoney(sums.accepted, currency) }),
          ),
        );
      if (total !== null) {
        const left = total - sum;
        lines.push(
          h(
            "p",
            { class: `budget-line ${left < 0n ? "budget-over" : ""}` },
            h("span", { text: left < 0n ? "Over the budget by" : "Left" }),
            h("span", { text: formatMoney(left < 0n ? -left : left, currency) }),
          ),
        );
      }
    }
    if (others > 0) lines.push(h("p", { class: "quiet", text: `${others} in another currency not counted` }));
    $("budget").replaceChildren(...lines);
    $("budget-edit").setAttribute("aria-label", "Change the budget");
  }

  room(row) {
    const facts = [];
    if (row.kind && row.kind.toLowerCase() !== row.name.toLowerCase()) facts.push(row.kind.replace(/_/g, " "));
    if (row.lengthM && row.widthM) facts.push(`${plain(row.lengthM)} × ${plain(row.widthM)} m`);
    else if (row.areaM2) facts.push(`${plain(row.areaM2)} m²`);
    if (row.budget) facts.push(formatMoney(row.budget, this.session.currency));
    return h(
      "li",
      { class: "row" },
      icon("room"),
      h(
        "div",
        { class: "row-main" },
        h("p", { class: "row-title", text: row.name }),
        facts.length > 0 && h("p", { class: "quiet", text: facts.join(" · ") }),
      ),
    );
  }

  task(row) {
    const done = row.status === "done";
    const id = `task-${row.id}`;
    const box = h("input", {
      id,
      type: "checkbox",
      checked: done,
      disabled: row.status === "cancelled",
      dataset: { focus: id },
      on: { change: () => this.setTask(row, box.checked) },
    });
    const facts = [];
    if (row.dueAt)
      facts.push(`due ${new Date(row.dueAt).toLocaleDateString(undefined, { day: "numeric", month: "short" })}`);
    if (row.status === "in_progress") facts.push("in progress");
    if (row.status === "cancelled") facts.push("cancelled");
    const room = this.roomOf(row);
    if (room) facts.push(room.name);
    return h(
      "li",
      { class: "row row-task", dataset: { done: String(done || row.status === "cancelled") } },
      box,
      h(
        "div",
        { class: "row-main" },
        h("label", { class: "row-title", for: id, text: row.title }),
        facts.length > 0 && h("p", { class: "quiet", text: facts.join(" · ") }),
      ),
    );
  }

  async setTask(row, done) {
    const made = await this.change("tasks", row, { status: done ? "done" : "open" }, `/api/tasks/${row.id}`);
    if (made) $("board-status").textContent = `${row.title}: ${done ? "done" : "open again"}`;
  }

  /* Shows the change at once, then what the server made of it; takes it back when that failed. A further change of the row waits for the
   * version that this one makes. Resolves with whether it was made. */
  async change(name, row, members, path) {
    const put = (changed) => {
      this.rows[name] = this.rows[name].map((known) => (known.id === row.id ? changed : known));
      this.render();
    };
    const make = ({ stored }) =>
      api.patch(path, members, { version: stored.version }).then(
        (made) => ({ stored: made }),
        (error) => ({ stored, error }),
      );
    const change = (this.changes.get(row.id) ?? Promise.resolve({ stored: row })).then(make);
    this.changes.set(row.id, change);
    put({ ...row, ...members });
    const { stored, error } = await change;
    if (this.changes.get(row.id) === change) {
      this.changes.delete(row.id);
      put(stored);
    }
    if (error) {
      showBanner("change", { text: explain(error) });
      if (error.status === 412 || error.status === 404) this.touch([name]);
    } else {
      hideBanner("change");
      this.touch(["session"]);
    }
    return !error;
  }

  product(row) {
    const url = row.url ? safeUrl(row.url) : null;
    const title = url
      ? h(
          "a",
          {
            class: "row-title",
            href: url.href,
            target: "_blank",
            rel: "noopener noreferrer nofollow",
            dataset: { focus: `product-link-${row.id}` },
          },
          row.name,
          icon("link"),
          h("span", { class: "visually-hidden", text: " (opens in a new tab)" }),
        )
      : h("p", { class: "row-title", text: row.name });
    const facts = [];
    if (row.vendor) facts.push(row.vendor);
    if (row.category) facts.push(row.category.replace(/_/g, " "));
    const cents = parseCents(row.price);
    const currency = row.currency ?? this.session.currency;
    const several = row.quantity !== null && row.quantity !== undefined && Number(row.quantity) !== 1;
    if (several)
      facts.push(
        cents === null ? `${plain(row.quantity)} pieces` : `${plain(row.quantity)} × ${formatMoney(cents, currency)}`,
      );
    const choose = (status, label, text) =>
      h("button", {
        class: "button button-small",
        type: "button",
        "aria-pressed": String(row.status === status),
        "aria-label": `${label} ${row.name}`,
        text,
        dataset: { focus: `product-${status}-${row.id}` },
        on: {
          click: () =>
            this.change(
              "products",
              row,
              { status: row.status === status ? "proposed" : status },
              `/api/products/${row.id}`,
            ),
        },
      });
    return h(
      "li",
      { class: "row row-product", dataset: { status: row.status } },
      icon("product"),
      h(
        "div",
        { class: "row-main" },
        h(
          "div",
          { class: "row-top" },
          title,
          cents !== null &&
            h("span", { class: "price", text: formatMoney(timesQuantity(cents, row.quantity), currency) }),
        ),
        facts.length > 0 && h("p", { class: "quiet", text: facts.join(" · ") }),
        row.rationale && h("p", { class: "rationale", text: row.rationale }),
        h(
          "div",
          { class: "row-buttons" },
          choose("accepted", "Choose", row.status === "accepted" ? "Chosen" : "Choose"),
          choose("rejected", "Put aside", row.status === "rejected" ? "Put aside" : "Not this"),
        ),
      ),
    );
  }
}

/* "4.00" to "4", "3.50" to "3.5". */
function plain(number) {
  return String(Number(number));
}
