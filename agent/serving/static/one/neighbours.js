// The nearest compounds that were measured here; hidden where the site or the token does not show them.

import { h, put } from "../elements.js";
import { fixed, measuredText, unitOf } from "../numbers.js";
import { depict } from "../structure.js";

const SHOWN = 4; // values of a compound before the rest is folded away

/** Returns {element, draw}; `open(smiles)` puts a neighbour into the editor. */
export function neighbours(app, open) {
  const { t } = app;
  const list = h("ol", { class: "near" });
  const element = h("section", { class: "panel neighbours", "aria-labelledby": "near-title", hidden: true },
    h("header", {}, h("h2", { id: "near-title" }, t("near.title")), h("p", { class: "soft" }, t("near.text"))), list);

  return {
    element,
    /** Shows an answer of `/v1/neighbours`; null hides the part. `name` is the chosen endpoint. */
    draw(found, name) {
      element.hidden = found === null;
      if (found === null) return;
      put(list, found.length === 0 && h("li", { class: "soft none" }, t("near.none")), found.map((one) => card(app, one, name, open)));
    },
  };
}

function card(app, one, name, open) {
  const drawing = depict(one.smiles, 200, 130);
  drawing?.element.setAttribute("aria-label", one.smiles);
  const entries = Object.entries(one.measured).sort(([a], [b]) => Number(b === name) - Number(a === name));
  return h("li", {},
    drawing?.element ?? h("p", { class: "mono none" }, one.smiles),
    h("p", { class: "similar" }, h("span", {}, app.t(one.similarity >= 0.9995 ? "near.same" : "near.similarity")), h("b", {}, fixed(one.similarity, 2))),
    values(app, entries.slice(0, SHOWN), name),
    entries.length > SHOWN && h("details", {}, h("summary", {}, app.t("near.more", { n: entries.length - SHOWN })), values(app, entries.slice(SHOWN), name)),
    h("button", { type: "button", class: "link no-print", onclick: () => open(one.smiles) }, app.t("near.open")));
}

function values(app, entries, name) {
  return h("dl", {}, entries.flatMap(([endpoint, measured]) => {
    const task = app.model.tasks.find((one) => one.task === endpoint) ?? { task: endpoint, name: endpoint, kind: "regression", unit: measured.unit, transform: "identity" };
    return [h("dt", { class: endpoint === name ? "chosen" : null }, app.endpoint(task).short),
      h("dd", {}, measuredText(task, measured), " ", h("span", { class: "unit" }, unitOf(task)))];
  }));
}
