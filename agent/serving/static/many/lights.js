// Traffic lights: what is good, tolerable and bad of an endpoint, and what the reader made of it.

export const NONE = 0;
export const RED = 1;
export const AMBER = 2;
export const GREEN = 3;
const KEY = "onggi.lights";

// Blood flow through the liver, mL/min/kg (Davies and Morris, Pharm. Res. 10, 1993).
const LIVER_FLOW = { human: 20.7, monkey: 43.6, dog: 30.9, rat: 55.2, mouse: 90 };
const SPECIES = { h: "human", monkey: "monkey", d: "dog", r: "rat", m: "mouse" };

const high = (good, bad) => ({ good: [good, null], fair: [bad, null] });
const low = (good, bad) => ({ good: [null, good], fair: [null, bad] });
const between = (good, fair) => ({ good, fair });

// What chemists of most projects would say, in the catalogue's units; first match wins. What depends
// on the project (brain penetration, volume of distribution) has no light until somebody sets one.
const DEFAULTS = [
  [/^solubility/, () => high(100, 10)],
  [/^(caco2_papp|mdck_papp|pampa|pampa_ph5)$/, () => high(10, 1)],
  [/efflux_ratio/, () => low(2, 5)],
  [/^(pgp|bcrp)_substrate$|^herg_class$|^ames$|^dili$/, () => low(0.3, 0.7)],
  [/^cyp.*_inhibition_/, () => low(20, 50)],
  [/^(cyp|herg|pgp|bcrp).*ic50$/, () => high(10, 1)],
  [/^ppb_/, () => low(95, 99)],
  [/^fu_plasma_/, () => high(5, 1)],
  [/_remaining_/, () => high(70, 30)],
  [/^plasma_t_half/, () => high(120, 30)],
  [/^(hepatocyte|.*lm)_t_half|^metabolic_stability/, () => high(60, 15)],
  [/^(h|monkey_|d|r|m)lm_clint$/, () => low(10, 50)],
  [/^hepatocyte_clint/, () => low(5, 20)],
  // Extraction of 30 % and 70 % by a well-stirred liver.
  [/^(h|monkey_|d|r|m)lm_clint_kg$/, (id) => extraction(SPECIES[id.replace(/_?lm_.*/, "")], 0.3 / 0.7, 0.7 / 0.3)],
  [/^pk_cl_iv_/, (id) => extraction(id.replace("pk_cl_iv_", ""), 0.3, 0.7)],
  [/^pk_t_half_/, () => high(3, 1)],
  [/^pk_bioavailability_/, () => high(50, 20)],
  [/^logd$/, () => between([1, 3], [0, 4])],
  [/^logp$/, () => between([1, 4], [0, 5])],
];

function extraction(species, good, bad) {
  const flow = LIVER_FLOW[species];
  return low(tidy(good * flow), tidy(bad * flow));
}

function tidy(value) {
  return Number(value.toPrecision(2));
}

/** Returns an endpoint's own limits: `{good: [low, high], fair: [low, high]}`, null ends open, or null. */
export function defaultLimits(endpoint) {
  const found = DEFAULTS.find(([pattern]) => pattern.test(endpoint));
  return found ? found[1](endpoint) : null;
}

/** Tells the light of a value: within `good` is green, outside `fair` is red. */
export function lightOf(limits, value) {
  if (!limits || Number.isNaN(value)) return NONE;
  if (within(limits.good, value)) return GREEN;
  return within(limits.fair, value) ? AMBER : RED;
}

function within([from, to], value) {
  return (from === null || value >= from) && (to === null || value <= to);
}

function areLimits(limits) {
  const isEnd = (end) => end === null || Number.isFinite(end);
  return [limits?.good, limits?.fair].every((ends) => ends?.length === 2 && ends.every(isEnd));
}

/** The limits of all endpoints; what the reader set stays in this browser. */
export class Lights {
  constructor(storage = globalThis.localStorage) {
    this._storage = storage;
    try {
      const kept = Object.entries(JSON.parse(storage.getItem(KEY) ?? "{}"));
      this._own = new Map(kept.filter(([, limits]) => limits === null || areLimits(limits)));
    } catch {
      this._own = new Map(); // no storage here, or what lies in it is not ours
    }
  }

  limits(endpoint) {
    const own = this._own.get(endpoint);
    return own === undefined ? defaultLimits(endpoint) : own;
  }

  isOwn(endpoint) {
    return this._own.has(endpoint);
  }

  set(endpoint, limits) {
    this._own.set(endpoint, limits);
    this._keep();
  }

  reset(endpoint) {
    this._own.delete(endpoint);
    this._keep();
  }

  _keep() {
    try {
      this._storage.setItem(KEY, JSON.stringify(Object.fromEntries(this._own)));
    } catch {
      // a browser that keeps nothing: the limits hold until the page is closed
    }
  }
}
