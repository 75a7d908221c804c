// Axes in an endpoint's own unit, spaced as the model sees it: by ratio where it learns logarithms.

const FEW = 5;

/** Returns `{ahead, back}`, from a value to where it lies on the axis and back. */
export function spacing(transform) {
  if (transform === "log10" || transform === "neg_log10_molar") {
    return { kind: "log", ahead: Math.log10, back: (at) => 10 ** at };
  }
  if (transform === "log10_plus_1") {
    return { kind: "log1", ahead: (value) => Math.log10(1 + value), back: (at) => 10 ** at - 1 };
  }
  return { kind: "linear", ahead: (value) => value, back: (at) => at };
}

/**
 * Returns an axis over some values: `at(value)` in 0..1, `value(share)`, and `ticks`.
 *
 * Its ends are the outermost values but for the farthest 0.1 % on each side, which are drawn at the edge.
 */
export function axis(transform, values) {
  const { kind, ahead, back } = spacing(transform);
  const places = Float64Array.from(values, ahead).filter(Number.isFinite).sort();
  const cut = Math.floor(places.length / 1000);
  let from = places.length ? places[cut] : 0;
  let to = places.length ? places[places.length - 1 - cut] : 1;
  const room = (to - from || 1) * 0.04;
  [from, to] = [from - room, to + room];
  const clamp = (share) => Math.min(1, Math.max(0, share));
  const at = (value) => {
    const place = ahead(value);
    if (Number.isFinite(place)) return clamp((place - from) / (to - from));
    return Number.isNaN(value) ? NaN : 0;
  };
  const value = (share) => back(from + share * (to - from));
  return { at, value, ticks: ticks(kind, value(0), value(1), at), kind };
}

function ticks(kind, low, high, at) {
  if (kind === "linear") return linear(low, high);
  const found = [];
  if (kind === "log1" && low <= 0) found.push(0);
  for (const factors of [[1], [1, 3], [1, 2, 5]]) {
    const list = decades(Math.max(low, 1e-12), high, factors);
    if (list.length >= 3 || factors.length === 3) {
      if (list.length < 2) return linear(low, high);
      return [...found, ...thin(list)].filter((tick, i, all) => !i || at(tick) - at(all[i - 1]) > 0.06);
    }
  }
  return found;
}

function decades(low, high, factors) {
  const list = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const factor of factors) {
      const tick = Number(`${factor}e${power}`);
      if (tick >= low && tick <= high) list.push(tick);
    }
  }
  return list;
}

function thin(list) {
  const every = Math.ceil(list.length / (FEW + 1));
  return list.filter((_, i) => i % every === 0);
}

function linear(low, high) {
  const rough = (high - low) / (FEW + 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const list = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) list.push(Number((i * step).toPrecision(12)));
  return list;
}
