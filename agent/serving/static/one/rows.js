// The endpoints, in a card for each group: value, interval to scale, percentiles, and whether to believe it.

import { GROUPS } from "../endpoints.js";
import { across, h, put } from "../elements.js";
import { changeText, fixed, measuredText, unitOf, valueText } from "../numbers.js";
import { axis, drawScale, rank } from "./scale.js";

/** Returns {element, draw, choose}; `picked(task)` is called when a person picks an endpoint. */
export function rows(app, picked) {
  const { t, model } = app;
  const lines = new Map(model.tasks.map((task) => [task.task, line(app, task, picked)]));
  const cards = GROUPS.map((group) => card(app, group, model.tasks.filter((task) => app.endpoint(task).group === group), lines));
  const element = h("div", { class: "groups" }, heading(t), cards);

  return {
    element,
    /** Shows the predictions of the structure, and of the reference where there is one. */
    draw({ predictions, before, sets }) {
      element.classList.toggle("compares", Boolean(before));
      element.classList.toggle("ranked", sets.length > 0);
      for (const task of model.tasks) {
        lines.get(task.task).draw(predictions?.[task.task] ?? null, before?.[task.task] ?? null, sets);
      }
    },
    choose(name) {
      for (const [task, entry] of lines) entry.name.setAttribute("aria-pressed", String(task === name));
    },
  };
}

function heading(t) {
  const cell = (key, name) => h("span", { class: name }, t(key));
  return h("div", { class: "line heading", "aria-hidden": "true" }, cell("row.endpoint", "name"), cell("row.before", "was"),
    cell("row.value", "value"), cell("row.change", "change"), intervalKey(t), ranksKey(t), cell("row.domain", "domain"));
}

function intervalKey(t) {
  return h("span", { class: "scale-cell" }, t("row.interval"), h("span", { class: "rank-key ranked-only" }, h("span", {}, h("i", { class: "band" }), t("key.band"))));
}

function ranksKey(t) {
  return h("span", { class: "ranks" }, t("row.rank"),
    h("span", { class: "rank-key" }, h("span", {}, h("i", {}), t("key.drugs")), h("span", {}, h("i", { class: "own" }), t("key.own"))));
}

function card(app, group, tasks, lines) {
  if (tasks.length === 0) return null;
  const title = `group-${group}`;
  const names = { endpoint: null, before: "was", value: null, change: "change", interval: null, rank: "ranks", domain: null };
  return h("section", { class: "panel group", "aria-labelledby": title },
    h("h2", { id: title }, h("span", { class: "letter", "aria-hidden": "true" }, group === "other" ? "+" : group), app.t(`group.${group}`)),
    h("div", { role: "table", "aria-labelledby": title },
      h("div", { role: "row", class: "unseen" }, Object.entries(names).map(([name, part]) => h("span", { role: "columnheader", class: part }, app.t(`row.${name}`)))),
      tasks.map((task) => lines.get(task.task).element)));
}

function line(app, task, picked) {
  const { short, full } = app.endpoint(task);
  const name = h("button", { type: "button", class: "pick", "aria-pressed": "false", title: `${full}. ${app.t("heat.pick")}`, onclick: () => picked(task.task) }, short);
  const parts = Object.fromEntries(["was", "value", "change", "scale-cell", "ranks", "domain"].map((part) => [part, h("div", { role: "cell", class: part })]));
  parts.was.dataset.label = app.t("row.before"); // for narrow screens, which show no heads
  parts.change.dataset.label = app.t("row.change");
  const scale = h("div", { class: "scale", "aria-hidden": "true" });
  const words = h("p", { class: "words", role: "cell" });
  const element = h("div", { role: "row", class: "line", dataset: { endpoint: task.task } },
    h("div", { role: "rowheader", class: "name" }, name, task.private && h("small", {}, app.t("row.private"))),
    Object.values(parts), words);
  const draw = (prediction, before, sets) => {
    const measured = prediction?.measured ?? null;
    const quantiles = sets.map((set) => [set.name, set.endpoints[task.task]]).filter(([, values]) => values?.length === 101);
    const drugs = quantiles.find(([kind]) => kind === "approved_drugs")?.[1];
    element.classList.toggle("blank", prediction === null);
    put(parts.was, before && valueText(task, before.value, width(before)));
    put(parts.value, prediction && value(app, task, prediction, { measured, compared: before !== null }));
    put(parts.change, prediction && before && change(app, task, before, prediction));
    const shown = [prediction, before].filter(Boolean).flatMap((said) => [said.value, ...(said.interval ?? [])]);
    drawScale(scale, axis(task, drugs, measured ? [...shown, measured.value] : shown), { prediction, before, measured, quantiles: drugs });
    put(parts["scale-cell"], prediction?.interval && h("span", { class: "unseen" }, range(task, prediction)), scale);
    put(parts.ranks, prediction && quantiles.map(([kind, values]) => bar(app, kind, rank(values, measured?.value ?? prediction.value))));
    put(parts.domain, prediction && domain(app, prediction));
    put(words, prediction && prediction.inside === false && reason(app, task, prediction));
    words.hidden = prediction?.inside !== false;
  };
  return { element, name, draw };
}

