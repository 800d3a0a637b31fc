// The views that are charts: they hold what has come in, and draw by the code of the report.
import { drawn, fed, fitted, logLimits } from "./view/charts.mjs";

const MOST = 3000; // points of a curve; then every second one is let go
const WITH = "--with", WITHOUT = "--without";
const shown = (v) => (v > 0 && v < Infinity ? v : null);

function series(colour, dash = false) { return { colour, dash, values: [], negative: [] }; }

export class Curve {
  constructor(place, chart, choose) {
    Object.assign(this, { place, chart, choose });
    this.drawing = drawn(chart, place, choose);
  }

  redraw() { this.drawing.plot.destroy(); this.drawing = drawn(this.chart, this.place, this.choose); }
  fit() { fitted(this.drawing); }
  show() { fed(this.drawing); }
}

const byBlock = (ylabel) => ({ kind: "line", x: [0], names: null, xlabel: "block, from input to loss", ylabel, log: true, range: [0.1, 10], perBlock: true });

// View 2: |g| by depth of both nets, with the fit and the law where the library gives one.
export class Norms extends Curve {
  constructor(place, choose) {
    super(place, { ...byBlock("|g|"), series: [series(WITH), series(WITHOUT), series("--soft", true), series("--branch", true)] }, choose);
  }

  take({ nets }, told) {
    const c = this.chart, [a, b, fit, theory] = c.series;
    a.values = nets.residual.look.blocks.map((k) => shown(k.grad_norm));
    const count = a.values.length, none = Array(count).fill(null);
    b.values = nets.plain?.look.blocks.map((k) => shown(k.grad_norm)) ?? none;
    const last = b.values.at(-1);
    fit.values = told?.residual?.fit ?? none;
    theory.values = told?.plain?.theory_rate && last ? a.values.map((_, i) => last * told.plain.theory_rate ** (count - 1 - i)) : none;
    if (c.x.length !== count) { c.x = [...Array(count).keys()]; }
    c.range = steady(c.range, logLimits(c.series.flatMap((s) => s.values)));
  }
}

// Ends that change only when values leave them or fill less than half of them, so that the picture does not jump.
export function steady([low, high], [wantedLow, wantedHigh]) {
  const fits = wantedLow >= low && wantedHigh <= high && Math.log(high / low) <= 2 * Math.log(wantedHigh / wantedLow) + 1e-9;
  return fits ? [low, high] : [wantedLow, wantedHigh];
}

// A curve over the steps.
class OverSteps extends Curve {
  constructor(place, chart) {
    super(place, { kind: "line", x: [], numeric: true, xlabel: "step", perBlock: false, series: [series(WITH), series(WITHOUT)], ...chart }, () => {});
  }

  add(step, ...values) {
    const c = this.chart;
    if (c.x.length && step <= c.x.at(-1)) this.back(step - 1);
    c.x.push(step);
    c.series.forEach((s, i) => s.values.push(Number.isFinite(values[i]) ? values[i] : null));
    if (c.x.length > MOST) for (const list of [c, ...c.series]) { const key = list === c ? "x" : "values"; list[key] = list[key].filter((_, i) => i % 2 === 0); }
  }

  back(step) {
    const kept = this.chart.x.filter((x) => x <= step).length;
    this.chart.x.length = kept;
    for (const s of this.chart.series) s.values.length = kept;
  }

  clear() { this.back(-1); }
}

// View 4: both losses.
export class Losses extends OverSteps {
  constructor(place) { super(place, { ylabel: "loss", log: true, range: [0.1, 10] }); }

  take({ losses }) {
    for (const [step, a, b] of losses) this.add(step, a > 0 ? a : NaN, b > 0 ? b : NaN);
  }

  show() {
    this.chart.range = logLimits(this.chart.series.flatMap((s) => s.values));
    super.show();
  }
}

// View 4: both errors.
export class Errors extends OverSteps {
  constructor(place) { super(place, { ylabel: "error", log: false, range: [0, 1] }); }

  take({ step, errors }) {
    if (!errors) return;
    this.add(step, errors.residual, errors.plain);
  }
}

// View 3: how much of the gradient passed k branches, beside what share of all paths have k.
export class Spectrum extends Curve {
  constructor(place) {
    super(place, { kind: "bars", x: [0], names: null, xlabel: "branches passed", ylabel: "share", log: false, range: [0, 1], perBlock: false,
      series: [series("--skip"), series("--branch", true)] }, () => {});
  }

  take(paths) {
    const c = this.chart;
    c.x = paths.shares.map((_, k) => k);
    c.series[0].values = paths.shares;
    c.series[0].negative = paths.shares.map((s) => s < 0);
    c.series[1].values = paths.binomial;
    const all = [...paths.shares, ...paths.binomial].filter(Number.isFinite);
    c.range = [Math.min(0, 1.05 * Math.min(...all)), 1.1 * Math.max(...all, 0.01)];
    this.redraw();
  }
}

// View 6: dy/dx along a line between two rows of the data.
export class Slopes extends Curve {
  constructor(place) {
    super(place, { kind: "line", x: [0, 1], numeric: true, xlabel: "from one row of the data to another", ylabel: "dy/dx, over its largest", log: false, range: [-1, 1],
      perBlock: false, series: [series(WITH), series(WITHOUT)] }, () => {});
  }

  take({ slopes }) {
    const c = this.chart, lines = [slopes.residual.along, slopes.plain.along];
    c.x = [...lines[0]].map((_, i, all) => i / (all.length - 1));
    c.series.forEach((s, k) => {
      const most = Math.max(...[...lines[k]].map(Math.abs));
      s.values = [...lines[k]].map((v) => (most > 0 && Number.isFinite(most) ? v / most : null));
    });
    c.range = [-1.05, 1.05];
  }
}
