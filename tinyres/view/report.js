import { drawn, fitted } from "./charts.mjs";
import { choosing } from "./choosing.mjs";

const data = JSON.parse(document.getElementById("data").textContent);
let drawings = [];

const { choose, walkable } = choosing({
  line: document.getElementById("chosen"), told: (block) => data.told[block], drawings: () => drawings, enter: showNodes,
});
walkable([...document.querySelectorAll(".tr-cell[data-block]")]);

function showNodes(block) {
  const row = document.querySelector(`#nodes tr[data-block="${block}"]`) ?? document.querySelector(`#tables tr[data-block="${block}"]`);
  if (!row) return;
  const folded = row.closest("details");
  if (folded) folded.open = true;
  row.scrollIntoView({ block: "center" });
  row.tabIndex = -1;
  row.focus({ preventScroll: true });
}

function draw() {
  for (const { plot } of drawings) plot.destroy();
  drawings = data.charts.map((chart) => drawn(chart, document.getElementById(chart.id), choose));
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
addEventListener("resize", () => drawings.forEach(fitted));
