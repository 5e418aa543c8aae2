/* Money as the API has it: decimal strings beside a currency. Sums are made in whole cents with BigInt, so that no budget is ever
 * off by a rounding error. Used by the board and the sessions list. Parses and formats only. */

/* "1234.5" to 123450n; null for anything that is not a decimal amount. */
export function parseCents(text) {
  const match = /^(-?)(\d+)(?:\.(\d{1,2})\d*)?$/.exec(String(text ?? "").trim());
  if (!match) return null;
  const cents = BigInt(match[2]) * 100n + BigInt((match[3] ?? "").padEnd(2, "0"));
  return match[1] ? -cents : cents;
}

/* Price times quantity ("13.2" or 13.2, to a thousandth), rounded half up to a cent. */
export function timesQuantity(cents, quantity) {
  const thousandths = BigInt(Math.round(Number(quantity ?? 1) * 1000));
  return (cents * thousandths + 500n) / 1000n;
}

/* 123450n to "1234.50", the form the API takes. */
export function formatDecimal(cents) {
  const positive = cents < 0n ? -cents : cents;
  return `${cents < 0n ? "-" : ""}${positive / 100n}.${String(positive % 100n).padStart(2, "0")}`;
}

/* What a person types ("15,000", "15 000.50", "€15000") to the API's form; "" when empty, null when it is no amount. */
export function readAmount(typed) {
  const text = typed.replace(/[\s\u00a0\u202f'’$€£¥]/g, "");
  if (text === "") return "";
  const comma = /,\d{1,2}$/.test(text) && !text.includes(".") ? text.replace(",", ".") : text.replace(/,/g, "");
  const cents = /^\d+(\.\d{1,2})?$/.test(comma) ? parseCents(comma) : null;
  return cents === null ? null : formatDecimal(cents);
}

/* For people: with the currency, and without cents when there are none. */
export function formatMoney(text, currency) {
  const cents = typeof text === "bigint" ? text : parseCents(text);
  if (cents === null) return "";
  const digits = cents % 100n === 0n ? 0 : 2;
  try {
    const format = new Intl.NumberFormat(undefined, {
      style: "currency",
      currency: currency || "USD",
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    return format.format(formatDecimal(cents));
  } catch {
    return `${formatDecimal(cents)} ${currency ?? ""}`.trim();
  }
}
