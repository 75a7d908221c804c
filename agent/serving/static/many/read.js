// Reads what a chemist drops: CSV, TSV, SMI, SDF or pasted lines, into rows of their own columns.

export const MOST_ROWS = 10000;
const SAMPLE = 50; // rows that decide which column holds the structures
const STRUCTURE_NAMES =
  /^((canonical|isomeric|parent|standardized|std|rdkit)?[ _-]?smiles|smi|structure|molecule|mol|cxsmiles|구조|구조식|스마일스|스마일즈)$/i;
const ID_NAMES =
  /^(id|name|code|no|compound([ _-]?(id|name|code|no))?|cmpd.*|cpd.*|mol(ecule)?[ _-]?(id|name)|.*[ _-]id|화합물.*|번호|이름|명칭|코드)$/i;

/** A file that cannot be read; `code` names its text, `values` fill it. */
export class Unreadable extends Error {
  constructor(code, values = {}) {
    super(code);
    this.code = code;
    this.values = values;
  }
}

/**
 * Turns a file's bytes into text: UTF-8 or UTF-16 where they are valid, else the code page of Korean
 * Windows, in which Excel writes its CSV there.
 */
export function decode(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("euc-kr").decode(bytes);
  }
}

/**
 * Reads delimited text (RFC 4180, and what Excel makes of it): quotes, doubled quotes, line breaks
 * within quotes. Blank lines are left out.
 */
export function records(text, delimiter) {
  const rows = [];
  let row = [];
  let at = 0;
  let line = 1;
  const finish = () => {
    if (row.length > 1 || row[0] !== "") rows.push(row);
    row = [];
  };
  while (at < text.length) {
    let cell;
    if (text[at] === '"') {
      const opened = line;
      [cell, at] = quoted(text, at + 1, opened);
      line += breaks(cell);
    } else {
      cell = "";
    }
    const end = endOfCell(text, at, delimiter);
    cell += text.slice(at, end);
    row.push(cell);
    at = end;
    if (text[at] === delimiter) {
      at += 1;
      if (at === text.length) row.push("");
      continue;
    }
    if (text[at] === "\r" && text[at + 1] === "\n") at += 1;
    at += 1;
    line += 1;
    finish();
  }
  if (row.length) finish();
  return rows;
}

function quoted(text, start, line) {
  let cell = "";
  for (let at = start; ; ) {
    const end = text.indexOf('"', at);
    if (end < 0) throw new Unreadable("open_quote", { line });
    cell += text.slice(at, end);
    if (text[end + 1] !== '"') return [cell, end + 1];
    cell += '"';
    at = end + 2;
  }
}

function endOfCell(text, start, delimiter) {
  let at = start;
  while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") at++;
  return at;
}

