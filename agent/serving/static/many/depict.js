// Pictures of structures for the rows that are in sight: the newest asked for is drawn first.

const KEPT = 200; // bitmaps, 150 kB each on a sharp screen
const WANTED = 100; // what was scrolled past long ago is not drawn any more
const AHEAD = 2; // in the worker's hands at once
const MOST_SHARP = 2;

/** Draws by a worker, and keeps the last pictures. */
export class Depict {
  constructor(width, height) {
    this._size = { width, height };
    this._worker = null;
    this._ticket = 0;
    this._pictures = new Map();
    this._wanted = [];
    this._waiting = new Map();
  }

  /**
   * Returns a row's picture, an ImageBitmap; null where there is none, or undefined until `onDone(row,
   * picture)` comes.
   */
  picture(row, structure, onDone) {
    if (this._pictures.has(row)) {
      const picture = this._pictures.get(row);
      this._pictures.delete(row);
      this._pictures.set(row, picture); // now the youngest
      return picture;
    }
    this._wanted = this._wanted.filter((one) => one.row !== row);
    this._wanted.push({ row, what: "picture", structure, onDone });
    if (this._wanted.length > WANTED) this._wanted.splice(this._wanted.findIndex(({ what }) => what === "picture"), 1);
    this._next();
    return undefined;
  }

  /** Returns the SMILES of a structure, or null. */
  smiles(structure) {
    return new Promise((onDone) => {
      this._wanted.unshift({ row: -1, what: "smiles", structure, onDone });
      this._next();
    });
  }

  /** Forgets everything: other compounds come. */
  close() {
    this._worker?.terminate();
    this._worker = null;
    for (const picture of this._pictures.values()) picture?.close();
    this._pictures.clear();
    this._waiting.clear();
    this._wanted = [];
  }

  _next() {
    while (this._wanted.length && this._waiting.size < AHEAD) {
      const job = this._wanted.pop();
      const key = (this._ticket += 1);
      this._waiting.set(key, job);
      const sharp = Math.min(MOST_SHARP, Math.max(1, window.devicePixelRatio));
      this._started().postMessage({ key, what: job.what, structure: job.structure, sharp, ...this._size });
    }
  }

  _started() {
    if (!this._worker) {
      const worker = new Worker("/static/many/draw.js", { type: "module" });
      worker.addEventListener("message", ({ data }) => worker === this._worker && this._take(data));
      this._worker = worker;
    }
    return this._worker;
  }

  _take({ key, answer }) {
    const job = this._waiting.get(key);
    this._waiting.delete(key);
    if (job.what === "smiles") {
      job.onDone(answer);
    } else {
      this._pictures.get(job.row)?.close();
      this._pictures.set(job.row, answer);
      job.onDone(job.row, answer);
      this._forgetOldest();
    }
    this._next();
  }

  _forgetOldest() {
    if (this._pictures.size <= KEPT) return;
    const [row, picture] = this._pictures.entries().next().value;
    this._pictures.delete(row);
    picture?.close();
  }
}
