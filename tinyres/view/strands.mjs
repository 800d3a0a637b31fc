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
    chains: around(cell).map((path) => ({ path, where: path.dataset.chain })),
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

// cells: of strandsOf; look: {nodes: {name: |g|}, blocks: [{grad_norm, skip, branch}]}; top: the |g| drawn widest.
export function moved(cells, look, top) {
  const width = (norm) => (known(norm) && top > 0 ? Math.max(THINNEST, WIDEST - PER_DECADE * (Math.log10(top) - Math.log10(norm))) : null);
  const norms = cells.map((c) => (c.block >= 0 ? look.blocks[c.block]?.grad_norm : look.nodes[c.name]));
  const shrunk = Math.min(1, MOST / Math.max(1e-9, ...look.blocks.flatMap((b) => [b.skip, b.branch]).filter(Number.isFinite).map(Math.abs)));
  cells.forEach((cell, i) => {
    const entering = cell.block >= 0 || i === 0 ? norms[i] : look.out;
    for (const { path, where } of cell.chains) {
      const norm = where === "entering" ? entering : where === "own" ? norms[i] : cells[i + 1] && cells[i + 1].block < 0 ? look.out : norms[i + 1];
      stroke(path, width(norm));
    }
    if (cell.texts.norm) cell.texts.norm.textContent = number(norms[i]);
    if (cell.block >= 0) split(cell, look.blocks[cell.block], width(norms[i]), shrunk);
  });
}

function split(cell, block, whole, shrunk) {
  const share = { skip: block.skip, branch: block.branch };
  const wide = (kind) => (whole === null || !Number.isFinite(share[kind]) ? null : Math.abs(share[kind]) * whole * shrunk);
  const sum = (wide("branch") ?? 0) + (wide("skip") ?? 0);
  const foot = { branch: sum / 2 - (wide("branch") ?? 0) / 2, skip: sum / 2 - (wide("branch") ?? 0) - (wide("skip") ?? 0) / 2 };
  for (const { path, under, kind, d } of cell.strands) {
    const at = d.replaceAll("{f}", (cell.y + foot[kind]).toFixed(1));
    path.setAttribute("d", at);
    under.setAttribute("d", at);
    stroke(path, wide(kind));
    path.classList.toggle("tr-negative", share[kind] < 0);
  }
  for (const kind of ["skip", "branch"]) if (cell.texts[kind]) cell.texts[kind].textContent = told(share[kind]);
}

// Under each strand lies a hairline, which is dashed where there is no width.
function stroke(path, width) {
  path.setAttribute("stroke-width", width === null ? 0 : width.toFixed(2));
  path.previousElementSibling?.classList.toggle("tr-undefined", width === null);
}
