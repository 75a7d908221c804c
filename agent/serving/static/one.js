// One compound: draw or paste it, see what the model says and how far to trust it, change it, compare.

import { h, put } from "./elements.js";
import { heat } from "./one/heat.js";
import { neighbours } from "./one/neighbours.js";
import { radar } from "./one/radar.js";
import { rows } from "./one/rows.js";
import { referenceBar, sketch } from "./one/sketch.js";
import { depict } from "./structure.js";

const DRAWING_MS = 60; // after the last stroke
const IDLE_MS = 300; // after a prediction: then the slower questions are asked
const SETTLED_MS = 1500; // then a structure is worth remembering
const MOST_PAST = 12;
const EXAMPLE = "CC(C)NCC(O)COc1cccc2ccccc12"; // propranolol

// What outlives a change of language or release. In memory only: no structure is ever stored.
const memory = { text: "", now: null, reference: null, past: [], endpoint: null };
let sets = { release: null, found: [] };

/** Shows the view. */
export function mount(element, app) {
  const state = { failure: null, answer: null, explained: null, near: null, asking: null, timers: {} };
  const picked = (task) => { memory.endpoint = task; draw(); };
  const parts = {
    rows: rows(app, picked), heat: heat(app, picked), radar: radar(app),
    near: neighbours(app, (smiles) => parts.sketch.set(smiles)),
    sketch: sketch(app, (given) => later("ask", DRAWING_MS, () => take(given)), tools()),
  };
  const bar = h("div", { class: "whatif no-print" });
  const past = h("div", { class: "past no-print", role: "group", "aria-label": app.t("past.title") });
  const summary = h("div", { class: "summary", "aria-live": "polite" });
  parts.sketch.element.append(bar, past);
  memory.endpoint = app.model.tasks.some((task) => task.task === memory.endpoint) ? memory.endpoint : app.model.tasks[0].task;
  put(element, h("div", { class: "one" },
    h("div", { class: "left" }, parts.sketch.element, parts.heat.element, parts.radar.element),
    h("div", { class: "right" }, summary, parts.rows.element),
    parts.near.element));
  parts.sketch.begin();
  begin();
  window.addEventListener("hashchange", followLink);
  return () => {
    window.removeEventListener("hashchange", followLink);
    state.asking?.abort();
    for (const timer of Object.values(state.timers)) clearTimeout(timer);
    memory.text = parts.sketch.field.value;
    parts.sketch.end();
  };

  // Another view, or a link within the page, opens a structure here.
  function followLink() {
    const linked = linkedStructure();
    if (linked) parts.sketch.set(linked);
  }

  async function begin() {
    const linked = linkedStructure();
    draw();
    if (linked) parts.sketch.set(linked);
    else if (memory.now) parts.sketch.restore(memory.now);
    else if (memory.text) parts.sketch.set(memory.text);
    await Promise.all([loadSets(app), renew(memory.reference)]);
    draw();
  }

  /** Asks again for the reference: another release may answer now. */
  async function renew(reference) {
    if (reference === null) return;
    const [answer, explained] = await Promise.allSettled([predicted(reference.given), app.api.post("/v1/explain", asked(reference.given))]);
    reference.answer = answer.value ?? reference.answer;
    reference.explained = explained.value ?? reference.explained;
  }

  function later(name, pause, act) {
    clearTimeout(state.timers[name]);
    state.timers[name] = setTimeout(act, pause);
  }

  /** Asks for a structure; whatever was asked before it is given up. */
  async function take(given) {
    state.asking?.abort();
    const asking = state.asking = new AbortController();
    memory.now = given;
    state.failure = null;
    if (given === null) {
      Object.assign(state, { answer: null, explained: null, near: null });
      draw();
      return;
    }
    element.classList.add("asks");
    try {
      const answer = await predicted(given, asking.signal);
      state.answer = answer;
      parts.sketch.fault("");
      draw();
      later("idle", IDLE_MS, () => lookCloser(given, asking.signal));
      later("settled", SETTLED_MS, () => remember(given));
    } catch (error) {
      failed(error);
    } finally {
      if (state.asking === asking) element.classList.remove("asks");
    }
  }

  async function predicted(given, signal) {
    const answer = await app.api.post("/v1/predict", { structures: [asked(given)] }, { signal });
    if (answer.release !== app.model.release_id) app.refresh();
    const [result] = answer.results;
    if (result.error) throw Object.assign(new Error(result.error.cause), { step: result.error.step });
    return result.predictions;
  }

  async function lookCloser(given, signal) {
    const [explained, near] = await Promise.allSettled([
      app.api.post("/v1/explain", asked(given), { signal }),
      app.me.shows.includes("neighbours") ? app.api.post("/v1/neighbours", { ...asked(given), most: 10 }, { signal }) : Promise.reject(new Error("not shown")),
      loadSets(app), // they are worked out for some seconds after a release came
    ]);
    if (signal.aborted) return;
    state.explained = explained.status === "fulfilled" ? explained.value : null;
    state.near = near.status === "fulfilled" ? near.value.neighbours : null;
    draw();
  }

  function failed(error) {
    if (error.name === "AbortError") return;
    Object.assign(state, { answer: null, explained: null, near: null });
    state.failure = error.step ? app.t("one.fault", { step: app.t(`step.${error.step}`), cause: error.message }) : app.sentence(error);
    if (error.step) parts.sketch.fault(state.failure);
    else app.notify(error, "error");
    draw();
  }

  function remember(given) {
    if (!given.shown) return;
    memory.past = [given.shown, ...memory.past.filter((smiles) => smiles !== given.shown)].slice(0, MOST_PAST);
    drawPast();
  }

  function draw() {
    const before = state.answer && memory.reference ? memory.reference.answer : null;
    const shown = { predictions: state.answer, before, sets: sets.found };
    parts.rows.draw(shown);
    parts.rows.choose(memory.endpoint);
    parts.radar.draw(shown);
    parts.heat.draw({ name: memory.endpoint, now: state.explained, reference: memory.reference?.explained ?? null });
    parts.near.draw(state.near, memory.endpoint);
    put(summary, said());
    referenceBar(app, bar, { now: state.answer && memory.now, reference: memory.reference, keep, swap, drop });
    drawPast();
  }

  function said() {
    if (state.failure !== null) return [h("h1", {}, app.t("said.failed")), h("p", {}, state.failure)];
    if (state.answer === null) {
      return [h("h1", {}, app.t("one.start")), h("p", {}, app.t("one.start.text"), " ",
        h("button", { type: "button", class: "link", id: "example", onclick: () => parts.sketch.set(EXAMPLE) }, app.t("one.example")))];
    }
    const all = Object.values(state.answer);
    const count = (test) => all.filter(test).length;
    const values = { n: all.length, inside: count((one) => one.inside === true), measured: count((one) => one.measured), unknown: count((one) => one.inside === null || one.inside === undefined) };
    return [h("h1", {}, app.t(headline(values), values)),
      h("p", {}, [values.measured > 0 && app.t("said.measured", values), memory.reference && app.t("said.compared")].filter(Boolean).join(" ")),
      h("p", { class: "mono print-only" }, [memory.now.shown, memory.reference && `(${app.t("whatif.on")}: ${memory.reference.shown})`].filter(Boolean).join("  "))];
  }

  function drawPast() {
    past.hidden = memory.past.length < 2;
    put(past, memory.past.map((smiles) => {
      const drawing = depict(smiles, 76, 52);
      drawing?.element.setAttribute("aria-hidden", "true");
      return h("button", { type: "button", title: smiles, "aria-label": smiles, onclick: () => parts.sketch.set(smiles) }, drawing?.element ?? "…");
    }));
  }

  function keep() {
    memory.reference = { given: memory.now, shown: memory.now.shown, answer: state.answer, explained: state.explained };
    const kept = memory.reference;
    if (kept.explained === null) app.api.post("/v1/explain", asked(kept.given)).then((said) => { kept.explained = said; draw(); }, () => {});
    draw();
    document.getElementById("keep")?.focus();
  }

  function swap() {
    const { given } = memory.reference;
    memory.reference = state.answer ? { given: memory.now, shown: memory.now.shown, answer: state.answer, explained: state.explained } : null;
    parts.sketch.restore(given);
  }

  function drop() {
    memory.reference = null;
    draw();
    document.getElementById("keep")?.focus();
  }

  function tools() {
    return [h("button", { type: "button", class: "link", id: "share", onclick: share }, app.t("one.share")),
      h("button", { type: "button", class: "link", onclick: () => window.print() }, app.t("one.print"))];
  }

  async function share() {
    if (!memory.now?.shown) return;
    // Behind the hash: browsers send that part to nobody.
    const link = `${location.origin}/#one?smiles=${encodeURIComponent(memory.now.shown)}`;
    try {
      await navigator.clipboard.writeText(link);
      app.notify(app.t("one.shared"));
    } catch {
      app.notify(link); // no clipboard without TLS: to be copied by hand
    }
  }
}

function headline({ n, inside, unknown }) {
  if (unknown === n) return "said.unknown";
  return inside === 0 && unknown === 0 ? "said.none" : "said.inside";
}

function asked(given) {
  return given.molblock === undefined ? { smiles: given.smiles } : { molblock: given.molblock };
}

/** Takes the structure out of the address, where the browser's history would keep it. */
function linkedStructure() {
  const [view, query] = location.hash.slice(1).split("?");
  const smiles = new URLSearchParams(query ?? "").get("smiles");
  if (smiles) history.replaceState(null, "", `#${view}`);
  return smiles;
}

async function loadSets(app) {
  if (sets.release === app.model.release_id || !app.me.shows.includes("percentiles")) return;
  try {
    const found = await app.api.get("/v1/percentiles", { quiet: true });
    sets = { release: app.model.release_id, found: found.sets };
  } catch {
    sets = { release: null, found: [] };
  }
}