function width(prediction) {
  return prediction.interval ? prediction.interval[1] - prediction.interval[0] : null;
}

// What was measured comes first, unless two structures are compared: then like is put beside like.
function value(app, task, prediction, { measured, compared }) {
  const unit = h("span", { class: "unit" }, unitOf(task));
  const predicted = valueText(task, prediction.value, width(prediction));
  if (measured === null) return [h("b", {}, predicted), unit, prediction.interval && h("small", { "aria-hidden": "true" }, range(task, prediction))];
  if (compared) {
    return [h("b", {}, predicted), unit,
      h("small", { class: "measured whole" }, h("i", { class: "diamond", "aria-hidden": "true" }), app.t("row.measured.as", { value: measuredText(task, measured) }))];
  }
  return [h("b", {}, measuredText(task, measured)), unit,
    h("small", { class: "measured whole" }, h("i", { class: "diamond", "aria-hidden": "true" }), app.t("row.measured", { n: measured.n })),
    h("small", { class: "whole" }, app.t("row.predicted", { value: predicted }))];
}

function range(task, prediction) {
  return prediction.interval.map((end) => valueText(task, end, width(prediction))).join(" – ");
}

function change(app, task, before, prediction) {
  const text = changeText(task, before.value, prediction.value);
  const [low, high] = before.interval ?? [];
  const clear = low !== undefined && (prediction.value < low || prediction.value > high);
  return h("span", { class: clear ? "clear" : "within", title: app.t(clear ? "change.clear" : "change.within") }, text);
}

function bar(app, kind, share) {
  const label = app.t("row.rank.of", { set: app.t(`set.${kind}`), share: fixed(share, 0) });
  return h("div", { class: `rank ${kind}`, title: label },
    h("span", { class: "unseen" }, label),
    h("span", { class: "track", "aria-hidden": "true" }, across(h("i", { class: "moves" }), 0, Math.max(share / 100, 0.01))),
    h("span", { class: "figure", "aria-hidden": "true" }, fixed(share, 0)));
}

function domain(app, { inside, similarity }) {
  const kind = inside === null || inside === undefined ? "unknown" : inside ? "inside" : "outside";
  const near = similarity === null || similarity === undefined ? null : fixed(similarity, 2);
  return h("span", { class: `flag ${kind}`, title: app.t(`domain.${kind}.long`, { near: near ?? "–" }) },
    h("i", { "aria-hidden": "true" }), app.t(`domain.${kind}`), near && h("small", {}, h("span", { class: "unseen" }, app.t("domain.near")), near));
}

function reason(app, task, prediction) {
  const limits = task.confidence ?? {};
  const known = (value) => (value === null || value === undefined ? "–" : fixed(value, 2));
  const values = { near: known(prediction.similarity), from: known(limits.similarity), spread: known(prediction.spread), to: known(limits.spread) };
  return (prediction.outside_by ?? []).map((limit) => app.t(`outside.${limit}`, values)).join(" ");
}
