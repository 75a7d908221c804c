// The compounds of one file and what was answered of them: kept in columns, sorted, filtered.

import { AMBER, RED, lightOf } from "./lights.js";

export const WAITING = 0;
export const GOOD = 1;
export const BAD = 2;
const INSIDE = 1;
const JUDGED = 2;
const MEASURED = 4;
const NUMBER = /^\s*[<>=~≤≥]{0,2}\s*([-+]?(\d+([.,]\d+)?|[.,]\d+)(e[-+]?\d+)?)\s*%?\s*$/i;

/** The rows of a file, in its order; a bad one keeps its place. */
export class Compounds {
  /**
   * @param {object} sheet What `readText` found.
   * @param {object[]} tasks The card's endpoints.
   */
  constructor(sheet, tasks) {
    this.sheet = sheet;
    this.tasks = tasks;
    this.n = sheet.rows.length;
    this.states = new Uint8Array(this.n);
    this.selected = new Uint8Array(this.n);
    this.releases = new Set();
    this.answered = 0;
    this._faults = new Map();
    this._releases = new Array(this.n).fill("");
    this._texts = new Array(this.n);
    this._answers = new Map(tasks.map((task) => [task.task, answersFor(this.n)]));
  }

  /** How many rows were refused. */
  get bad() {
    return this._faults.size;
  }

  /** What the row is called: the caller's own name, or its number in the file. */
  name(row) {
    const own = this.sheet.id < 0 ? "" : this.sheet.rows[row][this.sheet.id].trim();
    return own || `${row + 1}`;
  }

  /** The structure as it is asked for and drawn. */
  structure(row) {
    const { blocks, structure, rows } = this.sheet;
    if (blocks) return { molblock: blocks[row] };
    return { smiles: rows[row][structure].trim() };
  }

  /** Which step refused the row's structure and why, or undefined. */
  fault(row) {
    return this._faults.get(row);
  }

  /** Which release answered the row; "" as long as none has. */
  release(row) {
    return this._releases[row];
  }

  /** Takes the answers of the rows from `start` on. */
  take(start, answer) {
    if (answer.release) this.releases.add(answer.release);
    answer.results.forEach((result, i) => {
      this._releases[start + i] = answer.release;
      this._takeOne(start + i, result);
    });
  }

  _takeOne(row, { predictions, error }) {
    this.answered += this.states[row] === WAITING ? 1 : 0;
    this.states[row] = error ? BAD : GOOD;
    if (error) this._faults.set(row, error);
    if (error) return;
    for (const [endpoint, said] of Object.entries(predictions)) this._keep(row, endpoint, said);
  }

  _keep(row, endpoint, said) {
    const held = this._answers.get(endpoint);
    if (!held) return; // a release that came in between has an endpoint more
    const { measured, interval } = said;
    held.predicted[row] = said.value;
    held.value[row] = measured ? measured.value : said.value;
    if (interval) [held.low[row], held.high[row]] = interval;
    const judged = typeof said.inside === "boolean" ? JUDGED | (said.inside ? INSIDE : 0) : 0;
    held.flags[row] = judged | (measured ? MEASURED : 0);
    if (typeof said.similarity === "number") held.similarity[row] = said.similarity;
    if (measured) held.measured.set(row, measured);
  }

  /** Returns what is known of one endpoint of one row, or null. */
  estimate(row, endpoint) {
    const held = this._answers.get(endpoint);
    if (!held || Number.isNaN(held.value[row])) return null;
    const flags = held.flags[row];
    return {
      value: held.value[row],
      predicted: held.predicted[row],
      low: held.low[row],
      high: held.high[row],
      inside: flags & JUDGED ? Boolean(flags & INSIDE) : null,
      similarity: held.similarity[row],
      measured: flags & MEASURED ? held.measured.get(row) : null,
    };
  }

  /** The values of an endpoint, by row; NaN where there is none. */
  values(endpoint) {
    return this._answers.get(endpoint).value;
  }

  _isOutside(row, endpoint) {
    return (this._answers.get(endpoint).flags[row] & (JUDGED | INSIDE | MEASURED)) === JUDGED;
  }

