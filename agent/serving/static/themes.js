// Light, dark, or as the system has it; one attribute of the page, the rest is CSS.

export const THEMES = ["system", "light", "dark"];
const KEPT = "onggi.theme";

/** Returns the theme chosen before, else the system's. */
export function firstTheme() {
  const kept = localStorage.getItem(KEPT);
  return THEMES.includes(kept) ? kept : "system";
}

/** Colours the page and remembers it. */
export function applyTheme(theme) {
  localStorage.setItem(KEPT, theme);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => (theme === "system" ? (dark.matches ? "dark" : "light") : theme);
  document.documentElement.dataset.theme = wanted();
  dark.onchange = () => { document.documentElement.dataset.theme = wanted(); };
}
