/* Calls to the JSON API: one function a verb, errors as Problem, the anonymous owner made when there is none. The owner lives in an
 * HttpOnly cookie that this page cannot read and need not; nothing is stored here. Does not know what the rows mean. */

/* An answer that is not 2xx, in the API's one error shape, or the lack of an answer (code "unreachable", status 0). */
export class Problem extends Error {
  constructor({ status, code, message, retryAfterMs = null, errors = [], requestId = null, body = null }) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.errors = errors;
    this.requestId = requestId;
    this.body = body;
  }
}

/* Tells who listens ("up", "down") how the last exchange went; connection.js shows it. */
export const reachability = new EventTarget();

function report(state) {
  reachability.dispatchEvent(new CustomEvent(state));
}

/* Seconds or an HTTP date, as RFC 9110 section 10.2.3 has it. */
export function retryAfterMs(response) {
  const value = response.headers.get("Retry-After");
  if (!value) return null;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? null : Math.max(0, at - Date.now());
}

export async function problemOf(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    /* A proxy's HTML page, or nothing: the status has to do. */
  }
  return new Problem({
    status: response.status,
    code: body?.code ?? `http_${response.status}`,
    message: body?.detail ?? body?.error ?? `The server answered ${response.status}.`,
    retryAfterMs: retryAfterMs(response),
    errors: body?.errors ?? [],
    requestId: body?.requestId ?? response.headers.get("X-Request-Id"),
    body,
  });
}

/* fetch that turns a missing answer into a Problem and reports whether the server was there. Aborts pass through unchanged. */
export async function call(path, init = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", redirect: "error", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    report("down");
    throw new Problem({ status: 0, code: "unreachable", message: "The server cannot be reached." });
  }
  report("up");
  return response;
}

let minting = null;

/* The owner's cookie cannot be seen from here, so a plain one goes beside it that says only that there is one: both are kept and
 * cleared together, and the first visit needs no refused request to find out. */
const MARK = "renovationd_page=1";

function ownerExpected() {
  return document.cookie.split("; ").includes(MARK);
}

/* A new anonymous owner; requests that find out together share one. */
function mintOwner() {
  minting ??= (async () => {
    const response = await call("/api/anonymous", { method: "POST" });
    if (!response.ok) throw await problemOf(response);
    await response.body?.cancel();
    document.cookie = `${MARK}; Path=/; Max-Age=31536000; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`;
  })().finally(() => {
    minting = null;
  });
  return minting;
}

/* One exchange as the owner. When there is no owner yet, or its cookie has expired, one is made and the exchange repeated, once. */
export async function ownedCall(path, init = {}) {
  if (minting || !ownerExpected()) await mintOwner();
  const response = await call(path, init);
  if (response.status !== 401) return response;
  await response.body?.cancel();
  await mintOwner();
  return call(path, init);
}

async function exchange(method, path, { body, version, idempotencyKey, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const response = await ownedCall(path, {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return null;
  return response.json();
}

export const api = {
  get: (path, options) => exchange("GET", path, options),
  post: (path, body, options) => exchange("POST", path, { ...options, body }),
  patch: (path, body, options) => exchange("PATCH", path, { ...options, body }),
  remove: (path, options) => exchange("DELETE", path, options),

  /* Every row of a list, page by page, at most `most` rows. */
  async all(path, { most = 500, signal } = {}) {
    const rows = [];
    let cursor = null;
    do {
      const join = path.includes("?") ? "&" : "?";
      const page = await exchange(
        "GET",
        `${path}${join}limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
        { signal },
      );
      rows.push(...page.data);
      cursor = page.nextCursor;
    } while (cursor && rows.length < most);
    return rows;
  },
};

/* An id that nobody else makes. Not crypto.randomUUID: browsers keep that from pages that came over plain HTTP from another machine. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/* What a person should read and do about an error. */
export function explain(problem) {
  const seconds = problem.retryAfterMs ? Math.max(1, Math.round(problem.retryAfterMs / 1000)) : null;
  const wait =
    seconds === null ? "in a moment" : seconds < 90 ? `in ${seconds} s` : `in ${Math.round(seconds / 60)} minutes`;
  switch (problem.code) {
    case "unreachable":
      return "The server cannot be reached. Check your connection; what you typed is kept.";
    case "too_many_queued":
      return "Enough questions are waiting already. Let one be answered first, or remove one.";
    case "turn_in_progress":
      return "An answer is still being written. Stop it, or wait until it is done.";
    case "model_unavailable":
      return `The language model is not available right now. Try again ${wait}.`;
    case "quota_exceeded":
      return `Your allowance is used up. Try again ${wait}.`;
    case "rate_limited":
      return `That was too fast. Try again ${wait}.`;
  }
  if (problem.status === 412)
    return "This was changed elsewhere in the meantime. The newest state is shown now; try again.";
  if (problem.status === 404) return "This is no longer there. It may have been deleted elsewhere.";
  if (problem.status === 503) return `The server is busy or restarting. Try again ${wait}.`;
  if (problem.status >= 500) {
    return `Something went wrong on the server. Try again${problem.requestId ? `; if it stays, report request ${problem.requestId}` : ""}.`;
  }
  return problem.message;
}
