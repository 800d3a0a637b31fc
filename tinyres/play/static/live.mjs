// The views of one net in a notebook: its frames come from Python, in messages, each with what a trace measured.
import { Losses, Norms } from "./curves.mjs";
import { Heat } from "./fields.mjs";
import { figureOf } from "./frames.mjs";
import { Ledger } from "./ledger.mjs";
import { ribbons } from "./ribbons.mjs";
import { choosing } from "./view/choosing.mjs";
import { number } from "./view/strands.mjs";

const given = JSON.parse(document.getElementById("given").textContent), nets = { residual: given.name };
const $ = (id) => document.getElementById(id), main = $("views");
const FIGURES = [
  { id: "ribbon", title: "The gradient on its way from the loss to the input", full: true, keys: [["--skip", "over the skip"], ["--branch", "through the branch"], ["--chain", "not split"]],
    told: "It flows from right to left. Width: log |g|, nine decades; where it splits, by the shares. Negative shares are hatched; a hairline is a share of 0; dashed, |g| is 0 or not finite. Click a block for its ledger." },
  { id: "norms", title: "|g| at the input of each block", keys: [], told: "L2 norm over the whole batch, logarithmic; a gap where it is 0 or not finite." },
  { id: "ledger", title: "The ledger of a block", keys: [], told: "What came back over each way out of the block's input. A share is signed: its part along the whole; shares add up to 1." },
  { id: "losses", title: "Loss of these rows", keys: [], told: "At each look, logarithmic; a gap where it is not a number." },
  { id: "heat", title: "|g| by block and look", keys: [], told: "" },
];
const NUMBERS = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const known = (_, value) => (value && typeof value === "object" && value.$ in NUMBERS ? NUMBERS[value.$] : value);

let frame = null;
const places = Object.fromEntries(FIGURES.map((figure) => [figure.id, figureOf(main, figure, () => {})]));
const choice = choosing({
  line: $("status"), drawings: () => [norms.drawing], enter: (block) => { ledger.choose(block); if (frame) show(); },
  told: (block) => {
    const b = frame?.nets.residual.look.blocks[block];
    return b && `block ${block}: |g| ${number(b.grad_norm)}, |x| ${number(b.x_norm)}, skip ${number(b.skip)}, branch ${number(b.branch)}`;
  },
});
const norms = new Norms(places.norms, choice.choose), losses = new Losses(places.losses), heat = new Heat(places.heat, nets), ledger = new Ledger(places.ledger);
const move = ribbons(places.ribbon, given.ribbon, (_, cells) => choice.walkable(cells), nets);
for (const id of ["norms", "ledger", "heat"]) $(`f-${id}`).hidden = !given.blocks;

function show() {
  move(frame);
  move.tell(frame);
  if (given.blocks) for (const view of [norms, heat]) view.show();
  losses.show();
  if (given.blocks) ledger.frame(frame, null, false, given.name);
  $("live").textContent = `Step ${frame.step}. ${frame.sentences.join(" ")}`;
  choice.retold();
  parent.postMessage({ height: document.documentElement.scrollHeight }, "*");
}

addEventListener("message", ({ source, data }) => {
  if (source !== parent || typeof data?.frame !== "string") return;
  const { step, sentences, losses: past, nodes, edges, blocks } = JSON.parse(data.frame, known);
  const norm = Object.fromEntries(nodes.map((node) => [node.name, node.grad_norm]));
  frame = { step, sentences, nets: { residual: { look: { nodes, edges, blocks, gradNorm: (name) => norm[name] } } } };
  losses.clear();
  losses.take({ losses: past });
  if (given.blocks) for (const view of [norms, heat]) view.take(frame);
  show();
});
new ResizeObserver(() => { for (const chart of [norms, losses]) if (chart.place.clientWidth) chart.fit(); }).observe(main);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const chart of [norms, losses]) chart.redraw(); });
parent.postMessage({ ready: true }, "*");
