// A trace that tinyres saved as JSON, shown by its blocks: dropped on the page, or chosen.
import { drawn, logLimits } from "./view/charts.mjs";
import { number } from "./view/strands.mjs";

const MOST_BYTES = 50e6;

export function watchDrops(input, place, status) {
  const take = async (file) => {
    try {
      if (file.size > MOST_BYTES) throw new Error(`it has ${Math.round(file.size / 1e6)} MB, and a page shows at most ${MOST_BYTES / 1e6}`);
      shown(place, file.name, JSON.parse(await file.text()));
      status(`${file.name} is shown below the views.`);
      place.scrollIntoView({ block: "nearest" });
    } catch (error) { status(`${file.name} is no trace that tinyres saved as .json: ${error.message}`); }
  };
  input.addEventListener("change", () => { if (input.files[0]) take(input.files[0]); });
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("dragging"); if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]); });
}

// The blocks of the trace (or, without any, its nodes) as a chart of |g|, and its nodes as a table.
function shown(place, name, trace) {
  if (trace?.format !== "tinyres trace" || !Array.isArray(trace.nodes?.name)) throw new Error("it lacks the nodes of a trace");
  const plain = (v) => (v && typeof v === "object" ? { nan: NaN, inf: Infinity, "-inf": -Infinity }[v.$] : v);
  const names = trace.nodes.name.map(String), norms = names.map((_, i) => plain(trace.nodes.grad_norm?.[i])), values = names.map((_, i) => plain(trace.nodes.value_norm?.[i]));
  const head = document.createElement("h2"), chart = document.createElement("div"), box = document.createElement("div"), table = document.createElement("table");
  head.textContent = `${name}: ${names.length} nodes, batch ${trace.header?.batch ?? "-"}, loss ${number(plain(trace.header?.loss))}`;
  box.className = "scroll";
  Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: "Nodes of the trace" });
  table.append(...[["node", "|y|", "|g|"], ...names.map((n, i) => [n, number(values[i]), number(norms[i])])].map((cells, r) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text, i) => Object.assign(document.createElement(r && i ? "td" : "th"), { textContent: text, className: i ? "" : "w" })));
    return row;
  }));
  box.append(table);
  place.replaceChildren(head, chart, box);
  place.hidden = false;
  const shownNorms = norms.map((v) => (v > 0 && v < Infinity ? v : null));
  drawn({ kind: "line", x: names.map((_, i) => i), names: null, xlabel: "node, from input to loss", ylabel: "|g|", log: true, range: logLimits(shownNorms), perBlock: false,
    series: [{ colour: "--text", values: shownNorms }] }, chart, () => {});
}
