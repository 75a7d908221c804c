// Numbers and dates of the model's view.

const SIZES = ["B", "kB", "MB", "GB", "TB"];

/** A whole number, thousands apart. */
export function count(number) {
  return number.toLocaleString("en");
}

/** A share in percent; Korean has no space before the sign. */
export function percent(share) {
  const space = document.documentElement.lang === "ko" ? "" : " ";
  return `${Math.round(100 * share)}${space}%`;
}

/** An error as the card has it, or a dash. */
export function errorText(error) {
  if (error === null || error === undefined) return "–";
  return error >= 10 ? error.toFixed(1) : error.toFixed(3);
}

/** So many bytes, in the unit that leaves three digits. */
export function bytes(number) {
  const step = number < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log10(number) / 3));
  const value = number / 1000 ** step;
  return `${step && value < 100 ? value.toFixed(1) : Math.round(value)} ${SIZES[step]}`;
}

/** A moment's day, as the reader's language writes it. */
export function day(moment, lang) {
  const time = Date.parse(moment);
  if (Number.isNaN(time)) return moment;
  return new Intl.DateTimeFormat(lang === "ko" ? "ko-KR" : "en-GB", { dateStyle: "medium" }).format(time);
}

/** A moment to the minute. */
export function minute(moment, lang) {
  const time = Date.parse(moment);
  if (Number.isNaN(time)) return moment;
  return new Intl.DateTimeFormat(lang === "ko" ? "ko-KR" : "en-GB", { dateStyle: "medium", timeStyle: "short" }).format(time);
}
