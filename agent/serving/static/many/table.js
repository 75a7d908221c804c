// The table's view: its bar, filters, grid and plots, and how they follow each other.

import { h, put } from "../elements.js";
import { endpointColumn, nameColumn, ownColumn, structureColumn, tickColumn } from "./columns.js";
import { askColumns, askDownload, ordered } from "./dialogs.js";
import { filters, isNarrow } from "./filters.js";
import { Grid } from "./grid.js";
import { Histogram } from "./histogram.js";
import { askLimits } from "./limits.js";
import { csv, save } from "./save.js";
import { Scatter } from "./scatter.js";

const KEPT = "onggi.columns";
const PRINTED = 100; // rows; more is for the file
const REST_MS = 300; // between two looks at what came in

/** The table's view. `act` has `ask`, `stop`, `again`, `anew` and `open(row)`. */
export class Table {
  constructor(app, work, act) {
    this._app = app;
    this._work = work;
    this._act = act;
    this._rows = new Uint32Array(0);
    this._build();
    this._print = () => this._layOut();
    window.addEventListener("beforeprint", this._print);
  }

  close() {
    window.removeEventListener("beforeprint", this._print);
    clearTimeout(this._rest);
    for (const part of [this._grid, this._scatter, this._histogram]) part.close();
  }

  /** Fills it, once it stands in the page. */
  start() {
    this._look();
    this._status();
  }

  /** More has been answered, or nothing more comes. */
  progress() {
    this._status();
    if (!this._work.asking) {
      clearTimeout(this._rest);
      this._rest = 0;
      this._look(true);
    } else {
      this._rest ||= setTimeout(() => {
        this._rest = 0;
        this._look(true);
      }, REST_MS);
    }
  }

  _build() {
    const { t } = this._app;
    const { compounds } = this._work;
    const shared = {
      compounds,
      isSelected: (row) => compounds.selected[row] === 1,
      pick: (rows, how) => this._pick(rows, how),
      limits: (endpoint) => this._work.lights.limits(endpoint),
      task: (endpoint) => compounds.tasks.find(({ task }) => task === endpoint),
      goTo: (row) => this._grid.goTo(row),
    };
    this._scatter = new Scatter(this._app, shared);
    this._histogram = new Histogram(this._app, shared);
    this._grid = this._newGrid();
    this._bar = h("div", { class: "many-bar" });
    this._foot = h("div", { class: "many-foot no-print", role: "status" });
    this._printed = h("div", { class: "printed" });
    this._gridPlace = h("div", { class: "panel grid-place no-print" }, this._grid.element, this._foot);
    this.element = h("div", { class: "many-table" }, this._bar,
      filters(this._app, { filter: this._work.filter, tasks: compounds.tasks, onChange: () => this._look() }),
      h("div", { class: "many-both" }, this._gridPlace,
        h("aside", { class: "plots", "aria-label": t("many.plots") }, this._plots())),
      this._printed);
  }

  _newGrid() {
    const { compounds, lights, depict, shown, own } = this._work;
    const app = this._app;
    const isSelected = (row) => compounds.selected[row] === 1;
    const columns = [
      tickColumn(app, isSelected),
      nameColumn(app, compounds),
      structureColumn(app, compounds, depict),
      ...own.map((index) => ownColumn(compounds, index)),
      ...shown.map((id) => endpointColumn(app, compounds, compounds.tasks.find(({ task }) => task === id), lights, (task) => this._askLimits(task))),
    ];
    return new Grid(app.t("many.table"), columns, {
      isSelected,
      open: (row) => this._act.open(row),
      toggle: (rows, how) => this._pick(rows, how),
      sort: (column) => this._sort(column),
      all: () => this._pickShown(),
      none: () => this._pick([], "only"),
    });
  }

