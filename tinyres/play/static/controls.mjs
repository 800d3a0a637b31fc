// The controls, each with one line that says what it does. Those of what is recorded lead to a new record, the others act at once.

export const CONTROLS = [
  { name: "blocks", words: "depth (blocks)", kind: "log", low: 1, high: 128, recorded: true, told: "How many blocks stand one behind the other; the slider is logarithmic." },
  { name: "units", words: "width (units)", kind: "log", low: 2, high: 128, recorded: true, told: "Units of each Dense layer." },
  { name: "block", words: "block", kind: "choice", options: "presets", recorded: true, told: "" },
  { name: "initializer", words: "initialiser", kind: "choice", options: "initializers", recorded: true, told: "Size of the first weights; preset: the one that belongs to the block." },
  { name: "activation", words: "activation", kind: "choice", options: "activations", recorded: true, told: "The function between the layers of a block." },
  { name: "skip", words: "skip strength λ", kind: "range", low: 0, high: 1.2, step: 0.01, told: "Every skip is multiplied by λ: 1 is the residual net, 0 its plain twin. For one block: in its ledger." },
  { name: "branch", words: "branch scale α", kind: "range", low: 0, high: 2, step: 0.01, told: "Every branch is multiplied by α before the Add." },
  { name: "data", words: "data", kind: "choice", options: ["digits", "spirals", "rings", "xor", "own"], recorded: true, told: "8×8 handwritten digits, points of the plane, or a CSV of your own, which stays in this page." },
  { name: "own", words: "your CSV", kind: "file", told: "Numbers, one row a line, the class in the last column; a first line of names may stand above." },
  { name: "optimizer", words: "optimizer", kind: "choice", options: "optimizers", recorded: true, told: "What turns the gradient into a step; sgd has momentum 0.9." },
  { name: "lr", words: "learning rate", kind: "decades", low: -5, high: 0.5, step: 0.05, told: "How far a step goes; it acts at once, in both nets." },
  { name: "batch", words: "batch", kind: "choice", options: [16, 32, 64, 128], recorded: true, told: "Rows of the data in each step." },
  { name: "seed", words: "seed", kind: "number", low: 0, high: 2147483647, told: "Where the random weights start from, a whole number from 0 to 2147483647; another one restarts both nets." },
];

const rounded = (v) => Number(v.toPrecision(3));
const SCALES = {
  log: { to: (v) => Math.log(v), from: (v) => Math.round(Math.exp(v)), ends: (c) => [Math.log(c.low), Math.log(c.high), 0.001] },
  range: { to: (v) => v, from: (v) => rounded(v), ends: (c) => [c.low, c.high, c.step] },
  decades: { to: (v) => Math.log10(v), from: (v) => rounded(10 ** v), ends: (c) => [c.low, c.high, c.step] },
};

// Builds them into the form. changed(name, value, over): over is false while a slider is still being moved.
export function controls(form, about, changed) {
  const made = {};
  for (const control of CONTROLS) {
    const field = document.createElement("div"), label = document.createElement("label"), told = document.createElement("small");
    field.className = "control";
    label.textContent = control.words;
    label.htmlFor = `c-${control.name}`;
    told.id = `t-${control.name}`;
    told.textContent = control.told;
    const { input, output, set } = inputs[control.kind in SCALES ? "slider" : control.kind](control, about, (value, over) => changed(control.name, value, over));
    input.id = `c-${control.name}`;
    input.setAttribute("aria-describedby", told.id);
    if (output) label.append(output);
    field.append(label, input, told);
    form.append(field);
    made[control.name] = { control, field, input, told, set };
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  return {
    made,
    show(state) {
      for (const [name, { set }] of Object.entries(made)) if (set && state[name] !== undefined) set(state[name]);
      made.block.told.textContent = about.presets[state.block] ?? "";
      made.own.field.hidden = state.data !== "own";
    },
    ask(name) { made.data.set(name); made[name].field.hidden = false; },
    joined(has) { for (const name of ["skip", "branch"]) made[name].input.disabled = !has; },
  };
}

const inputs = {
  slider(control, _, changed) {
    const input = document.createElement("input"), output = document.createElement("output"), scale = SCALES[control.kind];
    const [min, max, step] = scale.ends(control);
    Object.assign(input, { type: "range", min, max, step });
    const value = () => scale.from(Number(input.value));
    const tell = (v) => { output.textContent = String(v); input.setAttribute("aria-valuetext", String(v)); };
    input.addEventListener("input", () => { tell(value()); changed(value(), false); });
    input.addEventListener("change", () => changed(value(), true));
    if (control.kind === "log") {
      input.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (!by) return;
        event.preventDefault();
        const to = Math.max(control.low, Math.min(control.high, value() + by));
        input.value = scale.to(to);
        tell(to);
        changed(to, true);
      });
    }
    return { input, output, set: (v) => { if (document.activeElement !== input || value() !== v) input.value = scale.to(v); tell(v); } };
  },
  choice(control, about, changed) {
    const input = document.createElement("select");
    const options = typeof control.options === "string" ? Object.keys(about[control.options]) : control.options;
    for (const option of options) input.append(new Option(String(option), String(option)));
    input.addEventListener("change", () => changed(typeof options[0] === "number" ? Number(input.value) : input.value, true));
    return { input, set: (v) => { if (![...input.options].some((o) => o.value === String(v))) input.append(new Option(String(v), String(v))); input.value = String(v); } };
  },
  number(control, _, changed) {
    const input = document.createElement("input");
    let held = control.low;
    Object.assign(input, { type: "number", min: control.low, max: control.high, step: 1 });
    input.addEventListener("change", () => {
      const value = Math.round(Number(input.value));
      if (input.value !== "" && value >= control.low && value <= control.high) changed(value, true); else input.value = held;
    });
    return { input, set: (v) => { input.value = held = v; } };
  },
  file(_, about, changed) {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept: ".csv,.txt,text/csv" });
    input.addEventListener("change", () => { if (input.files[0]) changed(input.files[0], true); });
    return { input };
  },
};
