// Two twins in training: the net as recorded, and the same program with every skip cut, from the same weights, on the same rows.
// Everything that was changed while they trained is kept with the step it was changed at, so that any step can be come back to.

const EVERY = 50, MOST_BYTES = 64e6, POINTS = 41;

// Sets a value in a net: "lr", "skip" and "branch" (of all blocks), or "skip:3" and "branch:3" (of one).
function put(net, name, value, blocks, plain) {
  const [kind, one] = name.split(":");
  if (kind === "lr") return net.set("lr", value);
  for (let i = 0; i < blocks; i++) {
    if (one !== undefined && Number(one) !== i) continue;
    const place = `block${i}/${kind}`;
    if (net.has(place)) net.set(place, kind === "skip" && plain ? 0 : value);
  }
}

export class Twins {
  // data: {x, y, trained, features, classes}; settings: {seed, lr, skip, branch}; events: [[step, name, value], …] by step.
  constructor(engine, file, data, settings, events) {
    this.data = data;
    this.nets = { residual: engine.open(file), plain: engine.open(file) };
    this.about = this.nets.residual.about;
    this.settings = settings;
    this.events = events;
    this.restart();
  }

  get layout() { return this.nets.residual.header.look; }
  get joined() { return this.nets.residual.has("block0/skip"); }

  restart() {
    this.steps = 0;
    this.kept = [];
    for (const [name, net] of Object.entries(this.nets)) {
      for (const what of ["lr", "skip", "branch"]) put(net, what, this.settings[what], this.about.blocks, name === "plain");
      net.restart(this.settings.seed);
    }
    this.apply();
    this.measure();
    this.keep();
  }

  // Looks at the net as it is now, on the rows of the next step: that step is taken, and all state put back.
  measure() {
    for (const net of Object.values(this.nets)) {
      const state = net.snapshot();
      this.fill(net, this.steps);
      net.run("step");
      net.restore(state);
    }
  }

  // What was changed at this very step.
  apply() {
    for (const [step, name, value] of this.events) if (step === this.steps) this.change(name, value);
  }

  change(name, value) {
    for (const [net, one] of Object.entries(this.nets)) put(one, name, value, this.about.blocks, net === "plain");
  }

  // Changes a value now; what was planned for later steps is no more.
  set(name, value) {
    this.events = this.events.filter(([step, known]) => step < this.steps || (step === this.steps && known !== name));
    this.events.push([this.steps, name, value]);
    this.change(name, value);
    this.kept = this.kept.filter(([step]) => step < this.steps);
    if (this.steps === 0) this.kept = [];
    this.measure();
  }

  fill(net, step) {
    const { batch, features } = this.about, { x, y, trained } = this.data;
    const into = net.view("x"), labels = net.view("y");
    for (let r = 0; r < batch; r++) {
      const row = (step * batch + r) % trained;
      into.set(x.subarray(row * features, (row + 1) * features), r * features);
      labels[r] = BigInt(y[row]);
    }
  }

  step() {
    for (const net of Object.values(this.nets)) {
      this.fill(net, this.steps);
      const refused = net.run("step");
      if (refused) throw new Error(`step ${this.steps} was refused by ${refused.label || refused.kernel}`);
    }
    this.steps++;
    this.apply();
    if (this.steps % EVERY === 0) this.keep();
    return this.losses();
  }

  losses() { return Object.fromEntries(Object.entries(this.nets).map(([name, net]) => [name, net.get("loss")])); }

  // Every fiftieth state is kept, while there is room; then every second of them is let go.
  keep() {
    this.kept.push([this.steps, Object.fromEntries(Object.entries(this.nets).map(([name, net]) => [name, net.snapshot()]))]);
    const bytes = this.kept.reduce((sum, [, parts]) => sum + parts.residual.length + parts.plain.length, 0);
    if (bytes > MOST_BYTES && this.kept.length > 2) this.kept = this.kept.filter((_, i) => i % 2 === 0);
  }

