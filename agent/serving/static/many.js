// The view "many": a file of compounds, predicted, as a table with two plots. Mounted by the shell.
//
// What a person has loaded lives in `work`, beside the view: another language or a newer release mounts
// the view anew and must not lose it.

import { h, put } from "./elements.js";
import { askAll } from "./many/ask.js";
import { Jobs } from "./many/batch.js";
import { BAD, Compounds } from "./many/compounds.js";
import { PICTURE } from "./many/columns.js";
import { Depict } from "./many/depict.js";
import { ordered } from "./many/dialogs.js";
import { everything } from "./many/filters.js";
import { Lights } from "./many/lights.js";
import { droppable, opening, taken } from "./many/opening.js";
import { Table } from "./many/table.js";

const FEW = 8; // endpoints in the table to begin with
const KEPT = "onggi.columns";
const work = { compounds: null, lights: new Lights(), depict: new Depict(PICTURE.width, PICTURE.height), asking: null, problem: null };
let view = null;

/** Shows the view. */
export function mount(element, app) {
  const jobs = new Jobs(app);
  view = { element, app, jobs, table: null };
  draw();
  const undrop = droppable(element, (file) => again(file));
  return () => {
    undrop();
    jobs.close();
    view?.table?.close();
    view = null;
  };
}

function draw() {
  const { element, app, jobs } = view;
  view.table?.close();
  view.table = null;
  if (!work.compounds) {
    put(element, opening(app, actions()), jobs.element);
    return;
  }
  view.table = new Table(app, work, { ask, stop: () => work.asking?.abort(), again: () => again(null), open, anew });
  put(element, view.table.element);
  view.table.start();
}

function actions() {
  const { app, jobs } = view;
  return {
    start,
    again: () => again(null),
    canSend: () => jobs.exist,
    send: async (file, sheet) => {
      try {
        await jobs.send(file, sheet);
        app.notify(app.t("many.batch_sent"));
        again(null);
      } catch (error) {
        app.notify(error, "error");
      }
    },
  };
}

/** Back to the beginning, with another file if there is one. */
async function again(file) {
  work.asking?.abort();
  work.compounds = null;
  draw();
  if (!file) return;
  const { app, element } = view;
  try {
    await taken(app, actions(), element.querySelector(".opening"), file);
  } catch (error) {
    const key = `many.unreadable.${error.code ?? "file"}`;
    app.notify(app.t(key, error.values), "error");
  }
}

function start(sheet, name) {
  const { app } = view;
  work.compounds = new Compounds(sheet, app.model.tasks);
  work.depict.close();
  work.name = name || app.t("many.pasted");
  work.filter = everything();
  work.sort = { column: null, down: false };
  work.own = [];
  work.shown = firstEndpoints(app);
  const [x, y] = work.shown;
  Object.assign(work, { x, y: y ?? x, bars: x });
  draw();
  ask();
  if (sheet.blocks) writeSmiles(work.compounds);
}

function firstEndpoints(app) {
  const { tasks } = app.model;
  const kept = (localStorage.getItem(KEPT) ?? "").split("\n");
  const chosen = tasks.filter(({ task }) => kept.includes(task));
  if (chosen.length) return ordered(app, chosen);
  // Those that the silo itself has measured most say most about its chemistry.
  const best = [...tasks].sort((a, b) => b.n_train - a.n_train).slice(0, FEW);
  return ordered(app, best);
}

// A molblock has no SMILES of its own; the file that is downloaded shall have one.
async function writeSmiles(compounds) {
  const { sheet } = compounds;
  sheet.smiles = new Array(compounds.n).fill("");
  for (let row = 0; row < compounds.n; row++) {
    sheet.smiles[row] = (await work.depict.smiles({ molblock: sheet.blocks[row] })) ?? "";
    if (work.compounds !== compounds) return;
  }
}

async function ask() {
  const { compounds } = work;
  const asking = new AbortController();
  work.asking = asking;
  work.problem = null;
  view?.table?.progress();
  const { post } = view.app.api;
  try {
    await askAll(compounds, post, { signal: asking.signal, onPiece: () => view?.table?.progress() });
  } catch (error) {
    if (error.name !== "AbortError" && work.compounds === compounds) work.problem = error;
    if (work.problem) view?.app.notify(error, "error");
  }
  if (work.asking === asking) work.asking = null;
  asking.abort(); // what one line still asks, after the other failed
  if (work.compounds === compounds) view?.table?.progress();
}

/** Asks everything again: another release answers by now. */
function anew() {
  work.asking?.abort();
  const { sheet } = work.compounds;
  const before = work.compounds.selected;
  work.compounds = new Compounds(sheet, view.app.model.tasks);
  work.compounds.selected.set(before);
  const there = new Set(work.compounds.tasks.map(({ task }) => task));
  work.shown = work.shown.filter((id) => there.has(id));
  if (!work.shown.length) work.shown = firstEndpoints(view.app);
  for (const key of ["x", "y", "bars"]) if (!there.has(work[key])) work[key] = work.shown[0];
  work.filter.ranges = work.filter.ranges.filter(({ endpoint }) => there.has(endpoint));
  draw();
  ask();
}

async function open(row) {
  const { compounds } = work;
  const structure = compounds.structure(row);
  if (compounds.states[row] === BAD && !structure.smiles) return;
  const smiles = structure.smiles ?? (await work.depict.smiles(structure));
  if (!smiles) return;
  location.hash = `#one?smiles=${encodeURIComponent(smiles)}`; // that view takes it out of the address again
}
