// Numbers for people: as many digits as the error allows, units as chemists write them.

const UNITS = {
  uM: "µM", "uL/min/mg": "µL/min/mg", "uL/min/10^6 cells": "µL/min/10⁶ cells",
  "10^-6 cm/s": "10⁻⁶ cm/s", ratio: "", "%": "%",
};
const MINUS = "−";
const STEPS = [["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60]];

/** Writes a unit. */
export function unitOf(task) {
  return task.kind === "classification" ? "%" : UNITS[task.unit] ?? task.unit;
}

/** Whether an endpoint is compared by ratio (its model's scale is a logarithm) and not by difference. */
export function byRatio(task) {
  return task.kind === "regression" && task.transform !== "identity";
}

/** Writes a value of an endpoint in its unit; `width` is that of its interval, if there is one. */
export function valueText(task, value, width = null) {
  if (task.kind === "classification") return fixed(100 * value, 0);
  if (byRatio(task)) return significant(value, 2);
  if (task.unit === "%") return fixed(value, 0);
  return fixed(value, width === null ? 2 : decimals(width));
}

/** Writes a measured value: what was written down, without the noise of a float. */
export function measuredText(task, measured) {
  const sign = measured.qualifier && measured.qualifier !== "=" ? `${measured.qualifier} ` : "";
  return sign + (task.kind === "classification" ? fixed(100 * measured.value, 0) : significant(measured.value, 3));
}

/** Writes how far `after` is from `before`: a factor where ratios count, else a difference. */
export function changeText(task, before, after) {
  if (byRatio(task)) {
    if (!(before > 0) || !(after > 0)) return "";
    const factor = after >= before ? after / before : before / after;
    return factor < 1.05 ? "×1.0" : `${after > before ? "×" : "÷"}${significant(factor, 2)}`;
  }
  const scale = task.kind === "classification" ? 100 : 1;
  const change = scale * (after - before);
  const digits = scale === 100 || task.unit === "%" ? 0 : 2;
  const text = fixed(Math.abs(change), digits);
  return Number(text) === 0 ? "±0" : (change > 0 ? "+" : MINUS) + text;
}

/** Writes a number with so many significant digits, thousands apart. */
export function significant(value, digits) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -3 || size > 6) return scientific(value, digits, size);
  const rounded = Number(value.toPrecision(digits));
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(rounded))));
  return fixed(rounded, places);
}

/** Writes a number with so many decimals. */
export function fixed(value, places) {
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return value < 0 && Number(text.replaceAll(",", "")) !== 0 ? MINUS + text : text;
}

/** Says how long ago a moment was, in words. */
export function since(moment, lang) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  const words = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
  const [unit, length] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
  return words.format(-Math.round(seconds / length), unit);
}

function decimals(width) {
  return width >= 1 ? 1 : 2;
}

function scientific(value, digits, size) {
  const raised = [...String(size)].map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)])).join("");
  return `${fixed(value / 10 ** size, digits - 1)}×10${raised}`;
}
