// The structure: an editor to draw in, a field to paste into, a file to drop. Whichever was used last counts.

import { CanvasEditor, Molecule } from "../vendor/openchemlib.js";
import { h, put } from "../elements.js";

const TYPING_MS = 250;
const MOST_BYTES = 1 << 20;

/**
 * Returns {element, field, begin, set, restore, fault, end}. `changed(given)` is called with {smiles}
 * or {molblock} as it goes to the server and `shown`, a SMILES for people; with null when the drawing
 * is empty. `set` takes a text, `restore` what `changed` was given.
 */
export function sketch(app, changed, actions) {
  const { t } = app;
  const board = h("div", { class: "board", role: "application", "aria-label": t("one.board"), "aria-describedby": "board-help" });
  const field = h("textarea", { id: "structure", rows: 2, spellcheck: "false", autocapitalize: "off", autocomplete: "off", placeholder: t("one.placeholder"), "aria-describedby": "structure-fault" });
  const fault = h("p", { id: "structure-fault", class: "fault", role: "alert" });
  const file = h("input", { type: "file", class: "unseen", id: "structure-file", accept: ".smi,.smiles,.mol,.sdf,.sd,.mdl,.txt", tabindex: -1, onchange: () => open(file.files[0]) });
  const element = h("section", { class: "panel sketch", "aria-labelledby": "sketch-title" },
    h("header", {}, h("h2", { id: "sketch-title" }, t("one.structure")),
      h("div", { class: "buttons no-print" },
        h("button", { type: "button", class: "link", onclick: () => file.click() }, t("one.open")), actions)),
    board,
    h("p", { id: "board-help", class: "unseen" }, t("one.board.help")),
    h("label", { for: "structure", class: "unseen" }, t("one.field")), field, file, fault);
  let editor = null;
  let timer = 0;

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => read(field.value), TYPING_MS);
  });
  for (const name of ["dragover", "dragleave", "drop"]) element.addEventListener(name, drag);

  function drag(event) {
    event.preventDefault();
    element.classList.toggle("over", event.type === "dragover");
    if (event.type !== "drop") return;
    const [dropped] = event.dataTransfer.files;
    if (dropped) open(dropped);
    else set(event.dataTransfer.getData("text/plain"));
  }

  async function open(chosen) {
    if (!chosen) return;
    file.value = "";
    if (chosen.size > MOST_BYTES) {
      app.notify(t("one.file.large"), "error");
      return;
    }
    const { text, more } = first(await chosen.text());
    if (more) app.notify(t("one.file.many"));
    set(text);
  }

  /** Takes a text that was typed: what the browser cannot draw, the server may still read. */
  function read(text) {
    tell("");
    const molblock = text.includes("M  END") || text.includes("V2000") || text.includes("V3000");
    const trimmed = molblock ? text : text.trim().split(/\s+/)[0];
    const molecule = parsed(trimmed, molblock);
    if (editor !== null) editor.setMolecule(molecule ?? new Molecule(0, 0));
    if (!trimmed) changed(null);
    else changed(molblock ? { molblock: text, shown: molecule?.toIsomericSmiles() ?? "" } : { smiles: trimmed, shown: trimmed });
  }

  function set(text) {
    clearTimeout(timer);
    field.value = text;
    read(text);
  }

  /** Shows a structure as it was, the positions of its atoms included. */
  function restore(given) {
    clearTimeout(timer);
    tell("");
    field.value = given.shown || given.molblock;
    const molblock = given.molblock !== undefined;
    editor.setMolecule(parsed(molblock ? given.molblock : given.smiles, molblock) ?? new Molecule(0, 0));
    changed(given);
  }

  function drawn(event) {
    if (event.type !== "molecule" || !event.isUserEvent) return;
    clearTimeout(timer);
    const molecule = editor.getMolecule();
    tell("");
    if (molecule.getAllAtoms() === 0) {
      field.value = "";
      changed(null);
      return;
    }
    const shown = molecule.toIsomericSmiles();
    field.value = shown;
    // As a mol block: its bonds and wedges mean the same to every reader.
    changed({ molblock: molecule.toMolfile(), shown });
  }

  function tell(sentence) {
    fault.textContent = sentence;
    field.toggleAttribute("aria-invalid", sentence !== "");
  }

  /** Starts the editor; its element must be in the page by now, for it measures itself. */
  function begin() {
    editor = new CanvasEditor(board, { initialMode: "molecule" });
    editor.setOnChangeListener(drawn);
  }

  return { element, field, set, restore, fault: tell, begin, end: () => editor?.destroy() };
}

// A text that the browser cannot read is not wrong for that: the server judges.
function parsed(text, molblock = false) {
  try {
    return text ? (molblock ? Molecule.fromMolfile(text) : Molecule.fromSmiles(text)) : null;
  } catch {
    return null;
  }
}

/** Takes the first structure of a file: a mol block up to its end, or the first line's first word. */
export function first(content) {
  const text = content.replaceAll("\r\n", "\n");
  const end = text.indexOf("M  END");
  if (end >= 0) {
    const records = text.split(/^\$\$\$\$/m).filter((record) => record.trim() !== "");
    return { text: `${text.slice(0, end)}M  END\n`, more: records.length > 1 };
  }
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return { text: lines[0]?.trim().split(/[\s,;]+/)[0] ?? "", more: lines.length > 1 };
}

/** Shows what a what-if compares with, and its two buttons. */
export function referenceBar(app, element, { now, reference, keep, swap, drop }) {
  const { t } = app;
  if (reference === null) {
    put(element, h("p", { class: "soft" }, t("whatif.text")),
      h("button", { type: "button", class: "plain-button", id: "keep", disabled: now === null, onclick: keep }, t("whatif.keep")));
    return;
  }
  put(element, h("p", {}, h("b", {}, t("whatif.on")), " ", h("span", { class: "soft mono" }, reference.shown)),
    h("div", { class: "buttons" },
      h("button", { type: "button", class: "plain-button", id: "keep", disabled: now === null, onclick: keep }, t("whatif.again")),
      h("button", { type: "button", class: "plain-button", onclick: swap }, t("whatif.swap")),
      h("button", { type: "button", class: "plain-button", id: "drop", onclick: drop }, t("whatif.drop"))));
}
