"use strict";
// One block at a time is chosen, by pointer, keyboard or chart; everything that shows it carries data-block.
const data = JSON.parse(document.getElementById("data").textContent);
const chosenLine = document.getElementById("chosen");
const cells = [...document.querySelectorAll(".tr-cell[data-block]")];
let charts = [];
let chosen = -1;

function choose(block, from) {
  if (block === chosen || !(block >= 0 && block < data.told.length)) return;
  for (const e of document.querySelectorAll("[data-block].on")) e.classList.remove("on");
  for (const e of document.querySelectorAll(`[data-block="${block}"]`)) e.classList.add("on");
  chosen = block;
  chosenLine.textContent = data.told[block];
  for (const { plot, perBlock } of charts) {
    if (perBlock && plot !== from) plot.setCursor({ left: plot.valToPos(block, "x"), top: plot.bbox.height / 2 / devicePixelRatio }, false);
  }
}

for (const kind of ["mouseover", "focusin"]) {
  document.addEventListener(kind, (event) => {
    const shown = event.target.closest("[data-block]");
    if (shown) choose(Number(shown.dataset.block));
  });
}

// The ribbon is one stop of the Tab key; arrows go from block to block, Enter to the nodes of a block.
cells.forEach((cell, i) => {
  cell.setAttribute("tabindex", i === 0 ? "0" : "-1");
  cell.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: cells.length - 1 }[event.key];
    if (event.key === "Enter") return showNodes(cell.dataset.block);
    if (to === undefined || !cells[to]) return;
    event.preventDefault();
    cell.setAttribute("tabindex", "-1");
    cells[to].setAttribute("tabindex", "0");
    cells[to].focus();
  });
  cell.addEventListener("click", () => showNodes(cell.dataset.block));
});

function showNodes(block) {
  const row = document.querySelector(`#nodes tr[data-block="${block}"]`) ?? document.querySelector(`#tables tr[data-block="${block}"]`);
  if (!row) return;
  const folded = row.closest("details");
  if (folded) folded.open = true;
  row.scrollIntoView({ block: "center" });
  row.tabIndex = -1;
  row.focus({ preventScroll: true });
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

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

function bars(signs) {
  const fill = (colour) => {
    const [plain, striped] = [css(colour), hatched(css(colour))];
    return { unit: 3, values: () => signs[colour].map((negative) => (negative ? striped : plain)) };
  };
  return (colour) => uPlot.paths.bars({ size: [0.8, 48], disp: { fill: fill(colour), stroke: fill(colour) } });
}

function options(chart, width) {
  const axis = { stroke: css("--text"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") } };
  const count = chart.x.length;
  const barsOf = chart.kind === "bars" ? bars(Object.fromEntries(chart.series.map((s) => [s.colour, s.negative]))) : null;
  const names = chart.names;
  return {
    width, height: 230, legend: { show: false }, padding: [10, 16, 0, 0],
    cursor: { y: false, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: [-0.5, count - 0.5] },
      y: chart.log ? { distr: 3, range: chart.range } : { range: chart.range },
    },
    axes: [
      { ...axis, grid: { show: false }, label: chart.xlabel, labelSize: 22, labelFont: "12px system-ui",
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
        space: names ? 14 + 7 * Math.max(...names.map((n) => n.length)) : 34,
        values: (_, at) => at.map((i) => (Number.isInteger(i) && i >= 0 && i < count ? (names ? names[i] : i) : "")) },
      { ...axis, size: 58, label: chart.ylabel, labelSize: 20, labelFont: "12px system-ui",
        ...(chart.log ? { splits: decades, filter: (_, at) => at } : {}),
        values: (_, at) => at.map((v) => (v === null ? "" : label(v))) },
    ],
    series: [{}, ...chart.series.map((s) => ({
      stroke: css(s.colour), width: s.dash ? 1.5 : 2, dash: s.dash ? [6, 4] : undefined, spanGaps: false,
      points: s.dash ? { show: false } : { show: chart.kind === "line", size: count > 40 ? 4 : 6, fill: css(s.colour) },
      ...(barsOf && !s.dash ? { paths: barsOf(s.colour), fill: css(s.colour), points: { show: false } } : {}),
    }))],
    hooks: { setCursor: [(plot) => {
      const { idx, event } = plot.cursor;
      if (chart.perBlock && event && idx !== null && idx !== undefined) choose(idx, plot);
    }] },
  };
}

function draw() {
  for (const { plot } of charts) plot.destroy();
  charts = data.charts.map((chart) => {
    const place = document.getElementById(chart.id);
    const columns = [chart.x, ...chart.series.map((s) => s.values)];
    return { plot: new uPlot(options(chart, place.clientWidth), columns, place), perBlock: chart.perBlock, place };
  });
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("resize", () => {
  for (const { plot, place } of charts) plot.setSize({ width: place.clientWidth, height: 230 });
});
