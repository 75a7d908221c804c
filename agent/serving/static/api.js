// Every request of the page goes through here: to this server alone, with the token if there is one.

const TOKEN = "onggi.token";
const TOKEN_CODES = new Set(["token_missing", "token_unknown", "token_expired", "token_revoked"]);

/** An answer that is no result; `message` is the server's sentence. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter; // seconds, or null
  }
}

/**
 * Returns the client. `askToken(problem)` resolves to a new token, or to null if the person gives up;
 * however many requests meet the same refusal, it is asked once. A request with `quiet` never asks:
 * what the page wants to know by itself must not open a dialog.
 */
export function client(askToken) {
  let asking = null;

  /** Sends one request and returns its Response; throws a Problem where that is none of 2xx. */
  async function request(path, { quiet = false, ...options } = {}) {
    for (;;) {
      const used = token();
      const response = await send(path, options, used);
      if (response.ok) return response;
      const problem = await problemOf(response);
      if (quiet || response.status !== 401 || !TOKEN_CODES.has(problem.code)) throw problem;
      if (token() !== used) continue; // somebody gave a new one meanwhile
      asking ??= askToken(problem).finally(() => { asking = null; });
      const given = await asking;
      if (given === null) throw problem;
      keepToken(given);
    }
  }

  return {
    request,
    get: async (path, options = {}) => (await request(path, options)).json(),
    post: async (path, body, options = {}) => (await request(path, {
      ...options,
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", ...options.headers },
    })).json(),
    delete: (path, options = {}) => request(path, { ...options, method: "DELETE" }),
    hasToken: () => token() !== "",
    forgetToken: () => sessionStorage.removeItem(TOKEN),
  };
}

/** Keeps a token until the tab is closed. */
export function keepToken(text) {
  sessionStorage.setItem(TOKEN, text);
}

function token() {
  return sessionStorage.getItem(TOKEN) ?? "";
}

async function send(path, options, bearer) {
  const headers = new Headers(options.headers);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  try {
    return await fetch(path, { ...options, headers, credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The server does not answer; check the network, then try again.");
  }
}

async function problemOf(response) {
  const after = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  let said = {};
  try {
    said = await response.json();
  } catch {
    // a proxy's own page: its status must do
  }
  const detail = said.detail ?? `The server answered ${response.status}.`;
  return new Problem(response.status, said.code ?? "unknown", detail, Number.isNaN(after) ? null : after);
}
