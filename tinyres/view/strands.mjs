// Moves the strands of a ribbon that tinyres.view.ribbon.live has laid out: their widths tell log |g|, as in gauge.py,
// and where the gradient splits they lie side by side by their shares.

const PER_DECADE = 3, THINNEST = 2, DECADES = 9, MOST = 1.6;
const WIDEST = THINNEST + PER_DECADE * DECADES;

const known = (norm) => norm > 0 && norm < Infinity;

export function number(value) {
  if (value === null || value === undefined) return "-";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const [digits, power] = value.toExponential(2).split("e");
    return `${digits}e${power[0]}${power.slice(1).padStart(2, "0")}`;
  }
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

const told = (share) => (share === null || share === undefined || Number.isNaN(share) ? "-" : share.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−"));

// The parts of the drawing that move, found once.
export function strandsOf(svg) {
  return [...svg.querySelectorAll(".tr-cell")].map((cell) => ({
    cell, block: cell.dataset.block === undefined ? -1 : Number(cell.dataset.block), name: cell.dataset.name, y: Number(cell.dataset.y),
    chains: around(cell).map((path) => ({ path, under: path.previousElementSibling, where: path.dataset.chain })),
    strands: [...cell.querySelectorAll("[data-strand]")].map((path) => ({ path, under: path.previousElementSibling, kind: path.dataset.strand, d: path.dataset.d })),
    texts: Object.fromEntries([...cell.querySelectorAll("[data-shows]")].map((text) => [text.dataset.shows, text])),
    title: cell.querySelector("title"),
  }));
}

// The chain into a cell that splits stands before its group.
function around(cell) {
  const own = [...cell.querySelectorAll("[data-chain]")];
  const before = cell.previousElementSibling;
  return before?.dataset.chain ? [before, ...own] : own;
}

const normsOf = (cells, look) => cells.map((c) => (c.block >= 0 ? look.blocks[c.block]?.grad_norm : look.gradNorm(c.name)));

// Moves the strands. cells: of strandsOf; look: {gradNorm(name), blocks: [{grad_norm, skip, branch, output}]}; top: the |g|
// drawn widest.
export function moved(cells, look, top) {
  const width = (norm) => (known(norm) && top > 0 ? Math.max(THINNEST, WIDEST - PER_DECADE * (Math.log10(top) - Math.log10(norm))) : null);
  const norms = normsOf(cells, look), out = look.blocks.length ? look.gradNorm(look.blocks.at(-1).output) : undefined;
  const shrunk = Math.min(1, MOST / Math.max(1e-9, ...look.blocks.flatMap((b) => [b.skip, b.branch]).filter(Number.isFinite).map(Math.abs)));
  cells.forEach((cell, i) => {
    const entering = cell.block >= 0 || i === 0 ? norms[i] : out;
    for (const chain of cell.chains) {
      const norm = chain.where === "entering" ? entering : chain.where === "own" ? norms[i] : cells[i + 1] && cells[i + 1].block < 0 ? out : norms[i + 1];
      stroke(chain, width(norm));
    }
    if (cell.block >= 0) split(cell, look.blocks[cell.block], width(norms[i]), shrunk);
  });
}

// Writes the numbers below the strands.
export function retold(cells, look) {
  const norms = normsOf(cells, look);
  cells.forEach(({ block, texts }, i) => {
    if (texts.norm) say(texts.norm, number(norms[i]));
    if (block >= 0) for (const kind of ["skip", "branch"]) if (texts[kind]) say(texts[kind], told(look.blocks[block][kind]));
  });
}

function say(text, words) { if (text.textContent !== words) text.textContent = words; }

function split(cell, block, whole, shrunk) {
  const share = { skip: block.skip, branch: block.branch };
  const wide = (kind) => (whole === null || !Number.isFinite(share[kind]) ? null : Math.abs(share[kind]) * whole * shrunk);
  const sum = (wide("branch") ?? 0) + (wide("skip") ?? 0);
  const foot = { branch: sum / 2 - (wide("branch") ?? 0) / 2, skip: sum / 2 - (wide("branch") ?? 0) - (wide("skip") ?? 0) / 2 };
  for (const strand of cell.strands) {
    const { path, under, kind, d } = strand, at = (cell.y + foot[kind]).toFixed(1), negative = share[kind] < 0;
    if (strand.at !== at) {
      strand.at = at;
      path.setAttribute("d", d.replaceAll("{f}", at));
      under.setAttribute("d", d.replaceAll("{f}", at));
    }
    stroke(strand, wide(kind));
    if (strand.negative !== negative) path.classList.toggle("tr-negative", (strand.negative = negative));
  }
}

// Under each strand lies a hairline, which is dashed where there is no width. What stays as it is is left alone.
function stroke(strand, width) {
  const wide = width === null ? "0" : width.toFixed(1);
  if (strand.wide === wide && strand.none === (width === null)) return;
  strand.path.setAttribute("stroke-width", wide);
  if (strand.none !== (width === null)) strand.under?.classList.toggle("tr-undefined", width === null);
  Object.assign(strand, { wide, none: width === null });
}
