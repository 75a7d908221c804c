// Writes what is in the table as CSV, joined to the caller's own columns.

const OWN_TEXT = /[",\r\n]/;

/**
 * Returns a CSV (RFC 4180) of some rows, in their order; its columns are named as those of `/v1/batch`.
 *
 * The caller's own columns come first and as they were read. Each endpoint has its value, the ends of
 * its interval, whether it is inside the domain, and what was measured.
 *
 * @param {import("./compounds.js").Compounds} compounds
 * @param {Iterable<number>} rows
 * @param {string[]} endpoints
 */
export function csv(compounds, rows, endpoints) {
  const { columns, blocks } = compounds.sheet;
  const own = blocks ? ["SMILES", ...columns] : columns;
  const lines = [[...own, ...names(own, endpoints)]];
  for (const row of rows) {
    const fault = compounds.fault(row);
    lines.push([
      ...ownCells(compounds, row),
      ...endpoints.flatMap((endpoint) => cells(compounds.estimate(row, endpoint))),
      fault ? `${fault.step}: ${fault.cause}` : "",
      compounds.release(row),
    ]);
  }
  const text = lines.map((line) => line.map(quoted).join(",") + "\r\n").join("");
  // Excel takes a file for one in its old code page unless it begins with a mark; nothing else needs it.
  return /[^\x00-\x7f]/.test(text) ? `\uFEFF${text}` : text;
}

// A column of the caller's keeps its name; ours of the same name makes way.
function names(own, endpoints) {
  const taken = new Set(own);
  const wanted = [...endpoints.flatMap((id) => ["", "_lower", "_upper", "_inside", "_measured"].map((end) => id + end)), "onggi_error", "onggi_release"];
  return wanted.map((name) => {
    let free = name;
    for (let more = 1; taken.has(free); more++) free = more === 1 ? `onggi_${name}` : `onggi_${name}_${more}`;
    taken.add(free);
    return free;
  });
}

function ownCells({ sheet }, row) {
  return sheet.blocks ? [sheet.smiles?.[row] ?? "", ...sheet.rows[row]] : sheet.rows[row];
}

function cells(said) {
  if (!said) return ["", "", "", "", ""];
  const { measured } = said;
  const qualifier = measured && measured.qualifier !== "=" ? measured.qualifier : "";
  return [
    number(said.predicted),
    number(said.low),
    number(said.high),
    said.inside === null ? "" : `${said.inside}`,
    measured ? `${qualifier}${number(measured.value)}` : "",
  ];
}

function number(value) {
  return Number.isNaN(value) ? "" : `${value}`;
}

function quoted(cell) {
  return OWN_TEXT.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** Hands a file to the browser's own downloads. */
export function save(content, name, type = "text/csv;charset=utf-8") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun with the click; the bytes may go once it has surely taken hold of them.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
