/* The list of renovations on the left: read, create, rename, delete, and the dialog that asks for what they need. Tells app.js what to
 * open through the address (#/sessions/<id>). Keeps the rows it has read; the server's are the truth. */

import { api, explain, newId } from "./api.js";
import { showBanner } from "./banners.js";
import { $, h, icon, showRows } from "./dom.js";
import { formatMoney, readAmount } from "./money.js";

const CURRENCIES = ["USD", "EUR", "GBP", "CAD", "AUD", "CHF", "INR", "JPY", "MXN", "SEK"];

export class SessionsView {
  /* `onChange(session)`: a row was changed here. */
  constructor({ onChange }) {
    this.onChange = onChange;
    this.rows = [];
    this.cursor = null;
    this.openId = null;
    this.removed = new Set(); /* ids: a list that was asked for before may still name them */
    $("session-new").addEventListener("click", () => this.create());
    $("sessions-more").addEventListener("click", () => this.attempt(() => this.load(true)));
  }

  async load(more = false) {
    const page = await api.get(
      `/api/sessions?limit=50${more && this.cursor ? `&cursor=${encodeURIComponent(this.cursor)}` : ""}`,
    );
    const read = page.data.filter((row) => !this.removed.has(row.id)).map((row) => this.newest(row));
    const known = new Set(read.map((row) => row.id));
    this.rows = more ? [...this.rows.filter((row) => !known.has(row.id)), ...read] : read;
    this.cursor = page.nextCursor;
    this.render();
    return this.rows;
  }

  async read(id) {
    return this.put(await api.get(`/api/sessions/${id}`));
  }

  /* The row as it is known by now: one that was read before the last change, and came after it, is old. */
  newest(row) {
    const here = this.rows.find((known) => known.id === row.id);
    return here && here.version > row.version ? here : row;
  }

  put(row) {
    const newest = this.newest(row);
    const at = this.rows.findIndex((known) => known.id === row.id);
    if (at < 0) this.rows.unshift(newest);
    else this.rows[at] = newest;
    this.render();
    return newest;
  }

  select(id) {
    this.openId = id;
    this.render();
  }

