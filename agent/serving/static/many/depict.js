// Pictures of structures for the rows that are in sight: the newest asked for is drawn first.

const KEPT = 600;
const AHEAD = 2; // in the worker's hands at once; the rest can still be called off

/** Draws by a worker, and keeps the last pictures. */
export class Depict {
  constructor(width, height) {
    this._size = { width, height };
    this._worker = null;
    this._urls = new Map();
    this._wanted = [];
    this._waiting = new Map();
  }

  /** Returns the picture's address, null where there is none, or undefined until `onDone` says. */
  url(key, structure, onDone) {
    if (this._urls.has(key)) {
      const url = this._urls.get(key);
      this._urls.delete(key);
      this._urls.set(key, url); // now the youngest
      return url;
    }
    if (!this._waiting.has(key) && !this._wanted.some((one) => one.key === key)) {
      this._wanted.push({ key, what: "picture", structure, onDone });
      this._next();
    }
    return undefined;
  }

  /** Forgets what nobody looks at any more. */
  keepOnly(keys) {
    this._wanted = this._wanted.filter((one) => keys.has(one.key) || one.what === "smiles");
  }

  /** Returns the SMILES of a molblock, or null. */
  smiles(structure) {
    return new Promise((onDone) => {
      this._wanted.unshift({ key: Symbol("smiles"), what: "smiles", structure, onDone });
      this._next();
    });
  }

  close() {
    this._worker?.terminate();
    this._worker = null;
    for (const url of this._urls.values()) if (url) URL.revokeObjectURL(url);
    this._urls.clear();
  }

  _next() {
    while (this._wanted.length && this._waiting.size < AHEAD) {
      const job = this._wanted.pop();
      const ticket = (this._ticket = (this._ticket ?? 0) + 1);
      this._waiting.set(ticket, job);
      this._started().postMessage({
        key: ticket, what: job.what, structure: job.structure, ...this._size,
      });
    }
  }

  _started() {
    if (!this._worker) {
      this._worker = new Worker("/static/many/draw.js", { type: "module" });
      this._worker.addEventListener("message", ({ data }) => this._take(data));
    }
    return this._worker;
  }

  _take({ key: ticket, answer }) {
    const job = this._waiting.get(ticket);
    this._waiting.delete(ticket);
    if (job.what === "smiles") {
      job.onDone(answer);
    } else {
      const url = answer && URL.createObjectURL(new Blob([answer], { type: "image/svg+xml" }));
      this._urls.set(job.key, url);
      job.onDone(job.key, url);
      this._forgetOldest();
    }
    this._next();
  }

  _forgetOldest() {
    if (this._urls.size <= KEPT) return;
    const [key, url] = this._urls.entries().next().value;
    this._urls.delete(key);
    if (url) URL.revokeObjectURL(url);
  }
}
