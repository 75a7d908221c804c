// Before there is a table: a place to drop a file or paste lines, and the question which column is which.

import { h, put } from "../elements.js";
import { MOST_ROWS, Unreadable, choose, decode, readText } from "./read.js";

const MOST_BYTES = 100 << 20; // what a browser still reads in a moment
const ELSEWHERE = /\.(xlsx|xlsm|parquet|gz|zip)$/i; // what only the server reads
const PREVIEW = 4;

/**
 * Draws the place; `act` has `start(sheet, name)`, `send(file, sheet or null)` and `canSend()`.
 */
export function opening(app, act) {
  const { t } = app;
  const place = h("div", { class: "opening" });
  const take = async (file) => {
    try {
      await taken(app, act, place, file);
    } catch (error) {
      app.notify(error instanceof Unreadable ? t(`many.unreadable.${error.code}`, error.values) : t("many.unreadable.file"), "error");
    }
  };
  const picker = h("input", { type: "file", class: "unseen", id: "many-file", "aria-label": t("many.choose"),
    accept: ".csv,.tsv,.txt,.smi,.smiles,.sdf,.sd,.mol,.xlsx", onchange: () => picker.files[0] && take(picker.files[0]) });
  const lines = h("textarea", { id: "many-lines", rows: 5, spellcheck: "false", placeholder: "CC(=O)Oc1ccccc1C(=O)O aspirin\nCn1c(=O)c2c(ncn2C)n(C)c1=O caffeine" });
  const pasted = (event) => {
    event.preventDefault();
    take(new File([lines.value], ""));
  };
  const drop = h("label", { class: "drop", for: "many-file" },
    h("b", {}, t("many.drop")), h("span", { class: "main-button" }, t("many.choose")), h("small", {}, t("many.formats", { most: MOST_ROWS.toLocaleString("en") })));
  put(place, h("h1", {}, t("many.title")), h("p", { class: "lead" }, t("many.lead")),
    h("div", { class: "opening-ways" },
      h("div", {}, picker, drop),
      h("form", { class: "panel lines", onsubmit: pasted },
        h("label", { for: "many-lines" }, t("many.paste")), lines,
        h("div", { class: "buttons" }, h("button", { type: "submit", class: "plain-button" }, t("many.predict"))))));
  return place;
}

/**
 * Lets a file be dropped anywhere while the view is shown: beside it, the browser would leave the page
 * to show the file. Returns what ends that.
 */
export function droppable(element, onFile) {
  const over = (event) => {
    if (element.hidden) return;
    event.preventDefault();
    element.classList.add("drag-over");
  };
  const out = (event) => event.relatedTarget || element.classList.remove("drag-over");
  const drop = (event) => {
    if (element.hidden) return;
    event.preventDefault();
    element.classList.remove("drag-over");
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  };
  const listeners = Object.entries({ dragover: over, dragleave: out, drop });
  for (const [name, listener] of listeners) document.addEventListener(name, listener);
  return () => { for (const [name, listener] of listeners) document.removeEventListener(name, listener); };
}

/** Reads a file and goes on: at once where all is clear, else with a question. */
export async function taken(app, act, place, file) {
  if (ELSEWHERE.test(file.name) || file.size > MOST_BYTES) {
    confirmSending(app, act, place, file);
    return;
  }
  const sheet = readText(decode(await file.arrayBuffer()), file.name);
  if (sheet.sure && sheet.total <= MOST_ROWS) act.start(sheet, file.name);
  else question(app, act, place, { file, sheet });
}

function confirmSending(app, act, place, file) {
  const { t } = app;
  if (!act.canSend()) {
    app.notify(t("many.only_batch"), "error");
    return;
  }
  put(place, h("h1", {}, file.name), h("p", { class: "lead" }, t("many.batch_only_text")),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "plain-button", onclick: () => act.again() }, t("many.cancel")),
      h("button", { type: "button", class: "main-button", onclick: () => act.send(file, null) }, t("many.batch_send"))));
}

function question(app, act, place, { file, sheet }) {
  const { t } = app;
  const options = (chosen, none) => [
    none && h("option", { value: -1, selected: chosen === -1 }, t("many.no_name")),
    ...sheet.columns.map((name, i) => h("option", { value: i, selected: i === chosen }, name)),
  ];
  const structure = h("select", { id: "many-structure" }, options(sheet.structure, false));
  const id = h("select", { id: "many-id" }, options(sheet.id, true));
  const chosen = () => choose(sheet, sheet.blocks ? -1 : Number(structure.value), Number(id.value));
  const large = sheet.total > MOST_ROWS;
  const number = (count) => count.toLocaleString("en");
  put(place, h("h1", {}, file.name || t("many.pasted")),
    h("p", { class: "lead" }, large
      ? t(act.canSend() ? "many.large" : "many.large_here", { n: number(sheet.total), most: number(MOST_ROWS) })
      : t("many.which")),
    h("div", { class: "panel" },
      !sheet.blocks && h("div", { class: "which" },
        h("label", { for: "many-structure" }, t("many.structure_column")), structure,
        h("label", { for: "many-id" }, t("many.id_column")), id),
      preview(sheet)),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "plain-button", onclick: () => act.again() }, t("many.cancel")),
      large && act.canSend() && h("button", { type: "button", class: "main-button", onclick: () => act.send(file, chosen()) }, t("many.batch_send")),
      h("button", { type: "button", class: large && act.canSend() ? "plain-button" : "main-button", onclick: () => act.start(chosen(), file.name) },
        t("many.predict_n", { n: number(Math.min(sheet.total, MOST_ROWS)) }))));
  structure.focus();
}

function preview(sheet) {
  return h("div", { class: "preview" }, h("table", {},
    h("thead", {}, h("tr", {}, sheet.columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, sheet.rows.slice(0, PREVIEW).map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}