  render() {
    const focused = document.activeElement?.closest?.("#sessions [data-focus]")?.dataset.focus;
    showRows(
      $("sessions"),
      this.rows,
      (row) => JSON.stringify([row, row.id === this.openId]),
      (row) => this.item(row),
    );
    $("sessions-empty").hidden = this.rows.length > 0;
    $("sessions-more").hidden = !this.cursor;
    if (focused) $("sessions").querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  item(row) {
    const facts = [];
    if (row.rooms) facts.push(`${row.rooms} ${row.rooms === 1 ? "room" : "rooms"}`);
    if (row.openTasks) facts.push(`${row.openTasks} open ${row.openTasks === 1 ? "task" : "tasks"}`);
    if (row.totalBudget) facts.push(formatMoney(row.totalBudget, row.currency));
    if (facts.length === 0)
      facts.push(new Date(row.updatedAt).toLocaleDateString(undefined, { day: "numeric", month: "short" }));
    return h(
      "li",
      { class: "session" },
      h(
        "a",
        {
          href: `#/sessions/${row.id}`,
          "aria-current": row.id === this.openId ? "page" : null,
          dataset: { focus: `open-${row.id}` },
        },
        h("span", { class: "session-title", text: row.title }),
        h("span", { class: "session-facts", text: facts.join(" · ") }),
      ),
      h(
        "button",
        {
          class: "icon-button",
          type: "button",
          "aria-label": `Rename ${row.title}`,
          title: "Rename",
          dataset: { focus: `rename-${row.id}` },
          on: { click: () => this.rename(row) },
        },
        icon("pencil"),
      ),
      h(
        "button",
        {
          class: "icon-button",
          type: "button",
          "aria-label": `Delete ${row.title}`,
          title: "Delete",
          dataset: { focus: `delete-${row.id}` },
          on: { click: () => this.remove(row) },
        },
        icon("bin"),
      ),
    );
  }

  async create() {
    const values = await askFor({
      title: "New renovation",
      ok: "Create",
      fields: [
        {
          name: "title",
          label: "What is it about?",
          placeholder: "Kitchen in the old house",
          required: true,
          maxlength: 200,
        },
        { name: "totalBudget", label: "Budget (optional)", placeholder: "15,000", inputmode: "decimal" },
        { name: "currency", label: "Currency", options: CURRENCIES },
      ],
      check: checkBudget,
    });
    if (!values) return;
    await this.attempt(async () => {
      const row = await this.add(values);
      location.hash = `#/sessions/${row.id}`;
    });
  }

  /* Also used for the first question on the start page. However often it is tried with one `key`, it is one session. */
  async add({ title, totalBudget = "", currency = "USD" }, key = newId()) {
    const body = { title, currency };
    if (totalBudget !== "") body.totalBudget = readAmount(totalBudget);
    const row = await api.post("/api/sessions", body, { idempotencyKey: key });
    this.put(row);
    return row;
  }

  async rename(row) {
    const values = await askFor({
      title: "Rename",
      ok: "Rename",
      fields: [{ name: "title", label: "Title", value: row.title, required: true, maxlength: 200 }],
    });
    if (values) await this.change(row, { title: values.title });
  }

  async changeBudget(row) {
    const values = await askFor({
      title: "Budget",
      ok: "Save",
      fields: [
        {
          name: "totalBudget",
          label: "Budget",
          value: row.totalBudget ?? "",
          inputmode: "decimal",
          placeholder: "15,000",
        },
        {
          name: "currency",
          label: "Currency",
          value: row.currency,
          options: [...new Set([row.currency, ...CURRENCIES])],
        },
      ],
      check: checkBudget,
    });
    if (!values) return;
    await this.change(row, {
      totalBudget: values.totalBudget === "" ? null : readAmount(values.totalBudget),
      currency: values.currency,
    });
  }

  async change(row, members) {
    await this.attempt(
      async () => {
        /* Not in the list any more: deleted elsewhere, or beyond what was read again. */
        const { version } = this.rows.find((known) => known.id === row.id) ?? row;
        const changed = await api.patch(`/api/sessions/${row.id}`, members, { version });
        this.put(changed);
        this.onChange(changed);
      },
      () => this.read(row.id).then(this.onChange),
    );
  }

  async remove(row) {
    const sure = await askFor({
      title: `Delete “${row.title}”?`,
      ok: "Delete",
      danger: true,
      text: "Its chat, rooms, tasks and products are deleted as well. This cannot be undone.",
      fields: [],
    });
    if (!sure) return;
    await this.attempt(
      async () => {
        await api.remove(`/api/sessions/${row.id}`);
        this.removed.add(row.id);
        const at = this.rows.findIndex((known) => known.id === row.id);
        const { activeElement } = document;
        const isElsewhere = activeElement !== document.body && !$("sessions").contains(activeElement);
        this.rows = this.rows.filter((known) => known.id !== row.id);
        this.render();
        const next = this.rows[Math.min(at, this.rows.length - 1)];
        if (row.id === this.openId) location.hash = next ? `#/sessions/${next.id}` : "#/";
        if (isElsewhere) return;
        if (next) $("sessions").querySelector(`[data-focus="open-${next.id}"]`)?.focus();
        else $("session-new").focus();
      },
      () => this.load(),
    );
  }

  async attempt(work, refresh = () => {}) {
    try {
      await work();
    } catch (error) {
      showBanner("sessions", { text: explain(error) });
      if (error.status === 412 || error.status === 404) await Promise.resolve(refresh()).catch(() => {});
    }
  }
}

function checkBudget(values) {
  return readAmount(values.totalBudget) === null
    ? { totalBudget: "Write an amount such as 15,000 or 15000.50." }
    : null;
}

/* The page's one dialog. Resolves with the fields' values, or null when it was cancelled; focus goes back to where it was. */
function askFor({ title, text, fields, ok, danger = false, check = () => null }) {
  const dialog = $("dialog");
  const before = document.activeElement?.dataset?.focus;
  const inputs = new Map();
  $("dialog-title").textContent = title;
  $("dialog-ok").textContent = ok;
  $("dialog-ok").className = `button ${danger ? "button-danger" : "button-primary"}`;
  const body = fields.map((field) => {
    const id = `field-${field.name}`;
    const input = field.options
      ? h(
          "select",
          { id, name: field.name },
          field.options.map((option) => h("option", { value: option, text: option })),
        )
      : h("input", {
          id,
          name: field.name,
          type: "text",
          required: field.required,
          maxlength: field.maxlength,
          placeholder: field.placeholder,
          inputmode: field.inputmode,
          autocomplete: "off",
          "aria-describedby": `${id}-error`,
        });
    if (field.value !== undefined) input.value = field.value;
    inputs.set(field.name, input);
    return h(
      "div",
      { class: "field" },
      h("label", { for: id, text: field.label }),
      input,
      h("p", { id: `${id}-error`, class: "field-error" }),
    );
  });
  $("dialog-body").replaceChildren(...(text ? [h("p", { text })] : []), ...body);
  return new Promise((resolve) => {
    const close = (values) => {
      $("dialog-form").onsubmit = null;
      $("dialog-cancel").onclick = null;
      dialog.onclose = null;
      if (dialog.open) dialog.close();
      if (before) $("sessions").querySelector(`[data-focus="${before}"]`)?.focus();
      resolve(values);
    };
    $("dialog-form").onsubmit = (event) => {
      event.preventDefault();
      const values = Object.fromEntries([...inputs].map(([name, input]) => [name, input.value.trim()]));
      const faults = check(values) ?? {};
      for (const field of fields)
        if (field.required && values[field.name] === "") faults[field.name] = "This is needed.";
      for (const [name, input] of inputs) {
        $(`field-${name}-error`).textContent = faults[name] ?? "";
        input.setAttribute("aria-invalid", String(name in faults));
      }
      const first = fields.find((field) => field.name in faults);
      if (first) inputs.get(first.name).focus();
      else close(values);
    };
    $("dialog-cancel").onclick = () => close(null);
    dialog.onclose = () => close(null);
    dialog.showModal();
    (inputs.values().next().value ?? $("dialog-cancel")).focus();
  });
}
