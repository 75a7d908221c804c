// Small pictures of a card's figures; each says in words what it shows.

import { svg } from "../elements.js";
import { errorText, percent } from "./words.js";

const LEAST = 0.5; // of the error alone, where the axis begins
const MOST = 1.5; // and where it ends
const BOX = { width: 240, height: 132, left: 34, right: 8, top: 8, bottom: 24 };

/** The release's error as a share of what the silo reaches alone, with the interval of the former. */
export function relative({ t }, task) {
  const { error_local: alone, error_release: release, release_interval: interval } = task;
  if (!alone || release === null) return "–";
  const at = (error) => shareAt(error / alone);
  const kind = release <= alone ? "better" : "worse";
  const title = t("model.relative", { release: errorText(release), alone: errorText(alone), share: percent(release / alone) });
  return svg("svg", { class: "relative", viewBox: "0 0 160 20", role: "img", "aria-label": title },
    svg("title", {}, title),
    svg("line", { class: "axis", x1: at(alone), x2: at(alone), y1: 0, y2: 20 }),
    svg("line", { class: `stem ${kind}`, x1: at(alone), x2: at(release), y1: 10, y2: 10 }),
    interval && svg("line", { class: "whisker", x1: at(interval[0]), x2: at(interval[1]), y1: 10, y2: 10 }),
    svg("circle", { class: `point ${kind}`, cx: at(release), cy: 10, r: 4.5 }));
}

/** Where a share of the error alone lies on the axis of `relative`. */
export function shareAt(share) {
  return round(5 + ((Math.min(MOST, Math.max(LEAST, share)) - LEAST) / (MOST - LEAST)) * 150);
}

/** How many of the newest values lay in the intervals of each level. */
export function calibration({ t }, levels) {
  const { x, y, frame } = plot(1, 1);
  const path = levels.map(({ predicted, observed }, i) => `${i ? "L" : "M"}${x(predicted)} ${y(observed)}`).join("");
  const ninety = levels.find(({ predicted }) => Math.abs(predicted - 0.9) < 1e-6);
  const label = t("model.calibration_label", { share: ninety ? percent(ninety.observed) : "–" });
  return frame(label,
    svg("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    svg("path", { class: "trend", d: path }),
    levels.map(({ predicted, observed }) => svg("circle", { class: "point", cx: x(predicted), cy: y(observed), r: 3 })),
    ends(x, y, ["0", percent(1)], ["0", percent(1)]));
}

/** The mean error of compounds by how near the nearest known one is. */
export function curve({ t }, { curve: bins, similarity }) {
  const most = 1.15 * Math.max(...bins.map(({ error }) => error));
  const { x, y, frame } = plot(1, most);
  const line = bins.map(({ low, high, error }) => svg("line", { class: "step", x1: x(low), x2: x(high), y1: y(error), y2: y(error) }));
  return frame(t("model.curve_label", { similarity: similarity.toFixed(2) }),
    svg("rect", { class: "inside", x: x(similarity), y: y(most), width: x(1) - x(similarity), height: y(0) - y(most) }),
    line, ends(x, y, ["0", "1"], ["0", most.toPrecision(2)]));
}

function plot(mostX, mostY) {
  const { width, height, left, right, top, bottom } = BOX;
  const x = (value) => round(left + (value / mostX) * (width - left - right));
  const y = (value) => round(height - bottom - (value / mostY) * (height - top - bottom));
  const frame = (label, ...parts) => svg("svg", { class: "small-plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("path", { class: "axis", d: `M${x(0)} ${y(mostY)}V${y(0)}H${x(mostX)}` }), parts.flat());
  return { x, y, frame };
}

function ends(x, y, [left, right], [low, high]) {
  const { height, top, left: margin } = BOX;
  const text = (at, down, anchor, said) => svg("text", { x: at, y: down, "text-anchor": anchor }, said);
  return [
    text(x(0), height - 8, "start", left), text(BOX.width - BOX.right, height - 8, "end", right),
    text(margin - 5, y(0), "end", low), text(margin - 5, top + 8, "end", high),
  ];
}

function round(value) {
  return Math.round(10 * value) / 10;
}
