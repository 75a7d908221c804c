// The endpoints of the release: from how much, how well, against what the silo would have alone.

import { GROUPS } from "../endpoints.js";
import { h, svg } from "../elements.js";
import { unitOf } from "../numbers.js";
import { coverageOf } from "../model.js";
import { calibration, curve, relative, shareAt } from "./pictures.js";
import { count, errorText, percent } from "./words.js";

const COLUMNS = ["endpoint", "made", "n_train", "n_test", "metric", "alone", "previous", "release", "compared", "within", ""];
const SAME = 0.002;
const WHOLE = 0.995; // a share that is shown as the whole

/** Returns the panel's content. */
export function endpointTable(app, model, site) {
  const { t } = app;
  const previous = previousErrors(model, site);
  const groups = GROUPS.map((group) => [group, model.tasks.filter((task) => app.endpoint(task).group === group)]).filter(([, tasks]) => tasks.length);
  const numeric = new Set(["n_train", "n_test", "alone", "previous", "release", "within"]);
  const shown = COLUMNS.filter((name) => name !== "previous" || previous.size);
  const head = h("tr", {}, shown.map((name) => h("th", { scope: "col", class: numeric.has(name) ? "n" : name },
    name === "compared" ? [t("model.col.compared"), axisHead()] : name ? t(`model.col.${name}`) : h("span", { class: "unseen" }, t("model.col.more")))));
  const bodies = groups.map(([group, tasks]) => h("tbody", {},
    h("tr", { class: "group-row" }, h("th", { scope: "rowgroup", colspan: shown.length }, t(`many.group.${group}`))),
    tasks.flatMap((task) => rows(app, task, { previous: previous.get(task.task), shown }))));
  return [
    h("header", {}, h("h2", {}, t("model.glance")), h("p", { class: "soft" }, t("model.glance_text"))),
    h("div", { class: "scroll" }, h("table", { class: "endpoints" }, h("thead", {}, head), bodies)),
  ];
}

// What the release before reached; only where the gate compared the two on the very measurements
// that the card's error is of: figures of different measurements do not stand in one row.
function previousErrors(model, site) {
  const own = site?.releases.find(({ release }) => release === model.release_id);
  const errors = new Map(model.tasks.map(({ task, error_release: error }) => [task, error]));
  const known = (own?.heads ?? []).filter(({ endpoint, before, after }) =>
    typeof before === "number" && typeof after === "number" && Math.abs(after - errors.get(endpoint)) <= SAME * after);
  return new Map(known.map(({ endpoint, before }) => [endpoint, before]));
}

function rows(app, task, { previous, shown }) {
  const { t } = app;
  const name = app.endpoint(task);
  const coverage = coverageOf(task);
  const more = h("tr", { class: "more", hidden: true, id: `more-${task.task}` }, h("td", { colspan: shown.length }, detail(app, task)));
  const opener = h("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-controls": more.id,
    "aria-label": t("model.more_of", { name: name.short }), onclick: () => {
      more.hidden = !more.hidden;
      opener.setAttribute("aria-expanded", String(!more.hidden));
    } });
  const cells = {
    endpoint: h("th", { scope: "row", title: name.full }, h("span", {}, name.short), h("small", {}, unitOf(task)), task.private && h("small", { class: "tag" }, t("model.private"))),
    made: h("td", {}, made(t, task)),
    n_train: h("td", { class: "n" }, count(task.n_train)),
    n_test: h("td", { class: "n" }, count(task.n_test)),
    metric: h("td", { class: "soft" }, task.metric || "–"),
    alone: h("td", { class: "n" }, errorText(task.error_local)),
    previous: h("td", { class: "n" }, errorText(previous)),
    release: h("td", { class: "n" }, h("b", {}, errorText(task.error_release))),
    compared: h("td", { class: "compared" }, relative(app, task)),
    within: h("td", { class: "n" }, coverage === null ? "–" : percent(coverage)),
    "": h("td", { class: "open" }, opener),
  };
  return [h("tr", {}, shown.map((key) => cells[key])), more];
}

function made(t, task) {
  const used = [...task.ways].filter(({ share }) => share > 0).sort((a, b) => b.share - a.share);
  if (!used.length) return "–";
  return t(`model.made.${used[0].share >= WHOLE ? used[0].name : "average"}`);
}

function axisHead() {
  const marks = [[0.5, "50"], [1, "100"], [1.5, percent(1.5)]];
  return svg("svg", { class: "relative-head", viewBox: "0 0 160 12", "aria-hidden": "true" },
    marks.map(([at, text]) => svg("text", { x: shareAt(at), y: 10, "text-anchor": "middle" }, text)));
}

function detail(app, task) {
  const { t } = app;
  const known = task.confidence;
  const plots = [
    known?.levels.length && [t("model.plot.calibration"), calibration(app, known.levels)],
    known?.curve.length && [t("model.plot.curve"), curve(app, known)],
  ].filter(Boolean);
  const ways = task.ways.filter(({ share }) => share > 0).map(({ name, share, error }) =>
    h("li", {}, `${percent(share)} ${t(`model.way.${name}`)}`, typeof error === "number" && h("small", {}, ` ${task.metric} ${errorText(error)}`)));
  const facts = [
    known?.width && [t("model.width"), t("model.width_text", { half: (known.width / 2).toPrecision(2), n: count(known.n) })],
    known && [t("model.domain"), t("model.domain_text", { similarity: known.similarity.toFixed(2) })],
    known?.pooled && ["", t("model.pooled")],
  ].filter(Boolean);
  return h("div", { class: "detail" },
    h("div", {}, h("p", {}, app.endpoint(task).full), ways.length > 0 && h("ul", { class: "ways" }, ways),
      h("dl", {}, facts.flatMap(([name, said]) => [h("dt", {}, name), h("dd", {}, said)])),
      !plots.length && h("p", { class: "soft" }, t("model.too_little"))),
    plots.map(([title, plot]) => h("figure", {}, plot, h("figcaption", {}, title))));
}
