/* What the agent's tools are called in words, and which lists each of them changes. Used by the answer and the board. A tool that is
 * not in the table is still shown, by its name. */

import { formatMoney } from "./money.js";

const TOOLS = {
  add_room: {
    icon: "room",
    doing: "Adding room",
    done: "Added room",
    noun: "room",
    name: (i) => i.name,
    touches: ["rooms", "session"],
  },
  add_task: {
    icon: "task",
    doing: "Adding task",
    done: "Added task",
    noun: "task",
    name: (i) => i.title,
    touches: ["tasks", "session"],
  },
  complete_task: {
    icon: "check",
    doing: "Completing task",
    done: "Completed task",
    noun: "task",
    name: (i) => i.title,
    touches: ["tasks", "session"],
  },
  list_tasks: { icon: "task", doing: "Reading the task list", done: "Read the task list", name: () => "", touches: [] },
  list_rooms: { icon: "room", doing: "Reading the rooms", done: "Read the rooms", name: () => "", touches: [] },
  recommend_product: {
    icon: "product",
    doing: "Suggesting",
    done: "Suggested",
    name: (i) => i.name,
    touches: ["products", "session"],
  },
  update_session: {
    icon: "budget",
    doing: "Updating the project",
    done: "Updated the project:",
    name: sessionChange,
    touches: ["session"],
  },
};

/* The members as the model named them. */
function sessionChange(input) {
  const said = [];
  if (input.title) said.push(`title “${input.title}”`);
  const budget = input.totalBudget ?? input.total_budget ?? input.budget;
  if (budget !== undefined && budget !== null) said.push(`budget ${formatMoney(budget, input.currency) || budget}`);
  return said.join(", ");
}

/* The row a tool answered with, whether it is the whole output or one member of it. */
function rowOf(output) {
  if (!output || typeof output !== "object") return {};
  for (const key of ["room", "task", "product", "session", "row", "result"]) {
    if (output[key] && typeof output[key] === "object") return output[key];
  }
  return output;
}

/* {icon, text, state} for one call; state is "busy", "done" or "failed". */
export function describe({ tool, input, output, errorText, state }) {
  const known = TOOLS[tool];
  const facts = { ...(input && typeof input === "object" ? input : {}) };
  const row = rowOf(output);
  for (const key of ["name", "title"]) if (typeof row[key] === "string") facts[key] = row[key];
  const name = known ? (known.name(facts) ?? "") : "";
  const words = (verb) => (name ? `${verb} ${name}` : verb.replace(/:$/, ""));
  const icon = known?.icon ?? "info";
  if (state === "output-available") return { icon, state: "done", text: known ? words(known.done) : `Used ${tool}` };
  if (state === "output-error" || state === "output-denied") {
    const what = known ? words(known.doing.charAt(0).toLowerCase() + known.doing.slice(1)) : tool;
    return { icon: "warn", state: "failed", text: `Failed: ${what}${errorText ? ` (${errorText})` : ""}` };
  }
  return { icon: "wait", state: "busy", text: `${known ? words(known.doing) : `Using ${tool}`} …` };
}

/* Which of "session", "rooms", "tasks", "products" to read again after a call of this tool. */
export function touchedBy(tool) {
  return TOOLS[tool]?.touches ?? ["session", "rooms", "tasks", "products"];
}
