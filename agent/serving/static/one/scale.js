// One axis for each endpoint, and what lies on it: the interval to scale, the value, the reference.

import { across, h, put } from "../elements.js";
import { byRatio, significant } from "../numbers.js";

// Where no percentiles are known: what a drug-like compound may have, in the endpoint's unit.
const USUAL = {
  uM: [0.1, 1000], ratio: [0.1, 100], "10^-6 cm/s": [0.1, 100], min: [1, 1000], h: [0.1, 100],
  "mL/min/kg": [1, 100], "L/kg": [0.1, 10], "": [-2, 6],
};
const kept = new Map(); // task -> [low, high]: an axis only ever grows, or a live edit would make it jump

/** Returns {at(value) -> 0..1, ticks: [[share, text]]} of an endpoint that must show these values. */
export function axis(task, quantiles, values) {
  const log = byRatio(task);
  const [low, high] = bounds(task, log, quantiles, values);
  const flat = log ? (value) => Math.log10(Math.max(value, low)) : (value) => value;
  const span = flat(high) - flat(low);
  const at = (value) => Math.min(1, Math.max(0, (flat(value) - flat(low)) / span));
  const ticks = (log ? decades(low, high) : steps(low, high)).map((value) => [at(value), tickText(task, value)]);
  return { at, ticks };
}

/** Draws one endpoint's line; `before` is the reference's prediction in a what-if. */
export function drawScale(element, line, { prediction, before, measured, quantiles }) {
  const marks = [];
  if (quantiles) {
    marks.push(across(h("i", { class: "wide" }), line.at(quantiles[5]), line.at(quantiles[95])));
    marks.push(across(h("i", { class: "core" }), line.at(quantiles[25]), line.at(quantiles[75])));
  }
  for (const [share, text] of line.ticks) marks.push(across(h("i", { class: "tick" }, h("span", {}, text)), share));
  if (before?.interval) marks.push(span(line, before.interval, "span before moves"));
  if (prediction?.interval) marks.push(span(line, prediction.interval, `span moves${prediction.inside === false ? " outside" : ""}`));
  if (before) marks.push(across(h("i", { class: "mark before moves" }), line.at(before.value)));
  if (prediction) marks.push(across(h("i", { class: `mark moves${measured ? " second" : ""}${prediction.inside === false ? " outside" : ""}` }), line.at(prediction.value)));
  if (measured) marks.push(across(h("i", { class: "diamond moves" }), line.at(measured.value)));
  put(element, marks);
}

/** Returns where a value stands among 101 quantiles, 0..100. */
export function rank(quantiles, value) {
  if (value <= quantiles[0]) return 0;
  for (let i = 1; i < quantiles.length; i += 1) {
    if (value <= quantiles[i]) {
      const width = quantiles[i] - quantiles[i - 1];
      return i - 1 + (width > 0 ? (value - quantiles[i - 1]) / width : 1);
    }
  }
  return 100;
}

function span(line, [low, high], name) {
  const from = line.at(low);
  return across(h("i", { class: name }), from, Math.max(line.at(high), from + 0.004));
}

function bounds(task, log, quantiles, values) {
  if (task.kind === "classification") return [0, 1];
  if (task.unit === "%") return log ? [0.1, 100] : [0, 100];
  const [usualLow, usualHigh] = quantiles ? [quantiles[2], quantiles[98]] : USUAL[task.unit] ?? (log ? [1, 1000] : [0, 1]);
  const room = log ? 10 : (usualHigh - usualLow) / 2; // beyond that an interval leaves the axis
  const before = kept.get(task.task) ?? [usualLow, usualHigh];
  const least = log ? Math.max(usualLow, 1e-6) / room : usualLow - room;
  const most = log ? usualHigh * room : usualHigh + room;
  const low = Math.max(Math.min(before[0], ...values), least);
  const high = Math.min(Math.max(before[1], ...values), most);
  const rounded = log ? [10 ** Math.floor(Math.log10(low) + 0.05), 10 ** Math.ceil(Math.log10(high) - 0.05)] : even(low, high);
  kept.set(task.task, rounded);
  return rounded;
}

function even(low, high) {
  const step = stepOf(low, high);
  return [Math.floor(low / step) * step, Math.ceil(high / step) * step];
}

function stepOf(low, high) {
  const rough = (high - low) / 3;
  const size = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * size).find((step) => step >= rough);
}

function steps(low, high) {
  const step = high === 1 && low === 0 ? 0.5 : stepOf(low, high);
  const count = Math.round((high - low) / step);
  return Array.from({ length: count + 1 }, (_, i) => low + i * step);
}

function decades(low, high) {
  const [from, to] = [Math.round(Math.log10(low)), Math.round(Math.log10(high))];
  const skip = to - from > 5 ? 2 : 1;
  return Array.from({ length: Math.floor((to - from) / skip) + 1 }, (_, i) => 10 ** (from + i * skip));
}

function tickText(task, value) {
  if (task.kind === "classification") return String(Math.round(100 * value));
  if (Math.abs(value) < 1e-9) return "0";
  return significant(value, Math.abs(value) >= 100 ? 3 : 1).replace(/\.0$/, "");
}
