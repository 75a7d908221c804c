// Writes what is in the table as CSV, joined to the caller's own columns.

const OWN_TEXT = /[",\r\n]/;

/**
 * Returns a CSV (RFC 4180) of some rows, in their order.
 *
 * The caller's own columns come first and as they were read. Each endpoint has its value and unit,
 * the ends of its interval, whether it is inside the domain, and where the value comes from.
 *
 * @param {import("./compounds.js").Compounds} compounds
 * @param {Iterable<number>} rows
 * @param {string[]} endpoints
 */
export function csv(compounds, rows, endpoints) {
  const { columns } = compounds.sheet;
  const tasks = compounds.tasks.filter((task) => endpoints.includes(task.task));
  const lines = [[...head(compounds, columns), "error", ...tasks.flatMap(heads)]];
  for (const row of rows) {
    const fault = compounds.fault(row);
    const error = fault ? `${fault.step}: ${fault.cause}` : "";
    lines.push([
      ...own(compounds, row),
      error,
      ...tasks.flatMap((task) => cells(compounds.estimate(row, task.task))),
    ]);
  }
  const text = lines.map((cells) => cells.map(quoted).join(",") + "\r\n").join("");
  // Excel takes a file for one in its old code page unless it begins with a mark; nothing else needs it.
  return /[^\x00-\x7f]/.test(text) ? `\uFEFF${text}` : text;
}

function head({ sheet }, columns) {
  return sheet.blocks ? ["SMILES", ...columns] : columns;
}

function own({ sheet }, row) {
  return sheet.blocks ? [sheet.smiles?.[row] ?? "", ...sheet.rows[row]] : sheet.rows[row];
}

function heads({ task }) {
  return [task, `${task}_lower`, `${task}_upper`, `${task}_inside`, `${task}_measured`];
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
