// What the silo has measured: endpoint by year, the darker the more.

import { GROUPS } from "../endpoints.js";
import { h } from "../elements.js";
import { nameOf } from "./history.js";
import { count } from "./words.js";

const SHADES = 6;
const MOST_YEARS = 16;

/** Returns the panel, or nothing where nothing is measured. */
export function coverageMap(app, { endpoints }) {
  const { t } = app;
  const known = Object.entries(endpoints);
  if (!known.length) return null;
  const years = span(known);
  const most = Math.max(1, ...known.flatMap(([, { by_year: byYear }]) => Object.values(byYear)));
  const place = ([id]) => GROUPS.indexOf(app.endpoint({ task: id, name: id }).group);
  const rows = known.sort((a, b) => place(a) - place(b) || b[1].measurements - a[1].measurements);
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("model.coverage")), legend(t, most)),
    h("div", { class: "scroll" }, h("table", { class: "coverage" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("model.col.endpoint")), h("th", { scope: "col", class: "n" }, t("model.compounds")),
        h("th", { scope: "col", class: "n" }, t("model.measurements")), h("th", { scope: "col" }, t("model.newest")), years.map((year) => h("th", { scope: "col", class: "year" }, year)))),
      h("tbody", {}, rows.map(([id, one]) => h("tr", {}, h("th", { scope: "row" }, nameOf(app, id)),
        h("td", { class: "n" }, count(one.compounds)), h("td", { class: "n" }, count(one.measurements)), h("td", {}, one.newest?.slice(0, 10) ?? "–"),
        years.map((year) => cell(one.by_year[year] ?? 0, most))))))),
    h("p", { class: "soft" }, t("model.coverage_text")));
}

// Every year from the first to the last: one without measurements is a gap that shall be seen.
function span(known) {
  const years = known.flatMap(([, { by_year: byYear }]) => Object.keys(byYear).map(Number));
  if (!years.length) return [];
  const last = Math.max(...years);
  const first = Math.max(Math.min(...years), last - MOST_YEARS + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}`);
}

function cell(n, most) {
  return h("td", { class: `shade shade${shade(n, most)}` }, n ? count(n) : "");
}

function shade(n, most) {
  return n ? 1 + Math.min(SHADES - 1, Math.floor((SHADES * Math.log1p(n)) / Math.log1p(most) - 1e-9)) : 0;
}

function legend(t, most) {
  return h("p", { class: "heat-legend soft", "aria-hidden": "true" }, "1",
    Array.from({ length: SHADES }, (_, i) => h("i", { class: `shade shade${i + 1}` })), `${count(most)} ${t("model.per_year")}`);
}
