// What the page knows of the shared endpoints beside the card: their group and short names.

/** The order of the cards: absorption, distribution, metabolism, elimination, toxicity, physics, others. */
export const GROUPS = ["A", "D", "M", "E", "T", "P", "other"];

const known = new Map();

/** Loads the names; done once, before any view is mounted. */
export async function loadEndpoints() {
  const response = await fetch("/static/texts/endpoints.json");
  for (const [id, entry] of Object.entries(await response.json())) known.set(id, entry);
}

/** Returns the group and the short name of a task of the card; a private one keeps its own name. */
export function named(task, lang) {
  const entry = known.get(task.task);
  if (entry === undefined) return { group: "other", short: task.name, full: task.name };
  return { group: entry.group, short: entry[lang] ?? entry.en, full: lang === "en" ? task.name : entry[lang] };
}
