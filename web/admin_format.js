/* Numbers, spans of time and moments as the operations page writes them, and two helpers that change the page only where something is new,
 * so that nothing flickers. Pure but for those. */

const whole = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export const number = (n) => whole.format(n);
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/* Three significant digits at most: 0.2, 12.3, 456. */
export function brief(n) {
  if (n === 0) return "0";
  if (n < 0.01) return n.toFixed(3);
  if (n < 1) return String(Number(n.toFixed(2)));
  if (n < 100) return String(Number(n.toFixed(1)));
  return number(Math.round(n));
}

export function micros(us) {
  if (us < 1000) return us === 0 ? "0 ms" : `${brief(us / 1000)} ms`;
  if (us < 1e6) return `${brief(us / 1000)} ms`;
  return `${brief(us / 1e6)} s`;
}

/* A span of time with at most two units. */
export function duration(ms) {
  if (ms < 9950) return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(" ");
}

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${brief(n)} ${units[unit]}`;
}

export const timeOfDay = (ms) => clock.format(ms);
export const timeWithSeconds = (ms) => clockSeconds.format(ms);

/* "14:03:22", with the day when it was another one. */
export function moment(ms, nowMs) {
  const sameDay = new Date(ms).toDateString() === new Date(nowMs).toDateString();
  return sameDay ? clockSeconds.format(ms) : `${day.format(ms)} ${clockSeconds.format(ms)}`;
}

export const ago = (ms, nowMs) => `${duration(Math.max(0, nowMs - ms))} ago`;

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/* Children of `parent`, one an item, kept from one update to the next by their key. `make(item)` gives a new element, `fill(element, item)`
 * brings it up to date. */
export class KeyedList {
  constructor(parent, make, fill) {
    this.parent = parent;
    this.make = make;
    this.fill = fill;
    this.elements = new Map();
  }

  update(items, keyOf) {
    const keys = new Set(items.map(keyOf));
    for (const [key, element] of this.elements) {
      if (keys.has(key)) continue;
      element.remove();
      this.elements.delete(key);
    }
    let place = this.parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      let element = this.elements.get(key);
      if (!element) {
        element = this.make(item);
        this.elements.set(key, element);
      }
      if (element === place) place = place.nextElementSibling;
      else this.parent.insertBefore(element, place);
      this.fill(element, item);
    }
  }
}
