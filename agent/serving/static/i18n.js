// Texts by key in two languages; what a language lacks is said in English.

export const LANGUAGES = { en: "English", ko: "한국어" };
const KEPT = "onggi.lang";
const PARTS = ["", "many.", "model."];
const loaded = new Map();

/** Returns the language to begin with: the one chosen before, else the browser's. */
export function firstLanguage() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return navigator.languages.some((name) => name.startsWith("ko")) ? "ko" : "en";
}

/** Loads a language and returns `t(key, values)`; `{name}` in a text is replaced by its value. */
export async function speak(lang) {
  localStorage.setItem(KEPT, lang);
  const [texts, english] = await Promise.all([load(lang), load("en")]);
  return (key, values = {}) => {
    const text = texts[key] ?? english[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
}

async function load(lang) {
  if (!loaded.has(lang)) loaded.set(lang, gather(lang));
  return loaded.get(lang);
}

async function gather(lang) {
  const parts = await Promise.all(PARTS.map((part) => read(`/static/texts/${part}${lang}.json`)));
  return Object.assign({}, ...parts);
}

async function read(path) {
  const response = await fetch(path);
  return response.json();
}
