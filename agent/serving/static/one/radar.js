// A profile of one compound: its percentile among approved drugs for up to nine endpoints.

import { h, put, svg } from "../elements.js";
import { fixed } from "../numbers.js";
import { rank } from "./scale.js";

const FIRST = ["solubility", "caco2_papp", "bbb_class", "ppb_human", "hlm_clint", "cyp3a4_ic50", "pk_cl_iv_rat", "herg_ic50", "logd"];
const MOST = 9;
const FEWEST = 3;
const RADIUS = 108;
const LONGEST = 14; // letters of a name on one line; a Korean one is as wide as two
const WIDTH = 480;
const HEIGHT = 320;

/** Returns {element, draw}; it hides itself where there is too little to show. */
export function radar(app) {
  const { t } = app;
  const place = h("div", {});
  const key = h("p", { class: "soft" }, t("radar.key"));
  const element = h("section", { class: "panel radar", "aria-labelledby": "radar-title", hidden: true },
    h("header", {}, h("h2", { id: "radar-title" }, t("radar.title"))), place, key);

  return {
    element,
    draw({ predictions, before, sets }) {
      const drugs = sets.find((set) => set.name === "approved_drugs");
      const tasks = drugs ? axes(app.model.tasks, drugs.endpoints) : [];
      element.hidden = tasks.length < FEWEST || !predictions;
      if (!element.hidden) put(place, chart(app, tasks, drugs.endpoints, predictions, before));
    },
  };
}

function axes(tasks, endpoints) {
  const able = tasks.filter((task) => endpoints[task.task]?.length === 101);
  const byName = new Map(able.map((task) => [task.task, task]));
  const chosen = FIRST.filter((name) => byName.has(name)).map((name) => byName.get(name));
  for (const task of able) if (chosen.length < MOST && !chosen.includes(task)) chosen.push(task);
  return chosen.slice(0, MOST);
}

function chart(app, tasks, endpoints, predictions, before) {
  const shares = (said) => tasks.map((task) => rank(endpoints[task.task], said[task.task]?.value ?? NaN));
  const now = shares(predictions);
  const words = tasks.map((task, i) => `${app.endpoint(task).short} ${fixed(now[i], 0)}`).join(", ");
  const rings = [25, 50, 75, 100].map((share) => svg("polygon", { class: share === 50 ? "ring middle" : "ring", points: outline(tasks.map(() => share)) }));
  const spokes = tasks.map((_, i) => svg("line", { class: "ring", x1: WIDTH / 2, y1: HEIGHT / 2, ...end(i, tasks.length) }));
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": app.t("radar.words", { words }) },
    rings, spokes,
    before && svg("polygon", { class: "shape before", points: outline(shares(before)) }),
    svg("polygon", { class: "shape", points: outline(now) }),
    now.map((share, i) => dot(share, i, tasks.length)),
    tasks.map((task, i) => label(app.endpoint(task).short, i, tasks.length, fixed(now[i], 0))));
}

function point(share, i, count) {
  const angle = (2 * Math.PI * i) / count - Math.PI / 2;
  const reach = (RADIUS * share) / 100;
  return [WIDTH / 2 + reach * Math.cos(angle), HEIGHT / 2 + reach * Math.sin(angle)];
}

function outline(shares) {
  return shares.map((share, i) => point(share, i, shares.length).map((x) => x.toFixed(1)).join(",")).join(" ");
}

function end(i, count) {
  const [x2, y2] = point(100, i, count);
  return { x2: x2.toFixed(1), y2: y2.toFixed(1) };
}

function dot(share, i, count) {
  const [cx, cy] = point(share, i, count);
  return svg("circle", { class: "dot", cx: cx.toFixed(1), cy: cy.toFixed(1), r: 2.5 });
}

function label(text, i, count, share) {
  const [x, y] = point(112, i, count);
  const side = Math.abs(x - WIDTH / 2) < 12 ? "middle" : x > WIDTH / 2 ? "start" : "end";
  const at = { x: x.toFixed(1), "text-anchor": side };
  const lines = broken(text);
  const top = y + 4 - 6 * lines.length + (y < HEIGHT / 2 - RADIUS ? -2 : 2);
  return svg("text", { ...at, y: top.toFixed(1) },
    lines.map((line, n) => svg("tspan", { x: at.x, dy: n === 0 ? 0 : "1.15em" }, line)),
    svg("tspan", { class: "figure", x: at.x, dy: "1.15em" }, share));
}

// SVG does not wrap: a long name is cut in two at the space nearest to its middle.
function broken(text) {
  const width = [...text].reduce((sum, letter) => sum + (letter > "\u2e80" ? 2 : 1), 0);
  if (width <= LONGEST) return [text];
  const spaces = [...text.matchAll(/ /g)].map((found) => found.index);
  if (spaces.length === 0) return [text];
  const cut = spaces.reduce((best, at) => (Math.abs(at - text.length / 2) < Math.abs(best - text.length / 2) ? at : best));
  return [text.slice(0, cut), text.slice(cut + 1)];
}
