// Data: the files of the site, and a CSV of the user's own, which is read here and never sent.

const MOST_ROWS = 20000, MOST_FEATURES = 256, MOST_CLASSES = 32;

// x, y, how many rows are trained on, features and classes, of a file of the site (tinyres/play/data.py says what is in it).
export async function load(name) {
  const answer = await fetch(`data/${name}.bin`);
  if (!answer.ok) throw new Error(`the data ${name} cannot be read (${answer.status})`);
  const bytes = await answer.arrayBuffer(), [trained, tested, features, classes, steps] = new Uint32Array(bytes, 0, 5), rows = trained + tested, values = rows * features;
  const x = steps ? Float32Array.from(new Uint8Array(bytes, 20, values), (v) => v / steps) : new Float32Array(bytes, 20, values);
  return { name, trained, features, classes, x, y: new Uint8Array(bytes, bytes.byteLength - rows, rows) };
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, MISSING = /^(|\?|nan|na|n\/a|null|none|[+-]?inf(inity)?)$/i;
const isNumber = (cell) => NUMBER.test(cell) && Number.isFinite(Math.fround(Number(cell)));

// A table as text: numbers, and the class in the last column; a first row with a word among its numbers is one of names.
// tinyres/play/table.py reads the same. Throws an Error that says which row is wrong.
export function fromText(text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean), by = lines[0]?.includes(";") ? ";" : lines[0]?.includes("\t") ? "\t" : ",";
  let rows = lines.map((line) => line.split(by).map((cell) => cell.trim()));
  if (rows.length && rows[0].slice(0, -1).some((cell) => !NUMBER.test(cell) && !MISSING.test(cell))) rows = rows.slice(1);
  const features = (rows[0]?.length ?? 0) - 1;
  if (rows.length < 8 || features < 1) throw new Error(`a table has 8 rows or more, with the class in the last of its columns; got ${rows.length} rows`);
  if (rows.length > MOST_ROWS || features > MOST_FEATURES) throw new Error(`a table has at most ${MOST_ROWS} rows of ${MOST_FEATURES} numbers; got ${rows.length} of ${features}`);
  rows.forEach((row, i) => {
    if (row.length !== features + 1 || row.at(-1) === "" || !row.slice(0, -1).every(isNumber)) throw new Error(`row ${i + 1} must have ${features} numbers and a class; got "${row.join(by).slice(0, 60)}"`);
  });
  const found = [...new Set(rows.map((row) => row.at(-1)))], counted = found.every((name) => NUMBER.test(name));
  const names = found.sort((a, b) => (counted && Number(a) - Number(b)) || (a < b ? -1 : 1));
  if (names.length < 2 || names.length > MOST_CLASSES) throw new Error(`a table has 2 to ${MOST_CLASSES} classes; got ${names.length}`);
  const x = Float32Array.from(rows.flatMap((row) => row.slice(0, -1).map(Number)));
  standardise(x, features);
  const order = shuffled(rows.length);
  const y = Uint8Array.from(order, (i) => names.indexOf(rows[i].at(-1)));
  const mixed = Float32Array.from({ length: x.length }, (_, at) => x[order[Math.floor(at / features)] * features + (at % features)]);
  return { name: "own", x: mixed, y, trained: Math.ceil(rows.length * 0.8), features, classes: names.length, names };
}

// Each column to mean 0 and variance 1; a column that does not vary to 0.
function standardise(x, features) {
  const rows = x.length / features;
  for (let k = 0; k < features; k++) {
    let [sum, squares] = [0, 0];
    for (let i = 0; i < rows; i++) sum += x[i * features + k];
    const mean = sum / rows;
    for (let i = 0; i < rows; i++) squares += (x[i * features + k] - mean) ** 2;
    const deviation = Math.sqrt(squares / rows) || 1;
    for (let i = 0; i < rows; i++) x[i * features + k] = (x[i * features + k] - mean) / deviation;
  }
}

// The same order for the same number of rows.
function shuffled(count) {
  let seed = 1;
  const order = Array.from({ length: count }, (_, i) => i), random = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 4294967296;
  for (let i = count - 1; i > 0; i--) { const j = Math.floor(random() * (i + 1)); [order[i], order[j]] = [order[j], order[i]]; }
  return order;
}
