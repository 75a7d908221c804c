// Asks predict for the rows of a file, piece by piece; a piece that is refused is halved until the
// one row that is at fault stands alone.

import { WAITING } from "./compounds.js";

const PIECE = 200;
const AT_ONCE = 2; // one is computed while the other travels
const TRIES = 8;
const PAUSE_S = 2;

/**
 * Predicts every row that has no answer yet.
 *
 * @param {import("./compounds.js").Compounds} compounds Takes the answers.
 * @param {(path: string, body: object, options: object) => Promise<object>} post
 * @param {{signal: AbortSignal, onPiece: () => void}} watch `onPiece` is called after each piece.
 * @throws The first problem that is no single row's fault, or an `AbortError`.
 */
export async function askAll(compounds, post, { signal, onPiece }) {
  const starts = unanswered(compounds);
  const work = async () => {
    while (starts.length) {
      const start = starts.shift();
      const rows = rowsFrom(start, Math.min(PIECE, compounds.n - start));
      await askSome(compounds, rows, post, signal);
      onPiece();
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    starts.length = 0; // where one piece failed, the other line ends after the piece it is at
  }
}

// A call that was broken off goes on here: what is answered is not asked again.
function unanswered({ n, states }) {
  const starts = [];
  for (let start = 0; start < n; start += PIECE) {
    if (states.subarray(start, start + PIECE).includes(WAITING)) starts.push(start);
  }
  return starts;
}

function rowsFrom(start, count) {
  return Array.from({ length: count }, (_, i) => start + i);
}

async function askSome(compounds, rows, post, signal) {
  const structures = rows.map((row) => compounds.structure(row));
  try {
    const answer = await patiently(() => post("/v1/predict", { structures }, { signal }), signal);
    compounds.take(rows[0], answer);
  } catch (problem) {
    if (problem.status !== 413 && problem.status !== 422) throw problem;
    if (rows.length === 1) {
      const error = { step: problem.code, cause: problem.message };
      compounds.take(rows[0], { release: [...compounds.releases][0] ?? "", results: [{ error }] });
      return;
    }
    const half = rows.length >> 1;
    await askSome(compounds, rows.slice(0, half), post, signal);
    await askSome(compounds, rows.slice(half), post, signal);
  }
}

async function patiently(ask, signal) {
  for (let left = TRIES; ; left--) {
    try {
      return await ask();
    } catch (problem) {
      const later = problem.status === 503 || problem.status === 429;
      if (!later || left <= 1) throw problem;
      await pause(1000 * (problem.retryAfter || PAUSE_S), signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
