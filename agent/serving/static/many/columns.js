// What stands in each column of the table.

import { h, put } from "../elements.js";
import { measuredText, unitOf, valueText } from "../numbers.js";
import { WAITING } from "./compounds.js";
import { AMBER, GREEN, RED, lightOf } from "./lights.js";

export const LIGHT_NAMES = { [RED]: "red", [AMBER]: "amber", [GREEN]: "green" };
export const PICTURE = { width: 150, height: 64 };

/** The box to tick. */
export function tickColumn(app, isSelected) {
  return {
    width: 36, fixed: true, className: "cell-tick",
    head: () => [h("span", { class: "box", role: "img", "aria-label": app.t("many.select_shown") })],
    make: (cell) => cell.append(h("span", { class: "box", "aria-hidden": "true" })),
    fill: (cell, row) => cell.setAttribute("aria-label", app.t(isSelected(row) ? "many.selected" : "many.not_selected")),
  };
}

/** The row's name and its number in the file. */
export function nameColumn(app, compounds) {
  return {
    width: 124, fixed: true, className: "cell-name",
    sort: { kind: compounds.sheet.id < 0 ? "row" : "name", key: "" },
    head: () => sortable(app.t("many.compound")),
    make: (cell) => cell.append(h("b"), h("small")),
    fill(cell, row) {
      const [name, number] = cell.children;
      name.textContent = compounds.name(row);
      number.textContent = compounds.sheet.id < 0 ? "" : `${row + 1}`;
    },
  };
}

/** The drawing; with `written`, the SMILES where it has not been drawn. */
export function structureColumn(app, compounds, depict, written = false) {
  const place = (cell, picture) => {
    const [canvas, text] = cell.children;
    canvas.hidden = !picture;
    text.hidden = Boolean(picture) || (picture === undefined && !written);
    if (!picture) return;
    canvas.width = picture.width; // empties it, too
    canvas.height = picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
  };
  return {
    width: PICTURE.width + 14, fixed: true, className: "cell-picture",
    head: () => [h("span", { class: "head" }, h("span", {}, app.t("many.structure")))],
    make: (cell) => cell.append(h("canvas", { "aria-hidden": "true", hidden: true }), h("small", { hidden: true }), h("p", { class: "cause", hidden: true })),
    fill(cell, row) {
      cell.dataset.row = row;
      const fault = compounds.fault(row);
      const cause = cell.lastChild;
      cause.hidden = !fault;
      cell.classList.toggle("is-fault", Boolean(fault));
      // It runs on over the endpoints' cells, which are empty in such a row.
      if (fault) put(cause, h("b", {}, app.t("many.not_predicted")), h("span", {}, `${fault.cause} (${fault.step})`));
      const structure = compounds.structure(row);
      cell.setAttribute("aria-label", [structure.smiles ?? app.t("many.molblock"), fault?.cause].filter(Boolean).join(", "));
      cell.children[1].textContent = structure.smiles ?? "";
      place(cell, depict.picture(row, structure, (drawn, picture) => {
        // The cell may show another row by now.
        if (Number(cell.dataset.row) === drawn) place(cell, picture);
      }));
    },
  };
}

/** A column of the caller's own. */
export function ownColumn(compounds, index) {
  return {
    width: 120, className: "cell-own", sort: { kind: "own", key: index },
    head: () => sortable(compounds.sheet.columns[index]),
    make: (cell) => cell.append(h("span")),
    fill(cell, row) {
      cell.firstChild.textContent = compounds.sheet.rows[row][index];
      cell.title = compounds.sheet.rows[row][index];
    },
  };
}

/** An endpoint: value, interval, light, and a mark where it is measured or outside the domain. */
export function endpointColumn(app, compounds, task, lights, onLimits) {
  const { task: id } = task;
  const name = app.endpoint(task);
  const unit = unitOf(task);
  return {
    width: 110, className: "cell-value", sort: { kind: "endpoint", key: id },
    head: () => [
      ...sortable(name.short, name.full, unit),
      h("button", { type: "button", class: "limits", title: app.t("many.limits_of", { name: name.short }),
        "aria-label": app.t("many.limits_of", { name: name.short }), onclick: () => onLimits(task) },
      balance(compounds.lights(id, lights.limits(id)))),
    ],
    make: (cell) => cell.append(h("i", { class: "light" }), h("b"), h("small", { class: "spread" })),
    fill: (cell, row) => fillEndpoint(app, cell, { task, said: compounds.estimate(row, id), limits: lights.limits(id), waits: compounds.states[row] === WAITING }),
  };
}

function fillEndpoint(app, cell, { task, said, limits, waits }) {
  const [light, value, range] = cell.children;
  const lit = said ? lightOf(limits, said.value) : 0;
  light.className = lit ? `light ${LIGHT_NAMES[lit]}` : "light";
  const outside = Boolean(said) && said.inside === false && !said.measured;
  cell.classList.toggle("is-outside", outside);
  cell.classList.toggle("is-measured", Boolean(said?.measured));
  value.textContent = said ? shown(task, said) : waits ? "·" : "";
  range.textContent = said?.measured ? app.t("many.measured") : said && !Number.isNaN(said.low) ? interval(task, said) : "";
  const words = [value.textContent, lit && app.t(`many.light.${LIGHT_NAMES[lit]}`), said?.measured && app.t("many.measured"), outside && app.t("many.outside")];
  cell.setAttribute("aria-label", words.filter(Boolean).join(", "));
}

function shown(task, said) {
  return said.measured ? measuredText(task, said.measured) : valueText(task, said.value, said.high - said.low);
}

function interval(task, { low, high }) {
  const width = high - low;
  return `${valueText(task, low, width)} – ${valueText(task, high, width)}`;
}

function sortable(name, full = name, unit = "") {
  return [h("span", { class: "head", title: full }, h("span", {}, name), unit && h("small", {}, unit)), h("i", { class: "order", "aria-hidden": "true" })];
}

function balance([, red, amber, green]) {
  const all = red + amber + green;
  const bar = h("span", { class: "balance" });
  for (const [kind, count] of [["green", green], ["amber", amber], ["red", red]]) {
    if (!count) continue;
    const part = h("i", { class: kind });
    part.style.width = `${(100 * count) / all}%`;
    bar.append(part);
  }
  return bar;
}
