// What the page shows, as an address: everything that makes a training what it is, and how far it has come.

export const DEFAULTS = {
  block: "he2015", blocks: 16, units: 32, batch: 64, optimizer: "adam", initializer: "preset", activation: "relu",
  data: "digits", seed: 0, lr: 0.001, skip: 1, branch: 1, events: [], at: null, stop: null,
};
export const STRUCTURAL = ["block", "blocks", "units", "batch", "optimizer", "initializer", "activation", "data"];
const NUMBERS = new Set(["blocks", "units", "batch", "seed", "lr", "skip", "branch", "at", "stop"]);
const NAMES = /^(lr|skip|branch|skip:\d{1,3}|branch:\d{1,3})$/;

export function toAddress(state) {
  const parts = [];
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    const value = state[name];
    if (name === "events") { if (value.length) parts.push(`events=${value.map((e) => e.join("~")).join("_")}`); }
    else if (value !== usual && value !== null && value !== undefined) parts.push(`${name}=${encodeURIComponent(value)}`);
  }
  return parts.length ? `#${parts.join("&")}` : "#";
}

// What an address says, as far as it can be read: of what is recorded the server judges the bounds, of the rest these.
const WHOLE = { seed: 2147483647, at: Number.MAX_SAFE_INTEGER, stop: Number.MAX_SAFE_INTEGER };
const fits = (name, v) => Number.isFinite(v) && (name !== "lr" || v >= 0) && (!Object.hasOwn(WHOLE, name) || (Number.isInteger(v) && v >= 0 && v <= WHOLE[name]));

export function fromAddress(hash) {
  const state = structuredClone(DEFAULTS);
  for (const part of hash.replace(/^#/, "").split("&")) {
    const [name, text = ""] = part.split("=");
    if (!Object.hasOwn(DEFAULTS, name)) continue;
    if (name === "events") state.events = readEvents(text);
    else if (NUMBERS.has(name)) { if (text !== "" && fits(name, Number(text))) state[name] = Number(text); }
    else if (/^[\w-]{1,40}$/.test(text)) state[name] = text;
  }
  return state;
}

function readEvents(text) {
  return text.split("_").map((one) => one.split("~")).filter(([step, name, value]) => NAMES.test(name ?? "") && fits("at", Number(step)) && fits(name, Number(value)) && value !== "")
    .map(([step, name, value]) => [Number(step), name, Number(value)]).sort((a, b) => a[0] - b[0]);
}

// What must be recorded for it, as the server takes it.
export function described(state, data) {
  return {
    block: state.block, blocks: state.blocks, units: state.units, features: data.features, classes: data.classes, batch: state.batch,
    optimizer: state.optimizer, initializer: state.initializer === "preset" ? null : state.initializer, activation: state.activation,
  };
}