  _plots() {
    const { t } = this._app;
    const { compounds } = this._work;
    const choice = (key, label) => h("select", { "aria-label": label, onchange: (event) => { this._work[key] = event.target.value; this._plot(); } },
      compounds.tasks.map((task) => h("option", { value: task.task, selected: task.task === this._work[key] }, this._app.endpoint(task).short)));
    return [
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("many.scatter")),
        h("div", { class: "choices-of-two no-print" }, choice("x", t("many.x")), h("span", { class: "soft" }, "×"), choice("y", t("many.y")))), this._scatter.element),
      h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("many.histogram")), h("div", { class: "no-print" }, choice("bars", t("many.histogram")))), this._histogram.element,
        h("p", { class: "soft plot-hint no-print" }, t("many.plot_hint"))),
    ];
  }

  // What passes the filter, in its order: into the table and the plots.
  _look(answered = false) {
    const { compounds, filter, sort, lights, shown } = this._work;
    this._rows = compounds.view({ ...filter, shown }, { column: sort.column, down: sort.down }, lights);
    this._grid.show(this._rows);
    if (answered) this._grid.paintHeads();
    this._markSorted();
    this._plot();
    this._count();
  }

  _plot() {
    const { x, y, bars } = this._work;
    this._scatter.show(this._rows, x, y);
    this._histogram.show(this._rows, bars);
  }

  _markSorted() {
    const { column, down } = this._work.sort;
    this._grid.sorted(column && this._grid.columnOf(column), down);
  }

  // Ascending, descending, then as in the file again.
  _sort({ sort: wanted }) {
    const { sort } = this._work;
    const same = sort.column?.kind === wanted.kind && sort.column.key === wanted.key;
    if (same && sort.down) Object.assign(sort, { column: null, down: false });
    else Object.assign(sort, { column: wanted, down: same });
    this._look();
  }

  _pick(rows, how) {
    const { selected } = this._work.compounds;
    if (how === "only") selected.fill(0);
    for (const row of rows) selected[row] = how === "take" ? 0 : how === "toggle" ? 1 - selected[row] : 1;
    this._picked();
  }

  _pickShown() {
    const { selected } = this._work.compounds;
    const every = this._rows.every((row) => selected[row]);
    for (const row of this._rows) selected[row] = every ? 0 : 1;
    this._picked();
  }

  _picked() {
    if (this._work.filter.selected) {
      this._look();
      return;
    }
    this._grid.paint(true);
    this._scatter.paint();
    this._histogram.paint();
    this._count();
  }

  _askLimits(task) {
    askLimits(this._app, this._work.lights, task, () => this._look(true));
  }

  _status() {
    const { t } = this._app;
    const { compounds, asking, name } = this._work;
    const { n, answered } = compounds;
    const left = n - answered;
    put(this._bar,
      h("h1", {}, name), h("span", { class: "soft" }, t("many.compounds", { n: number(n) })),
      left > 0 && h("progress", { max: n, value: answered, "aria-label": t("many.progress") }),
      left > 0 && h("span", { class: "soft" }, t("many.answered", { done: number(answered), n: number(n) })),
      asking && h("button", { type: "button", class: "plain-button no-print", onclick: () => this._act.stop() }, t("many.stop")),
      left > 0 && !asking && h("button", { type: "button", class: "main-button no-print", onclick: () => this._act.ask() }, t("many.go_on")),
      this._releaseNote(),
      h("span", { class: "buttons no-print" },
        h("button", { type: "button", class: "plain-button", onclick: () => this._askColumns() }, t("many.columns")),
        h("button", { type: "button", class: "plain-button", onclick: () => this._askDownload() }, t("many.download")),
        h("button", { type: "button", class: "plain-button", onclick: () => this._act.again() }, t("many.other_file"))));
  }

  _releaseNote() {
    const { t, model } = this._app;
    const { releases } = this._work.compounds;
    const old = releases.size > 0 && model && !releases.has(model.release_id);
    if (releases.size < 2 && !old) return null;
    return h("span", { class: "late" }, t(releases.size > 1 ? "many.two_releases" : "many.newer_release"), " ",
      h("button", { type: "button", class: "link", onclick: () => this._act.anew() }, t("many.anew")));
  }

  _count() {
    const { t } = this._app;
    const { compounds, filter } = this._work;
    const { n, selected, bad } = compounds;
    const picked = selected.reduce((sum, one) => sum + one, 0);
    this._counts = { all: n, shown: this._rows.length, selected: picked };
    put(this._foot,
      h("span", {}, isNarrow(filter) ? t("many.shown", { shown: number(this._rows.length), n: number(n) }) : t("many.all_shown", { n: number(n) })),
      bad > 0 && h("span", { class: "late" }, t("many.bad", { n: number(bad) })),
      h("span", { class: picked ? "picked" : "soft" }, t("many.picked", { n: number(picked) })),
      picked > 0 && h("button", { type: "button", class: "link", onclick: () => this._pick([], "only") }, t("many.clear")),
      this._legend());
  }

  _legend() {
    const { t } = this._app;
    const mark = (kind, text) => h("span", {}, h("i", { class: kind }), text);
    return h("span", { class: "lamp-legend", "aria-hidden": "true" },
      ["green", "amber", "red"].map((light) => mark(`light ${light}`, t(`many.light.${light}`))), mark("far", t("many.outside")));
  }

  _askColumns() {
    const { compounds, shown, own } = this._work;
    askColumns(this._app, { compounds, shown, own, onDone: (endpoints, mine) => {
      this._work.shown = endpoints;
      this._work.own = mine;
      localStorage.setItem(KEPT, endpoints.join("\n"));
      this._replaceGrid();
    } });
  }

  _replaceGrid() {
    this._grid.close();
    const before = this._grid.element;
    this._grid = this._newGrid();
    before.replaceWith(this._grid.element);
    this._look();
  }

  _askDownload() {
    const { compounds, shown, name } = this._work;
    const hidden = compounds.tasks.length - shown.length;
    askDownload(this._app, { counts: this._counts, hidden, onDone: (which, whole) => {
      const rows = this._rowsOf(which);
      const endpoints = whole ? ordered(this._app, compounds.tasks) : shown;
      save(csv(compounds, rows, endpoints), `${name.replace(/\.\w+$/, "")}-onggi.csv`);
    } });
  }

  // In the order of the table; where all are wanted, in that of the file.
  _rowsOf(which) {
    const { n, selected } = this._work.compounds;
    if (which === "shown") return [...this._rows];
    const all = Array.from({ length: n }, (_, row) => row);
    if (which === "all") return all;
    const shown = [...this._rows].filter((row) => selected[row]);
    const hidden = new Set(shown);
    return [...shown, ...all.filter((row) => selected[row] && !hidden.has(row))];
  }

  // On paper there is no scrolling: what is selected, else the first rows that are shown.
  _layOut() {
    const { t } = this._app;
    const { compounds, shown } = this._work;
    const rows = this._rowsOf(this._counts.selected ? "selected" : "shown");
    const columns = [nameColumn(this._app, compounds), structureColumn(this._app, compounds, this._work.depict, true),
      ...shown.map((id) => endpointColumn(this._app, compounds, compounds.tasks.find(({ task }) => task === id), this._work.lights, () => {}))];
    const cells = (row) => columns.map((column) => {
      const cell = h("td", { class: column.className });
      column.make(cell);
      column.fill(cell, row);
      return cell;
    });
    put(this._printed, h("table", {},
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.className }, column.head())))),
      h("tbody", {}, rows.slice(0, PRINTED).map((row) => h("tr", {}, cells(row))))),
    rows.length > PRINTED && h("p", { class: "soft" }, t("many.printed", { shown: PRINTED, n: number(rows.length) })));
  }
}

function number(count) {
  return count.toLocaleString("en");
}