  // Back or forward to a step, exactly.
  goto(step) {
    const from = this.kept.findLast(([at]) => at <= step);
    if (step < this.steps) {
      if (!from) { this.restart(); } else {
        this.steps = from[0];
        this.kept = this.kept.filter(([at]) => at <= this.steps);
        for (const [name, net] of Object.entries(this.nets)) net.restore(from[1][name]);
        for (const what of ["lr", "skip", "branch"]) this.change(what, this.settings[what]);
        for (const [at, name, value] of this.events) if (at <= this.steps) this.change(name, value);
        this.measure();
      }
    }
    while (this.steps < step) this.step();
  }

  // What was measured in the last step, for a page that reads it by the layout of the look.
  looks() {
    return Object.fromEntries(Object.entries(this.nets).map(([name, net]) => [name, { loss: net.get("loss"), accuracy: net.get("accuracy"), pages: net.measured() }]));
  }

  // The share of the test rows (or, without any, of those trained on) that each net gets wrong.
  errors() {
    const { x, y, trained } = this.data, rows = x.length / this.about.features;
    const [from, count] = rows > trained ? [trained, rows - trained] : [0, trained];
    return Object.fromEntries(Object.entries(this.nets).map(([name, net]) => {
      const found = this.predict(net, x.subarray(from * this.about.features), count);
      let wrong = 0;
      for (let i = 0; i < count; i++) wrong += found[i] === y[from + i] ? 0 : 1;
      return [name, wrong / count];
    }));
  }

  // The class that a net gives each row.
  predict(net, x, count) {
    const { batch, features, classes } = this.about, found = new Uint8Array(count);
    const into = net.view("predict_x");
    for (let at = 0; at < count; at += batch) {
      const rows = Math.min(batch, count - at);
      into.set(x.subarray(at * features, (at + rows) * features));
      net.run("predict");
      const logits = net.view("logits");
      for (let r = 0; r < rows; r++) {
        let best = 0;
        for (let c = 1; c < classes; c++) if (logits[r * classes + c] > logits[r * classes + best]) best = c;
        found[at + r] = best;
      }
    }
    return found;
  }

  // Classes over a square of points of the plane, row by row from the top; box: [left, right, bottom, top].
  boundary(box) {
    const x = new Float32Array(2 * POINTS * POINTS);
    for (let i = 0; i < POINTS; i++)
      for (let j = 0; j < POINTS; j++)
        x.set([box[0] + ((box[1] - box[0]) * j) / (POINTS - 1), box[3] + ((box[2] - box[3]) * i) / (POINTS - 1)], 2 * (i * POINTS + j));
    return Object.fromEntries(Object.entries(this.nets).map(([name, net]) => [name, this.predict(net, x, POINTS * POINTS)]));
  }

  // dy/dx along the line between two rows of the data: its part in the direction of the line, at as many points as the batch has.
  slopes(first, second) {
    const { batch, features } = this.about;
    const [a, b] = [first, second].map((row) => this.data.x.subarray(row * features, (row + 1) * features));
    const length = Math.hypot(...a.map((v, k) => b[k] - v)) || 1;
    const x = new Float32Array(batch * features);
    for (let r = 0; r < batch; r++) for (let k = 0; k < features; k++) x[r * features + k] = a[k] + ((b[k] - a[k]) * r) / (batch - 1);
    return Object.fromEntries(Object.entries(this.nets).map(([name, net]) => {
      net.set("predict_x", x);
      net.run("slope");
      const dy = net.get("dy"), along = new Float64Array(batch);
      for (let r = 0; r < batch; r++) for (let k = 0; k < features; k++) along[r] += (dy[r * features + k] * (b[k] - a[k])) / length;
      return [name, { along, correlation: neighbours(dy, batch, features) }];
    }));
  }
}

// The correlation of dy/dx at neighbouring points of the line, over all points and features.
function neighbours(dy, batch, features) {
  let both = 0, all = 0;
  for (let i = 0; i < batch * features; i++) {
    all += dy[i] * dy[i];
    if (i + features < batch * features) both += dy[i] * dy[i + features];
  }
  return all > 0 ? (both / all) * (batch / (batch - 1)) : NaN;
}
