// The file of a program (.trp), taken apart and checked; tinyres/store/program_file.py says what stands in it.

export class ProgramError extends Error {
  constructor(problem) {
    super(`[program] the file of a net must be what tinyres exported; ${problem}; export it again`);
    this.name = "ProgramError";
  }
}

const MAGIC = [0x89, 0x54, 0x52, 0x50, 0x0d, 0x0a, 0x1a, 0x0a], VERSION = 2, FIXED = 24, LARGEST = 2 ** 31, ABSENT = 0xffffffff;
const WIDTHS = { float32: 4, float64: 8, int64: 8, bool: 1 };

// {header, stored, calls}: the header as an object, and two Uint8Arrays. Throws ProgramError.
export function parseProgram(file) {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
  if (bytes.length < FIXED || MAGIC.some((byte, i) => bytes[i] !== byte)) throw new ProgramError("this one is no program");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length), [version, size, checksum, zero] = [8, 12, 16, 20].map((at) => view.getUint32(at, true));
  if (version !== VERSION) throw new ProgramError(`it has version ${version}, and this page reads ${VERSION}`);
  const rest = bytes.subarray(FIXED);
  if (zero || size % 8 || size > rest.length || crc32(rest) !== checksum) throw new ProgramError("it is damaged");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(rest.subarray(0, size)));
    return { header, ...checked(header, rest.subarray(size)) };
  } catch (error) {
    throw error instanceof ProgramError ? error : new ProgramError(`it is damaged (${error.message})`);
  }
}

function checked(header, rest) {
  const image = whole(header.image, LARGEST), count = whole(header.count, rest.length), size = whole(header.call_bytes, 1024);
  if (header.pointer_bytes !== 4 || size < 56 || size % 8) throw new ProgramError("its calls have another form");
  ranges(header.state, image);
  const cut = rest.length - count * size;
  if (cut !== ranges(header.stored, image).reduce((sum, n) => sum + n, 0)) throw new ProgramError("it is longer or shorter than it says");
  if (!header.kernels.every((name) => typeof name === "string")) throw new ProgramError("its kernels have no names");
  for (const { at, dtype, shape } of Object.values(header.memory)) {
    if (!Object.hasOwn(WIDTHS, dtype) || at % WIDTHS[dtype]) throw new ProgramError("a place in it has another dtype");
    ranges([[at, shape.reduce((product, n) => whole(product * whole(n, LARGEST), LARGEST), WIDTHS[dtype])]], image);
  }
  for (const program of Object.values(header.programs)) {
    if (whole(program.first, count) + whole(program.count, count) > count || whole(program.peek, count) > program.count) throw new ProgramError("a program is longer than its calls");
    ranges(program.exposed, image);
    if (![...program.inputs, ...program.outputs].every((name) => Object.hasOwn(header.memory, name))) throw new ProgramError("a program has an input without a place");
  }
  const calls = summed(rest.subarray(cut), count, size), view = new DataView(calls.buffer, calls.byteOffset, calls.length);
  for (let at = 0; at < calls.length; at += size) {
    const kernel = view.getInt32(at, true);
    if (kernel < 0 || kernel >= header.kernels.length) throw new ProgramError("a call is of no known kernel");
    for (let p = at + 16; p < at + 56; p += 4) {
      const offset = view.getUint32(p, true);
      if (offset >= image && offset !== ABSENT) throw new ProgramError("a call reaches beyond the memory");
    }
  }
  return { stored: rest.subarray(0, cut), calls };
}

// Call by call, out of the first word of each, the second of each, and so on, in which all but the first are less those of
// the last call of the same kernel.
function summed(columns, count, size) {
  const words = size / 4, calls = new Uint8Array(count * size), from = new DataView(columns.buffer, columns.byteOffset, columns.length), to = new DataView(calls.buffer), last = new Map();
  for (let i = 0; i < count; i++) {
    const kernel = from.getUint32(4 * i, true), before = last.get(kernel);
    to.setUint32(i * size, kernel, true);
    for (let w = 1; w < words; w++) to.setUint32(i * size + 4 * w, from.getUint32(4 * (w * count + i), true) + (before === undefined ? 0 : to.getUint32(before + 4 * w, true)), true);
    last.set(kernel, i * size);
  }
  return calls;
}

function whole(number, most) {
  if (!Number.isInteger(number) || number < 0 || number > most) throw new ProgramError(`${String(number).slice(0, 40)} is no number from 0 to ${most}`);
  return number;
}

// The lengths of ranges that lie in the memory.
function ranges(list, image) {
  return list.map(([at, length]) => {
    if (whole(at, image) + whole(length, image) > image) throw new ProgramError("a part of it lies beyond the memory");
    return length;
  });
}

let table;

function crc32(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