  /** How many answered rows have a light of each colour: [none, red, amber, green]. */
  lights(endpoint, limits) {
    const counts = [0, 0, 0, 0];
    for (const value of this.values(endpoint)) counts[lightOf(limits, value)] += 1;
    return counts;
  }

  /**
   * Returns the rows that pass, in the order asked for.
   *
   * @param {object} filter `text`, `inside`, `lights` ("" or "no_red" or "green"), `selected`,
   *   `bad` ("" or "only" or "none"), `ranges` [{endpoint, from, to}], `shown` endpoints.
   * @param {{column: object|null, down: boolean}} sort The column, `{kind, key}`, and its direction.
   * @param {import("./lights.js").Lights} lights
   */
  view(filter, sort, lights) {
    const tests = this._tests(filter, lights);
    const rows = [];
    for (let row = 0; row < this.n; row++) if (tests.every((test) => test(row))) rows.push(row);
    if (sort.column) rows.sort(this._order(sort));
    return Uint32Array.from(rows);
  }

  _tests({ text, inside, lights: wanted, selected, bad, ranges, shown }, lights) {
    const tests = [];
    if (selected) tests.push((row) => this.selected[row] === 1);
    if (bad === "only") tests.push((row) => this.states[row] === BAD);
    if (bad === "none") tests.push((row) => this.states[row] === GOOD);
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) tests.push((row) => words.every((word) => this._text(row).includes(word)));
    if (inside) {
      tests.push((row) => this.states[row] === GOOD && !shown.some((id) => this._isOutside(row, id)));
    }
    for (const { endpoint, from, to } of ranges) {
      const values = this.values(endpoint);
      if (from !== null) tests.push((row) => values[row] >= from);
      if (to !== null) tests.push((row) => values[row] <= to);
    }
    if (wanted) tests.push(this._lit(wanted, shown, lights));
    return tests;
  }

  _lit(wanted, shown, lights) {
    const judged = shown.map((id) => [this.values(id), lights.limits(id)]).filter(([, limits]) => limits);
    const worst = wanted === "green" ? AMBER : RED;
    return (row) =>
      this.states[row] === GOOD &&
      judged.every(([values, limits]) => {
        const light = lightOf(limits, values[row]);
        return light === 0 || light > worst;
      });
  }

  _text(row) {
    return (this._texts[row] ??= `${row + 1}\n${this.sheet.rows[row].join("\n")}`.toLowerCase());
  }

  _order({ column, down }) {
    const sign = down ? -1 : 1;
    const keys = this._keys(column);
    const less = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    const collator = new Intl.Collator(undefined, { numeric: true });
    return (a, b) => {
      const [x, y] = [keys[a], keys[b]];
      const [noX, noY] = [isMissing(x), isMissing(y)];
      // What has no value stands at the end, whichever way the rest goes; equals keep their order.
      if (noX || noY) return noX - noY || a - b;
      return sign * (typeof x === "string" ? collator.compare(x, y) : less(x, y)) || a - b;
    };
  }

  _keys({ kind, key }) {
    if (kind === "endpoint") return this.values(key);
    const rows = Array.from({ length: this.n }, (_, row) => row);
    if (kind === "row") return rows;
    if (kind === "name") return rows.map((row) => this.name(row));
    const cells = this.sheet.rows.map((row) => row[key].trim());
    const numbers = cells.map(toNumber);
    const filled = cells.filter(Boolean).length;
    const numeric = numbers.filter((value) => !Number.isNaN(value)).length >= 0.8 * filled;
    return numeric ? numbers : cells;
  }
}

function answersFor(n) {
  const column = () => new Float64Array(n).fill(NaN);
  return {
    value: column(),
    predicted: column(),
    low: column(),
    high: column(),
    similarity: new Float32Array(n).fill(NaN),
    flags: new Uint8Array(n),
    measured: new Map(),
  };
}

function isMissing(key) {
  return key === "" || Number.isNaN(key);
}

function toNumber(cell) {
  const found = NUMBER.exec(cell);
  return found ? Number(found[1].replace(",", ".")) : NaN;
}
