// What a step measured of its gradient, as the rows of a trace: `trace.rows("layer")`, "parameter", "edge" and "block".
// The layout (tinyres/measure/layout.py) says in which row of memory which number stands; the formulas are those of
// tinyres/measure/sheet.py and tinyres/trace: same operations in the same order, so the same digits.

const SKIP = "skip", BRANCH = "branch", GATE = "gate";

// A function of the numbers, page by page (an array each), that gives a look; null for a program that looks at nothing.
// A look works out what it is asked for: {nodes, parameters, edges, blocks}, or the gradNorm of one node by its name.
export function lookReader(layout) {
  if (!layout) return null;
  const { rows, width, ends } = layout, numbers = new Map(layout.nodes[0]?.map((name, i) => [name, i]));
  const [nodes, parameters, edges, blocks] = ["nodes", "parameters", "edges", "blocks"].map((table) => rowsOf(layout[table]));
  return (pages) => {
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
    const product = ([, , , , , part, dot], g) => (dot < 0 ? (part < 0 ? 0 : g * g) : at(dot, 0));
    const share = (edge) => { const g = norm(edge[4]); return g !== 0 ? product(edge, g) / (g * g) : null; };
    const made = {
      nodes: () => nodes.map(([name, op, block, shape, value, grad, dead]) => ({ name, op, block, shape, ...measured(shape, value, grad), dead: dead < 0 ? null : at(dead, 3) })),
      parameters: () => parameters.map(([name, shape, value, grad]) => ({ name, shape, ...measured(shape, value, grad) })),
      edges: () => edges.map((edge) => {
        const [src, dst, kind, count, whole, part] = edge, g = norm(whole), own = norm(part);
        return { src: ends[src], dst: ends[dst], kind, count, grad_norm: own, share: share(edge), cosine: g !== 0 && own !== 0 ? product(edge, g) / (own * g) : null };
      }),
      blocks: () => blocks.map((block) => blockOf(block, {
        name: (i) => nodes[i][0], valueNorm: (i) => norm(nodes[i][4]), gradNorm: (i) => norm(nodes[i][5]), share: (i) => share(edges[i]),
      })),
    };
    const look = { gradNorm: (name) => (numbers.has(name) ? norm(nodes[numbers.get(name)][5]) : null) }, known = {};
    for (const [name, make] of Object.entries(made)) Object.defineProperty(look, name, { enumerable: true, get: () => (known[name] ??= make()) });
    return look;
  };
}

// The rows of a table that is given by its columns, in which whole numbers are each less the one before.
function rowsOf(columns) {
  const whole = columns.map((column) => { let sum = 0; return column.every(Number.isInteger) ? column.map((v) => (sum += v)) : column; });
  return columns[0]?.map((_, i) => whole.map((column) => column[i])) ?? [];
}

function blockOf([name, input, output, join, branchEnd, fork], of) {
  const x = of.valueNorm(input), back = of.gradNorm(output), skip = shareOf(fork, of, SKIP);
  return {
    block: name, input: of.name(input), output: of.name(output), x_norm: x, grad_norm: of.gradNorm(input),
    skip, branch: branchOf(fork, of, skip), strength: branchEnd < 0 || x === 0 ? null : of.valueNorm(branchEnd) / x,
    passed: join < 0 || back === 0 ? null : of.gradNorm(join) / back,
  };
}

function branchOf(fork, of, skip) {
  if (skip === null) return shareOf(fork, of, BRANCH);
  const shares = [shareOf(fork, of, BRANCH), shareOf(fork, of, GATE)].filter((share) => share !== null);
  return shares.length ? shares.reduce((sum, share) => sum + share, 0) : null;
}

// The summed share of all edges of a kind; null where there is none, or the gradient is exactly 0.
function shareOf(fork, of, kind) {
  const shares = (fork ?? []).filter(([, own]) => own === kind).map(([edge]) => of.share(edge));
  return shares.length && !shares.includes(null) ? shares.reduce((sum, share) => sum + share, 0) : null;
}
