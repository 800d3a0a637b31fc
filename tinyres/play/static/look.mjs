// What a step measured of its gradient, as the rows of a trace: `trace.rows("layer")`, "parameter", "edge" and "block".
// The layout (tinyres/measure/layout.py) says in which row of memory which number stands; the formulas are those of
// tinyres/measure/sheet.py and tinyres/trace: same operations in the same order, so the same digits.

const SKIP = "skip", BRANCH = "branch", GATE = "gate";

// A function of `view`, which gives the memory of a name; null for a program that looks at nothing.
export function lookReader(layout) {
  if (!layout) return null;
  const { rows, width } = layout;
  return (view) => {
    const pages = layout.pages.map(view);
    const at = (row, column) => pages[Math.floor(row / rows)][(row % rows) * width + column];
    const norm = (row) => (row < 0 ? 0 : Math.sqrt(at(row, 1)));
    const measured = (shape, value, grad) => {
      const n = Math.max(1, shape.reduce((product, size) => product * size, 1)), mean = at(value, 0) / n, variance = at(value, 1) / n - mean * mean;
      return {
        value_norm: norm(value), value_mean: mean, value_std: Math.sqrt(variance < 0 ? 0 : variance),
        zeros: at(value, 3), nans: at(value, 4), infs: at(value, 5),
        grad_norm: norm(grad), grad_nans: grad < 0 ? 0 : at(grad, 4) + at(grad, 5),
      };
    };
    const nodes = layout.nodes.map(([name, op, block, shape, value, grad, dead]) => ({ name, op, block, shape, ...measured(shape, value, grad), dead: dead < 0 ? null : at(dead, 3) }));
    const parameters = layout.parameters.map(([name, shape, value, grad]) => ({ name, shape, ...measured(shape, value, grad) }));
    const edges = layout.edges.map(([src, dst, kind, count, whole, part, dot]) => {
      const g = norm(whole), own = norm(part), product = dot < 0 ? (part < 0 ? 0 : g * g) : at(dot, 0);
      return { src, dst, kind, count, grad_norm: own, share: g !== 0 ? product / (g * g) : null, cosine: g !== 0 && own !== 0 ? product / (own * g) : null };
    });
    return { nodes, parameters, edges, blocks: layout.blocks.map((block) => blockOf(block, nodes, edges)) };
  };
}

function blockOf([name, input, output, join, branchEnd, fork], nodes, edges) {
  const x = nodes[input], skip = shareOf(fork, edges, SKIP), passed = join < 0 || nodes[output].grad_norm === 0 ? null : nodes[join].grad_norm / nodes[output].grad_norm;
  return {
    block: name, input: x.name, output: nodes[output].name, x_norm: x.value_norm, grad_norm: x.grad_norm,
    skip, branch: branchOf(fork, edges, skip), strength: branchEnd < 0 || x.value_norm === 0 ? null : nodes[branchEnd].value_norm / x.value_norm, passed,
  };
}

function branchOf(fork, edges, skip) {
  if (skip === null) return shareOf(fork, edges, BRANCH);
  const shares = [shareOf(fork, edges, BRANCH), shareOf(fork, edges, GATE)].filter((share) => share !== null);
  return shares.length ? shares.reduce((sum, share) => sum + share, 0) : null;
}

// The summed share of all edges of a kind; null where there is none, or the gradient is exactly 0.
function shareOf(fork, edges, kind) {
  const shares = (fork ?? []).filter(([, own]) => own === kind).map(([edge]) => edges[edge].share);
  return shares.length && !shares.includes(null) ? shares.reduce((sum, share) => sum + share, 0) : null;
}
