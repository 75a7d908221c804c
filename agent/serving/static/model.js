// The view "the model": what the release that answers can do, how it came here, and what the silo has
// a part in. Mounted by the shell.

import { h, put } from "./elements.js";
import { since } from "./numbers.js";
import { coverageMap } from "./model/coverage.js";
import { endpointTable } from "./model/endpoints.js";
import { releaseHistory } from "./model/history.js";
import { bytes, count, day, percent } from "./model/words.js";

/** Shows the view. */
export function mount(element, app) {
  const { t, model } = app;
  const site = h("div", { class: "model-site" });
  const table = h("section", { class: "panel" });
  put(element, h("div", { class: "model" },
    heading(app, null), h("div", { class: "model-figures" }), table, site, making(app), howToRead(t)));
  const draw = (known) => {
    put(element.querySelector(".model-figures"), figures(app, known));
    put(table, endpointTable(app, model, known));
    put(site, known && [releaseHistory(app, known), coverageMap(app, known), part(app, known)]);
  };
  draw(null);
  let gone = false;
  ask(app).then((known) => known && !gone && draw(known));
  return () => { gone = true; };
}

// What the keeper tells of the site; a server that does not show it leaves the rest of the page as it is.
async function ask({ api, me, notify }) {
  if (!me.shows.includes("site")) return null;
  try {
    return await api.get("/v1/site");
  } catch (error) {
    if (error.status !== 404 && error.code !== "not_allowed") notify(error, "error");
    return null;
  }
}

function heading({ t, model, lang }) {
  return h("header", { class: "model-head" },
    h("h1", {}, t("release.version", { version: model.version })),
    h("p", { class: "soft" }, t("model.since", { id: model.release_id, day: day(model.gated, lang), since: since(model.gated, lang) })));
}

function figures({ t, model, lang }, site) {
  const compared = model.tasks.filter((task) => task.error_local !== null && task.error_release !== null);
  const better = compared.filter((task) => task.error_release <= task.error_local);
  const covered = model.tasks.map(coverageOf).filter((share) => share !== null);
  const newest = site && Object.values(site.endpoints).map((one) => one.newest).filter(Boolean).sort().at(-1);
  const shown = [
    [count(model.tasks.length), t("model.endpoints_n")],
    model.window && [count(model.window.compounds), t("model.compounds_n")],
    compared.length && [t("model.of", { n: better.length, all: compared.length }), t("model.better_n")],
    covered.length && [percent(covered.reduce((sum, share) => sum + share, 0) / covered.length), t("model.covered_n")],
    newest && [newest.slice(0, 10), t("model.newest_n")],
    model.window?.last && !newest && [day(model.window.last, lang), t("model.newest_n")],
  ].filter(Boolean);
  return h("ul", { class: "model-numbers" }, shown.map(([value, what]) => h("li", {}, h("b", {}, value), h("span", {}, what))));
}

/** How many of the newest labels lay within their 90 % intervals, or null. */
export function coverageOf(task) {
  const level = task.confidence?.levels.find(({ predicted }) => Math.abs(predicted - 0.9) < 1e-6);
  return level ? level.observed : null;
}

// What the silo gave and what came back, beside each other.
function part({ t, model, lang }, { contribution }) {
  const { rounds, updates, bytes_sent: sent, last_sent: last } = contribution;
  const shared = model.tasks.filter((task) => !task.private && task.error_local !== null && task.error_release !== null && task.error_local > 0);
  const gains = shared.map((task) => 1 - task.error_release / task.error_local).sort((a, b) => a - b);
  const median = gains.length ? gains[gains.length >> 1] : null;
  const unmeasured = model.tasks.filter((task) => !task.n_train).length;
  const pair = (name, value) => [h("dt", {}, name), h("dd", {}, value)];
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("model.part"))),
    h("div", { class: "two" },
      h("div", {}, h("h3", {}, t("model.gave")), h("dl", {},
        pair(t("model.rounds"), count(rounds)), pair(t("model.updates"), count(updates)), pair(t("model.bytes"), bytes(sent)),
        pair(t("model.last_sent"), last ? day(last, lang) : "–")),
      h("p", { class: "soft" }, t("model.gave_text"))),
      h("div", {}, h("h3", {}, t("model.got")), h("dl", {},
        pair(t("model.got_better"), t("model.of", { n: gains.filter((gain) => gain > 0).length, all: gains.length })),
        pair(t("model.got_median"), median === null ? "–" : `${median > 0 ? "−" : "+"}${percent(Math.abs(median))}`),
        pair(t("model.got_new"), count(unmeasured))),
      h("p", { class: "soft" }, t("model.got_text")))));
}

function making({ t, model, lang }) {
  const { recipe, window: labels, cost, network, features } = model;
  const facts = [
    ["plan", model.plan_id], ["created", day(model.created, lang)], ["gated", day(model.gated, lang)],
    labels?.first && ["window", `${labels.first} – ${labels.last}`],
    labels && ["labels", count(labels.labels)],
    cost && ["cost", t("model.cost_text", { seconds: count(Math.round(cost.seconds)), mb: count(Math.round(cost.peak_mb)) })],
    ["network", network.hidden.join(" – ")],
    ["features", t("model.features_text", { version: features.version, columns: count(features.hash_size) })],
    recipe && ["recipe", t("model.recipe_text", { rounds: recipe.rounds, local: recipe.local_epochs, fine: recipe.finetune_epochs })],
    ["signatures", t("model.signatures_text")],
  ].filter(Boolean);
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("model.making"))),
    h("dl", { class: "facts" }, facts.map(([key, value]) => [h("dt", {}, t(`model.${key}`)), h("dd", {}, value)]).flat()));
}

function howToRead(t) {
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("model.read"))),
    h("dl", { class: "facts" }, ["error", "interval", "inside"].flatMap((key) => [h("dt", {}, t(`model.read.${key}`)), h("dd", {}, t(`model.read.${key}_text`))])));
}
