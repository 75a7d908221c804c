// What is shown of the table: words, domain, lights, and ranges of endpoints.

import { h, put } from "../elements.js";
import { unitOf } from "../numbers.js";

/** A filter that lets all rows pass. */
export function everything() {
  return { text: "", inside: false, lights: "", selected: false, bad: "", ranges: [] };
}

/** Tells whether a filter leaves anything out. */
export function isNarrow(filter) {
  return Boolean(filter.text.trim() || filter.inside || filter.lights || filter.selected || filter.bad ||
    filter.ranges.some(({ from, to }) => from !== null || to !== null));
}

/** Draws the controls; they change `filter` and call `onChange`. */
export function filters(app, { filter, tasks, onChange }) {
  const { t } = app;
  const ranges = h("div", { class: "ranges" });
  const choice = (key, names) => h("select", { "aria-label": t(`many.filter.${key}`), onchange: (event) => { filter[key] = event.target.value; onChange(); } },
    names.map((name) => h("option", { value: name, selected: filter[key] === name }, t(`many.filter.${key}.${name || "any"}`))));
  const tick = (key) => h("label", { class: "tick-label" },
    h("input", { type: "checkbox", checked: filter[key], onchange: (event) => { filter[key] = event.target.checked; onChange(); } }), t(`many.filter.${key}`));
  const add = h("select", { "aria-label": t("many.filter.range"), onchange: () => {
    filter.ranges.push({ endpoint: add.value, from: null, to: null });
    add.value = "";
    drawRanges();
    ranges.lastElementChild.querySelector("input").focus();
  } }, h("option", { value: "" }, t("many.filter.range")),
  tasks.map((task) => h("option", { value: task.task }, app.endpoint(task).short)));
  const drawRanges = () => put(ranges, filter.ranges.map((range) => rangeOf(app, range, {
    task: tasks.find(({ task }) => task === range.endpoint),
    onChange,
    onRemove: () => {
      filter.ranges.splice(filter.ranges.indexOf(range), 1);
      drawRanges();
      onChange();
    },
  })));
  drawRanges();
  const search = h("input", { type: "search", class: "search", "aria-label": t("many.filter.text"), placeholder: t("many.filter.text"),
    value: filter.text, oninput: (event) => { filter.text = event.target.value; onChange(); } });
  return h("div", { class: "filters no-print", role: "search", "aria-label": t("many.filter") },
    search, choice("lights", ["", "no_red", "green"]), choice("bad", ["", "none", "only"]), add, tick("inside"), tick("selected"), ranges);
}

function rangeOf(app, range, { task, onChange, onRemove }) {
  const { t } = app;
  const name = app.endpoint(task).short;
  const scale = task.kind === "classification" ? 100 : 1;
  const end = (key) => h("input", { type: "text", inputmode: "decimal", class: "number",
    "aria-label": `${name}, ${t(`many.filter.${key}`)}`, placeholder: t(`many.filter.${key}`),
    value: range[key] === null ? "" : `${scale * range[key]}`,
    oninput: ({ target }) => {
      const number = Number(target.value.trim().replace(",", "."));
      const isNone = target.value.trim() === "";
      target.setAttribute("aria-invalid", !isNone && !Number.isFinite(number));
      range[key] = isNone || !Number.isFinite(number) ? null : number / scale;
      onChange();
    } });
  return h("span", { class: "range-chip" }, h("b", {}, name), end("from"), "–", end("to"), h("span", { class: "soft" }, unitOf(task)),
    h("button", { type: "button", class: "close", "aria-label": t("many.filter.remove", { name }), onclick: onRemove }, "×"));
}