function breaks(text) {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** Finds what divides the cells: what is found equally often, and at all, in the first lines. */
export function delimiterOf(text) {
  const lines = text.slice(0, 100_000).split(/\r?\n|\r/).filter(Boolean).slice(0, 20);
  let best = "";
  let most = 0;
  for (const mark of ["\t", ",", ";"]) {
    const counts = lines.map((line) => line.replace(/"[^"]*"/g, "").split(mark).length - 1);
    const least = Math.min(...counts);
    if (lines.length && least > most) [best, most] = [mark, least];
  }
  if (best) return best;
  // Ragged lines: whichever the head line has most of.
  const head = lines[0] ?? "";
  const found = ["\t", ",", ";"].map((mark) => [head.split(mark).length, mark]);
  const [count, mark] = found.sort((a, b) => b[0] - a[0])[0];
  return count > 1 ? mark : "";
}

const TOKEN =
  /\[[^\[\]\s]{1,40}\]|Br?|Cl?|[NOPSFIbcnops*]|%\d\d|\d|[-=#$:~\/\\.()]/y;

/** Tells whether a text is written like a SMILES: atoms, balanced brackets, every ring closed. */
export function looksLikeSmiles(text) {
  let depth = 0;
  let atoms = 0;
  const open = new Set();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) return false;
    if (token === "(") depth++;
    else if (token === ")") depth--;
    else if (/^(%\d\d|\d)$/.test(token)) open.delete(token) || open.add(token);
    else if (/^[\[A-Za-z*]/.test(token)) atoms++;
    if (depth < 0) return false;
  }
  return atoms > 0 && depth === 0 && open.size === 0;
}

/**
 * Reads the text of a file.
 *
 * @param {string} text Its content.
 * @param {string} name Its name, or "" of pasted lines.
 * @returns {{kind: string, columns: string[], rows: string[][], blocks: string[]|null, total: number,
 *   structure: number, id: number, sure: boolean}} At most `MOST_ROWS` rows of `total`; the columns of
 *   structures and names by number, -1 where there is none; `sure` is false where a person must choose.
 * @throws {Unreadable} `empty` or `open_quote`.
 */
export function readText(text, name) {
  const clean = text.replace(/^\uFEFF/, "");
  if (!clean.trim()) throw new Unreadable("empty");
  const ending = name.toLowerCase().split(".").pop();
  if (/^(sdf|sd|mol)$/.test(ending) || /^M {2}END/m.test(clean)) return readSdf(clean);
  if (/^(smi|smiles|ism|can)$/.test(ending)) return readLines(clean);
  const delimiter = delimiterOf(clean);
  const first = clean.split(/\r?\n|\r/, 1)[0].trim();
  if (!delimiter || (!name && looksLikeSmiles(first.split(/\s/, 1)[0]) && delimiter !== ",")) {
    return readLines(clean);
  }
  return readTable(records(clean, delimiter));
}

function readTable(all) {
  const width = Math.max(...all.map((row) => row.length));
  for (const row of all) while (row.length < width) row.push("");
  const shares = shareOfSmiles(all.slice(1), width);
  // Without a head its first row holds structures, too; "b" and "c" over columns are names.
  const heads = all[0].map((cell) => cell.trim()).filter((_, i) => shares[i] >= 0.8);
  const headless = heads.some((cell) => cell.length > 1) && heads.every(looksLikeSmiles);
  const columns = headless
    ? all[0].map((_, i) => `${i + 1}`)
    : all[0].map((cell, i) => cell.trim() || `${i + 1}`);
  const body = headless ? all : all.slice(1);
  if (!body.length) throw new Unreadable("empty");
  const found = structureColumn(columns, headless ? shareOfSmiles(body, width) : shares);
  const rows = body.slice(0, MOST_ROWS);
  const id = idColumn(columns, rows, found.structure);
  return { kind: "csv", columns, rows, blocks: null, total: body.length, id, ...found };
}

function shareOfSmiles(rows, width) {
  const sample = rows.slice(0, SAMPLE);
  return Array.from({ length: width }, (_, column) => {
    const cells = sample.map((row) => (row[column] ?? "").trim()).filter(Boolean);
    return cells.length ? cells.filter(looksLikeSmiles).length / cells.length : 0;
  });
}

function structureColumn(columns, shares) {
  const named = columns.flatMap((name, i) => (STRUCTURE_NAMES.test(name.trim()) ? [i] : []));
  const fit = named.filter((i) => shares[i] >= 0.5);
  if (fit.length === 1) return { structure: fit[0], sure: true };
  const alike = shares.flatMap((share, i) => (share >= 0.8 ? [i] : []));
  if (alike.length === 1) return { structure: alike[0], sure: true };
  const best = shares.indexOf(Math.max(...shares));
  return { structure: fit[0] ?? alike[0] ?? named[0] ?? best, sure: false };
}

function idColumn(columns, rows, structure) {
  const named = columns.findIndex((name, i) => i !== structure && ID_NAMES.test(name.trim()));
  if (named >= 0) return named;
  return columns.findIndex((_, i) => {
    const cells = rows.slice(0, SAMPLE).map((row) => row[i]);
    return i !== structure && cells.every(Boolean) && new Set(cells).size === cells.length;
  });
}

function readLines(text) {
  const lines = text.split(/\r?\n|\r/).filter((line) => line.trim());
  const pairs = lines.map((line) => {
    const [, smiles, name] = /^\s*(\S+)\s*(.*?)\s*$/.exec(line);
    return [smiles, name];
  });
  if (pairs.length > 1 && /smiles/i.test(pairs[0][0]) && !looksLikeSmiles(pairs[0][0])) pairs.shift();
  const named = pairs.some(([, name]) => name);
  const rows = pairs.slice(0, MOST_ROWS).map(([smiles, name]) => (named ? [smiles, name] : [smiles]));
  const columns = named ? ["SMILES", "Name"] : ["SMILES"];
  const id = named ? 1 : -1;
  return { kind: "smi", columns, rows, blocks: null, total: pairs.length, structure: 0, id, sure: true };
}

function readSdf(text) {
  const records = text.split(/^\$\$\$\$.*(?:\r?\n|\r|$)/m).filter((record) => record.trim());
  const kept = records.slice(0, MOST_ROWS).map(sdfRecord);
  const columns = ["Name", ...new Set(kept.flatMap((record) => [...record.fields.keys()]))];
  const rows = kept.map(({ title, fields }) => columns.map((key, i) => (i ? fields.get(key) ?? "" : title)));
  const blocks = kept.map((record) => record.block);
  const id = rows.some((row) => row[0]) ? 0 : idColumn(columns, rows, -1);
  return { kind: "sdf", columns, rows, blocks, total: records.length, structure: -1, id, sure: true };
}

function sdfRecord(record) {
  const lines = record.split(/\r?\n|\r/);
  const end = lines.findIndex((line) => line.startsWith("M  END"));
  const block = lines.slice(0, end < 0 ? lines.length : end + 1).join("\n") + "\n";
  const fields = new Map();
  for (let at = end + 1; end >= 0 && at < lines.length; at++) {
    const name = /^>.*?<([^>]*)>/.exec(lines[at])?.[1];
    if (name === undefined) continue;
    const value = [];
    while (at + 1 < lines.length && lines[at + 1].trim()) value.push(lines[++at]);
    fields.set(name, value.join("\n"));
  }
  return { block, title: (lines[0] ?? "").trim(), fields };
}

/** Returns what the columns of structures and names are, once a person has chosen. */
export function choose(sheet, structure, id) {
  return { ...sheet, structure, id, sure: true };
}
