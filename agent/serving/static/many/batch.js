// Files too large for the table: jobs of the server's own, their progress and their results.

import { h, put } from "../elements.js";
import { save } from "./save.js";

const POLL_MS = 1500;
const FORMATS = ["csv", "sdf", "parquet", "ndjson"];
const KINDS = { csv: "csv", tsv: "csv", txt: "csv", smi: "smi", smiles: "smi", sdf: "sdf", sd: "sdf", xlsx: "xlsx" };

/** The list of a person's jobs; empty and silent where the server has no such route. */
export class Jobs {
  constructor(app) {
    this._app = app;
    this._jobs = null;
    this.element = h("section", { class: "jobs", "aria-live": "polite", hidden: true });
    this._look();
  }

  /** Whether the server takes jobs. */
  get exist() {
    return this._jobs !== null;
  }

  close() {
    clearTimeout(this._timer);
    this._closed = true;
  }

  /** Sends a file as a job, its columns named where they are known. */
  async send(file, sheet) {
    const words = new URLSearchParams({ format: KINDS[file.name.toLowerCase().split(".").pop()] ?? "csv" });
    if (sheet && sheet.structure >= 0 && sheet.kind === "csv") words.set("structure", sheet.columns[sheet.structure]);
    if (sheet && sheet.id >= 0 && sheet.kind === "csv") words.set("id", sheet.columns[sheet.id]);
    await this._app.api.request(`/v1/batch?${words}`, {
      method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" },
    });
    await this._look();
  }

  async _look() {
    clearTimeout(this._timer);
    try {
      const said = await this._app.api.get("/v1/batch");
      this._jobs = said.jobs.toReversed(); // the newest first
    } catch (error) {
      if (error.status !== 404 && error.status !== 405) this._app.notify(error, "error");
      return;
    }
    if (this._closed) return;
    this._draw();
    const active = this._jobs.some(({ state }) => state === "queued" || state === "running");
    if (active) this._timer = setTimeout(() => this._look(), POLL_MS);
  }

  _draw() {
    this.element.hidden = this._jobs.length === 0;
    put(this.element, h("h2", {}, this._app.t("many.jobs")), h("ul", { class: "plain-list" }, this._jobs.map((job) => this._one(job))));
  }

  _one(job) {
    const { t } = this._app;
    const number = (count) => (count ?? 0).toLocaleString("en");
    const busy = job.state === "queued" || job.state === "running";
    return h("li", { class: "panel job" },
      h("b", {}, t(`many.job.${job.state}`)),
      job.total ? h("progress", { max: job.total, value: job.done, "aria-label": t("many.job.progress") }) : h("span"),
      h("span", { class: "soft" }, t("many.job.count", { done: number(job.done), total: job.total ? number(job.total) : "?", bad: number(job.bad) })),
      job.problem && h("span", { class: "late" }, job.problem.detail),
      job.note && h("span", { class: "soft" }, job.note),
      h("span", { class: "buttons" },
        job.state === "done" && FORMATS.map((format) => h("button", { type: "button", class: "plain-button", onclick: () => this._fetch(job, format) }, format.toUpperCase())),
        h("button", { type: "button", class: "link", onclick: () => this._remove(job) }, t(busy ? "many.cancel" : "many.job.remove"))));
  }

  async _fetch(job, format) {
    try {
      const response = await this._app.api.request(`/v1/batch/${encodeURIComponent(job.job)}/result?format=${format}`);
      save(await response.blob(), `onggi-${job.job}.${format}`);
    } catch (error) {
      this._app.notify(error, "error");
    }
  }

  async _remove(job) {
    try {
      await this._app.api.delete(`/v1/batch/${encodeURIComponent(job.job)}`);
    } catch (error) {
      this._app.notify(error, "error");
    }
    await this._look();
  }
}
