// The shell: who asks, which release answers, which view is shown, in which language and colours.
//
// A view is a module with `mount(element, app)`. It is mounted when first shown and kept; when the
// language or the release changes it is emptied and mounted again, so what it must remember belongs
// to its module, not to `mount`. `mount` may return a function that is called before that.
// `app` has: api (get, post, delete, request), t(key, values), lang, theme, model (the card, or null), me,
// silo, endpoint(task), notify(text or problem, kind), sentence(problem), refresh().

import { client } from "./api.js";
import { loadEndpoints, named } from "./endpoints.js";
import { h, put } from "./elements.js";
import { LANGUAGES, firstLanguage, speak } from "./i18n.js";
import { since } from "./numbers.js";
import { notices } from "./notices.js";
import { applyTheme, firstTheme, THEMES } from "./themes.js";
import { tokenDialog } from "./token.js";

const VIEWS = ["one", "many", "model"];
const POLL_MS = 30_000;
const EVERYTHING = { name: "local", scopes: ["predict", "data", "admin"], access: "open", shows: ["neighbours", "percentiles", "site"] };

const app = {
  api: null, t: (key) => key, lang: firstLanguage(), theme: firstTheme(), model: null, me: EVERYTHING,
  silo: document.querySelector("meta[name=onggi-silo]").content,
  endpoint: (task) => named(task, app.lang),
  notify: (said, kind = "info") => notices.show(typeof said === "string" ? said : sentence(said), kind, app.t("close")),
  sentence: (problem) => sentence(problem),
  refresh: () => follow(true),
};
const views = new Map(); // name -> {element, stop}
let problem = null; // why no card is there

start();

async function start() {
  applyTheme(app.theme);
  app.t = await speak(app.lang);
  await loadEndpoints();
  document.documentElement.lang = app.lang;
  const ask = tokenDialog(app);
  app.api = client(async (refusal) => {
    const given = await ask(refusal);
    if (given !== null) setTimeout(follow, 0, true); // another bearer may do other things
    return given;
  });
  window.addEventListener("hashchange", show);
  drawTop();
  await follow();
  show();
  setInterval(() => document.hidden || follow(true), POLL_MS);
}

/** Looks which release answers; a new one mounts the views anew. */
async function follow(quiet = false) {
  const before = standing();
  try {
    app.me = await app.api.get("/v1/me", { quiet }).catch(openWhere404);
    app.model = await app.api.get("/v1/model", { quiet });
    problem = null;
  } catch (error) {
    problem = error;
    if (error.code === "no_release") app.model = null;
  }
  drawTop();
  if (before !== standing()) remount();
}

/** What the views depend on: the release, or why there is none. */
function standing() {
  return app.model?.release_id ?? problem?.code;
}

function openWhere404(error) {
  if (error.status !== 404) throw error;
  return EVERYTHING;
}

function remount() {
  for (const [name, view] of views) {
    view.stop?.();
    view.element.remove();
    views.delete(name);
  }
  if (document.readyState !== "loading") show();
}

function viewName() {
  const wanted = location.hash.slice(1).split("?")[0];
  return VIEWS.includes(wanted) ? wanted : VIEWS[0];
}

async function show() {
  const name = viewName();
  document.title = [app.t(`nav.${name}`), app.silo, "Onggi"].filter(Boolean).join(" · ");
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const [other, view] of views) view.element.hidden = other !== name;
  if (views.has(name)) return;
  const element = h("section", { class: `view view-${name}`, "aria-label": app.t(`nav.${name}`) });
  const view = { element, stop: null };
  views.set(name, view);
  document.getElementById("main").append(element);
  if (app.model === null) {
    put(element, nothingYet());
    return;
  }
  const module = await import(`./${name}.js`);
  if (views.get(name) === view) view.stop = module.mount(element, app) ?? null;
}

function nothingYet() {
  return h("div", { class: "empty", role: "alert" },
    h("h1", {}, app.t(problem?.status === 401 ? "empty.token" : "empty.title")),
    h("p", {}, problem ? sentence(problem) : app.t("empty.text")),
    h("button", { type: "button", class: "plain-button", onclick: () => follow() }, app.t("again")));
}

function sentence(error) {
  const key = `problem.${error.code}`;
  const said = app.t(key, { seconds: error.retryAfter ?? "" });
  return said === key ? error.message : said;
}

async function choose(lang) {
  app.lang = lang;
  app.t = await speak(lang);
  document.documentElement.lang = lang;
  drawTop();
  remount();
}

function drawTop() {
  const { t } = app;
  document.querySelector(".skip").textContent = t("skip");
  const links = VIEWS.map((name) => h("a", { href: `#${name}` }, t(`nav.${name}`)));
  const focused = document.activeElement?.id;
  put(document.getElementById("top"),
    h("a", { class: "brand", href: "#one" },
      h("img", { src: "/static/onggi.svg", alt: "", width: 26, height: 26 }),
      h("span", {}, h("b", {}, "Onggi"), app.silo && h("small", {}, app.silo))),
    h("nav", { "aria-label": t("nav.label") }, links),
    freshness(),
    h("div", { class: "settings" }, access(),
      pick("lang", t("language"), Object.entries(LANGUAGES), app.lang, choose),
      pick("theme", t("theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), app.theme, dye)));
  if (focused) document.getElementById(focused)?.focus();
  put(document.getElementById("foot"), h("p", {}, t("foot.domain")),
    h("p", {}, h("a", { href: "/docs" }, t("foot.api")), " · ", h("a", { href: "/openapi.json" }, "OpenAPI")));
  for (const link of links) if (link.hash === `#${viewName()}`) link.setAttribute("aria-current", "page");
}

function freshness() {
  const { t, model, lang } = app;
  if (model === null) return h("p", { class: "release late" }, t("release.none"));
  const words = [t("release.version", { version: model.version }), t("release.taken", { since: since(model.gated, lang) })];
  return h("p", { class: "release", title: `${model.release_id} · ${model.gated}` },
    h("b", {}, words[0]), h("span", {}, words[1]),
    problem?.status === 0 && h("span", { class: "late" }, t("release.lost")));
}

function access() {
  const { t, me } = app;
  if (me.access !== "token" && !app.api?.hasToken()) return null;
  const forget = () => { app.api.forgetToken(); follow(); };
  return h("button", { type: "button", class: "link", id: "access", title: t("token.leave"), onclick: forget },
    me.name === "local" ? t("token.leave") : t("token.as", { name: me.name }));
}

function pick(id, label, options, chosen, act) {
  return h("select", { id, "aria-label": label, title: label, onchange: (event) => act(event.target.value) },
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
}

function dye(theme) {
  app.theme = theme;
  applyTheme(theme);
  window.dispatchEvent(new Event("themechange")); // for what paints on a canvas
}
