// Which releases came, what the gate found, and why each was taken or refused.

import { h } from "../elements.js";
import { count, errorText, minute } from "./words.js";

const LEFT = new Set(["refused", "rolled back"]);
const OUTCOMES = ["better", "within_chance", "tolerated", "worse", "new", "not_judged", "missing", "not_finite"];
const AT_FIRST = 6;

/** Returns the panel. */
export function releaseHistory(app, { releases }) {
  const { t } = app;
  const list = h("ol", { class: "history" }, releases.map((one, i) => entry(app, one, i >= AT_FIRST)));
  const rest = releases.length - AT_FIRST;
  const all = rest > 0 && h("button", { type: "button", class: "link no-print", onclick: () => {
    for (const one of list.children) one.hidden = false;
    all.remove();
  } }, t("model.all_releases", { n: count(rest) }));
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, t("model.history")), h("p", { class: "soft" }, t("model.history_text"))),
    releases.length ? list : h("p", { class: "soft" }, t("model.no_releases")), all);
}

function entry(app, one, hidden) {
  const { t, lang } = app;
  const kind = one.state === "active" ? "is-active" : LEFT.has(one.state) ? "is-gone" : "is-past";
  return h("li", { class: kind, hidden },
    h("div", { class: "history-head" },
      h("b", {}, one.version === null ? one.release : t("release.version", { version: one.version })), h("span", { class: "state" }, t(`model.state.${one.state}`)),
      h("span", { class: "soft" }, `${one.release} · ${minute(one.time, lang)}`), balance(app, one.heads)),
    one.reason && h("p", { class: "reason", lang: "en" }, one.reason),
    one.heads.length > 0 && details(app, one));
}

// How many heads fared how, in one line.
function balance({ t }, heads) {
  const found = OUTCOMES.map((outcome) => [outcome, heads.filter(({ verdict }) => verdict === outcome).length]).filter(([, n]) => n);
  return h("span", { class: "balance-words" }, found.map(([outcome, n]) => h("span", { class: `verdict ${outcome}` }, `${n} ${t(`model.verdict.${outcome}`)}`)));
}

function details(app, { release, heads }) {
  const { t } = app;
  const rank = ({ verdict }) => -OUTCOMES.indexOf(verdict);
  const sorted = [...heads].sort((a, b) => rank(a) - rank(b));
  return h("details", {}, h("summary", {}, t("model.heads")),
    h("div", { class: "scroll" }, h("table", { class: "heads", "aria-label": release },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("model.col.endpoint")), h("th", { scope: "col", class: "n" }, t("model.before")),
        h("th", { scope: "col", class: "n" }, t("model.after")), h("th", { scope: "col" }, t("model.verdict")))),
      h("tbody", {}, sorted.map((head) => h("tr", {},
        h("th", { scope: "row" }, nameOf(app, head.endpoint)), h("td", { class: "n" }, errorText(head.before)), h("td", { class: "n" }, errorText(head.after)),
        h("td", { title: head.sentence ?? "" }, h("span", { class: `verdict ${head.verdict}` }, t(`model.verdict.${head.verdict}`)))))))));
}

/** An endpoint's short name; one that the active release no longer has keeps its id. */
export function nameOf(app, endpoint) {
  const task = app.model.tasks.find(({ task }) => task === endpoint) ?? { task: endpoint, name: endpoint };
  return app.endpoint(task).short;
}
