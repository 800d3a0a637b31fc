// The charts of the report and of the live page, drawn by uPlot. A chart is data: kind "line" or "bars", x, series of
// values with a colour (a CSS variable), log, range, xlabel, ylabel; names, or numbers where `numeric`; perBlock if x counts blocks.
/* global uPlot */

export const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function hatched(colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 2.5;
  pen.beginPath();
  for (const x of [-8, 0, 8]) { pen.moveTo(x, 8); pen.lineTo(x + 8, 0); }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
}

function label(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(0).replace("e+", "e") : String(Number(value.toPrecision(3)));
}

function decades(_, axis, low, high) {
  const from = Math.round(Math.log10(low)), to = Math.round(Math.log10(high));
  const step = Math.ceil((to - from) / 6);
  const at = [];
  for (let power = to; power >= from; power -= step) at.unshift(Number(`1e${power}`));
  return at;
}

function bars(chart) {
  const fill = (series) => {
    const [plain, striped] = [css(series.colour), hatched(css(series.colour))];
    return { unit: 3, values: () => series.negative.map((negative) => (negative ? striped : plain)) };
  };
  return (series) => uPlot.paths.bars({ size: [0.8, 48], disp: { fill: fill(series), stroke: fill(series) } });
}

function xAxis(chart, axis) {
  const shared = { ...axis, grid: { show: false }, label: chart.xlabel, labelSize: 22, labelFont: "12px system-ui" };
  if (chart.numeric) return { ...shared, space: 60, values: (_, at) => at.map((v) => (v === null ? "" : label(v))) };
  return {
    ...shared, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
    space: chart.names ? 14 + 7 * Math.max(...chart.names.map((n) => n.length)) : 34,
    values: (_, at) => at.map((i) => (Number.isInteger(i) && i >= 0 && i < chart.x.length ? (chart.names ? chart.names[i] : i) : "")),
  };
}

function options(chart, width, height, choose) {
  const axis = { stroke: css("--text"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") } };
  const count = chart.x.length;
  const barsOf = chart.kind === "bars" ? bars(chart) : null;
  return {
    width, height, legend: { show: false }, padding: [10, 16, 0, 0],
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: (_, low, high) => (chart.numeric ? [low ?? 0, high > low ? high : (low ?? 0) + 1] : [-0.5, chart.x.length - 0.5]) },
      y: { distr: chart.log ? 3 : 1, range: () => chart.range },
    },
    axes: [
      xAxis(chart, axis),
      { ...axis, size: 58, label: chart.ylabel, labelSize: 20, labelFont: "12px system-ui",
        ...(chart.log ? { splits: decades, filter: (_, at) => at } : {}),
        values: (_, at) => at.map((v) => (v === null ? "" : label(v))) },
    ],
    series: [{}, ...chart.series.map((s) => ({
      stroke: css(s.colour), width: s.dash ? 1.5 : 2, dash: s.dash ? [6, 4] : undefined, spanGaps: false,
      points: s.dash ? { show: false } : chart.numeric ? { show: (plot) => plot.data[0].length < 3, size: 6, fill: css(s.colour) } : { show: chart.kind === "line", size: count > 40 ? 4 : 6, fill: css(s.colour) },
      ...(barsOf && !s.dash ? { paths: barsOf(s), fill: css(s.colour), points: { show: false } } : {}),
    }))],
    hooks: { setCursor: [(plot) => {
      const { idx, event } = plot.cursor;
      if (chart.perBlock && event && idx !== null && idx !== undefined) choose(idx, plot);
    }] },
  };
}

const columns = (chart) => [chart.x, ...chart.series.map((s) => s.values)];

// Ends of a logarithmic axis: whole powers of ten, at least two apart, so that equal values look equal.
export function logLimits(values) {
  const shown = values.filter((v) => v > 0 && v < Infinity).map(Math.log10);
  if (!shown.length) return [0.1, 10];
  let [low, high] = [Math.floor(Math.min(...shown)), Math.ceil(Math.max(...shown))];
  const middle = (Math.min(...shown) + Math.max(...shown)) / 2;
  while (high - low < 2) { if (middle - low < high - middle) low -= 1; else high += 1; }
  return [10 ** Math.max(low, -307), 10 ** Math.min(high, 307)];
}

// Draws a chart into its place; choose(block, plot) is called when the pointer comes to a block.
export function drawn(chart, place, choose, height = 230) {
  const plot = new uPlot(options(chart, place.clientWidth, height, choose), columns(chart), place);
  return { plot, chart, place, height };
}

// Shows what the chart's values are now.
export function fed(drawing) {
  drawing.plot.setData(columns(drawing.chart));
}

export function fitted({ plot, place, height }) {
  plot.setSize({ width: place.clientWidth, height });
}
