// View 8: of one block, how the gradient at its input adds up from what came over the skip and through the branch.
import { number } from "./view/strands.mjs";

// Digits behind the point that show a number with four significant ones; the same for all that are added.
function places(value) { return Math.max(0, Math.min(12, 3 - Math.floor(Math.log10(Math.abs(value) || 1)))); }

// The parts of the whole as shown: each rounded, and the last one so that the sum is right to the digit.
export function addedUp(whole, shares) {
  const digits = places(whole), unit = 10 ** digits, total = Math.round(whole * unit);
  const parts = shares.map((s) => Math.round(s * whole * unit));
  const rest = total - parts.reduce((a, b) => a + b, 0);
  if (Math.abs(rest) <= 2) parts[parts.length - 1] += rest;
  const text = (v) => (v / unit).toFixed(digits);
  return { total: text(total), parts: parts.map(text), exact: Math.abs(rest) <= 2 };
}

export class Ledger {
  // acts: {onLesion, onCut, onSkip, onBranch}, or none for a net that nothing can be done to here.
  constructor(place, acts) {
    this.sum = document.createElement("p");
    this.sum.id = "sum";
    this.table = document.createElement("table");
    this.leak = document.createElement("p");
    this.leak.className = "soft";
    this.tools = document.createElement("div");
    this.tools.className = "tools";
    this.block = 0;
    this.slider = {};
    if (acts) this.equip(acts);
    const box = document.createElement("div");
    box.className = "scroll";
    box.append(this.table);
    place.append(this.sum, box, this.leak, this.tools);
    this.table.append(document.createElement("caption"), document.createElement("thead"), document.createElement("tbody"));
    this.table.tHead.innerHTML = "<tr><th class='w' scope='col'>came over</th><th class='w' scope='col'>to</th><th scope='col'>|g|</th><th scope='col'>share</th><th scope='col'>cosine</th></tr>";
  }

  equip({ onLesion, onCut, onSkip, onBranch }) {
    const button = (words, told, act) => {
      const b = document.createElement("button");
      Object.assign(b, { type: "button", textContent: words, title: told });
      b.addEventListener("click", () => act(this.block));
      this.tools.append(b);
      return b;
    };
    this.lesion = button("Lesion the block", "Multiplies its branch by 0: only the skip is left", onLesion);
    this.cut = button("Cut the skip", "Multiplies its skip by 0", onCut);
    for (const [kind, sign, high, act] of [["skip", "λ", 1.2, onSkip], ["branch", "α", 2, onBranch]]) {
      const label = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
      Object.assign(input, { type: "range", min: 0, max: high, step: 0.01 });
      input.addEventListener("input", () => { output.textContent = input.value; act(this.block, Number(input.value)); });
      label.append(`${sign} of this block `, input, output);
      this.tools.append(label);
      this.slider[kind] = { input, output };
    }
  }

  choose(block) { this.block = block; }

  // factors: {skip: [λ of each block], branch: [α of each]}, where the net has them. words: what the net is called.
  frame({ nets }, factors = null, joined = false, words = "with skips") {
    const look = nets.residual.look, block = look.blocks[this.block];
    if (!block) return;
    const edges = look.edges.filter((e) => e.src === block.input && (e.kind === "skip" || e.kind === "branch"));
    const skips = edges.filter((e) => e.kind === "skip"), branches = edges.filter((e) => e.kind === "branch");
    this.table.caption.textContent = `Block ${this.block}, ${words}: ∂L/∂x at its input, ${block.input}; cosines are with it`;
    this.equation(block, skips.length > 0 && branches.length > 0, factors);
    const behind = look.nodes.find((n) => n.name === block.output);
    this.rows(edges.length ? edges : look.edges.filter((e) => e.src === block.input && e.kind !== "parameter"));
    this.leak.textContent = Number.isFinite(block.passed) && behind.op !== "Add" ? `What comes back from the loss to this block passes the ${behind.op === "ReLU" ? "ReLU" : "activation"} behind the Add, which multiplies |g| by ${number(block.passed)}.` : "";
    if (!factors) return;
    for (const kind of ["skip", "branch"]) {
      const { input, output } = this.slider[kind], value = factors[kind][this.block];
      if (document.activeElement !== input) input.value = value;
      output.textContent = String(value);
      input.disabled = !joined;
    }
    this.lesion.disabled = this.cut.disabled = !joined;
    this.lesion.setAttribute("aria-pressed", String(factors.branch[this.block] === 0));
    this.cut.setAttribute("aria-pressed", String(factors.skip[this.block] === 0));
    this.lesion.textContent = factors.branch[this.block] === 0 ? "Put the branch back" : "Lesion the block";
    this.cut.textContent = factors.skip[this.block] === 0 ? "Put the skip back" : "Cut the skip";
  }

  equation(block, split, factors) {
    const [skip, branch, whole] = [block.skip, block.branch, block.grad_norm];
    if (!split || ![skip, branch, whole].every(Number.isFinite)) {
      this.sum.textContent = split ? `|∂L/∂x| = ${number(whole)}: there are no shares of it.` : `|∂L/∂x| = ${number(whole)}: all of it came one way, nothing is added.`;
      return;
    }
    const { total, parts } = addedUp(whole, [skip, branch]);
    const strength = (kind) => (!factors || factors[kind][this.block] === 1 ? "" : `${factors[kind][this.block]}·`);
    this.sum.textContent = `∂L/∂x = ∂L/∂H · (${strength("skip") || ""}1 + ${strength("branch")}∂F/∂x), along ∂L/∂x:  ${total} = ${parts[0]} over the skip + ${parts[1]} through the branch`;
    Object.assign(this.sum.dataset, { total, skip: parts[0], branch: parts[1] });
  }

  rows(edges) {
    const body = this.table.tBodies[0];
    body.replaceChildren(...edges.map((e) => {
      const row = document.createElement("tr");
      for (const [i, text] of [e.kind, e.dst, number(e.grad_norm), number(e.share), number(e.cosine)].entries()) {
        const cell = document.createElement(i ? "td" : "th");
        if (i < 2) cell.className = "w";
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }));
  }
}
