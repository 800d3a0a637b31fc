// Runs what `step.program.export("net.trp")` wrote, by the kernels of tr.wasm: no Python, no server, the same bits.
//
// A file is hostile until it is checked (program.mjs). Each opened program has an instance of the module, and so a
// memory, of its own: whatever a file does, it does to itself, and what is dropped is freed.
import { ProgramError, parseProgram } from "./program.mjs";
import { lookReader } from "./look.mjs";

export { ProgramError };

const ABSENT = 0xffffffff, POINTERS = 10, FIRST_POINTER = 16, ALIGNMENT = 64;
const ARRAYS = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array, bool: Uint8Array };

export class Engine {
  constructor(module) { this.module = module; }

  // source: the bytes of tr.wasm, a Response of them, or a compiled module.
  static async load(source) {
    if (source instanceof WebAssembly.Module) return new Engine(source);
    if (!(source instanceof Response)) return new Engine(await WebAssembly.compile(source));
    const streamed = source.headers.get("Content-Type") === "application/wasm"; // what servers must call it for that
    return new Engine(await (streamed ? WebAssembly.compileStreaming(source) : WebAssembly.compile(await source.arrayBuffer())));
  }

  // file: the bytes of a .trp. Throws ProgramError for one that is damaged or newer.
  open(file) { return new Net(this.module, parseProgram(file)); }
}

export class Net {
  constructor(module, program) {
    this.program = program;
    this.header = program.header;
    this.about = program.header.about;
    this.core = new WebAssembly.Instance(module, {}).exports;
    this.core._initialize();
    const callBytes = Number(this.core.tr_sizeof_call());
    if (callBytes !== this.header.call_bytes) throw new ProgramError(`its calls have ${this.header.call_bytes} bytes, those of tr.wasm ${callBytes}`);
    this.base = this.allocate(this.header.image);
    this.list = this.allocate(program.calls.length);
    this.fill();
    this.bind();
    this.readLook = lookReader(this.header.look);
  }

  // The memory as the file has it, inputs and settings included.
  reset() { this.bytes(0, this.header.image).fill(0); this.fill(); }

  // As reset, but what was set stays set; then the weights are drawn from this seed.
  restart(seed) {
    const kept = Object.entries(this.header.memory).filter(([, place]) => place.role === "setting");
    const values = kept.map(([name]) => this.view(name).slice());
    this.reset();
    kept.forEach(([name], i) => this.view(name).set(values[i]));
    if (this.header.memory.generator) this.view("generator").set([BigInt(seed), 0n]);
    return this.header.programs.initialise ? this.run("initialise") : null;
  }

  // null, or which call did not run: then all state is as before. A trap of the module is a ProgramError.
  run(name) { return this.walk(name, "count"); }

  // The part of a program before anything is written that lasts: what a step sees, without the step.
  peek(name) { return this.walk(name, "peek"); }

  walk(name, calls) {
    const program = this.header.programs[name];
    if (!program) throw new ProgramError(`it has no program ${name}; it has ${Object.keys(this.header.programs).join(", ")}`);
    const saved = program.exposed.map(([at, length]) => this.bytes(at, length).slice());
    let failed;
    try {
      failed = Number(this.core.tr_run(this.list + program.first * this.header.call_bytes, BigInt(program[calls])));
    } catch (error) {
      throw new ProgramError(`it reaches beyond its memory (${error.message})`);
    }
    if (failed < 0) return null;
    program.exposed.forEach(([at], i) => this.bytes(at, saved[i].length).set(saved[i]));
    const kernel = new DataView(this.program.calls.buffer, this.program.calls.byteOffset).getInt32((program.first + failed) * this.header.call_bytes, true);
    return { call: failed, kernel: this.header.kernels[kernel], label: program.labels[failed] };
  }

  // The live memory of a name, as a typed array; opening other nets never moves it.
  view(name) {
    const place = this.header.memory[name];
    if (!place) throw new ProgramError(`it has nothing called ${name}`);
    return new ARRAYS[place.dtype](this.core.memory.buffer, this.base + place.at, sizeOf(place.shape));
  }

  has(name) { return name in this.header.memory; }

  // A number for a shape of no axes, else a copy as a typed array.
  get(name) {
    const values = this.view(name);
    return this.header.memory[name].shape.length ? values.slice() : Number(values[0]);
  }

  set(name, values) {
    const into = this.view(name), list = typeof values === "number" || typeof values === "bigint" ? [values] : values;
    if (list.length !== into.length) throw new ProgramError(`${name} has ${into.length} values; got ${list.length}`);
    if (into instanceof BigInt64Array && !(list instanceof BigInt64Array)) for (let i = 0; i < list.length; i++) into[i] = BigInt(list[i]);
    else into.set(list);
  }

  // All that lasts from run to run, for `restore`.
  snapshot() {
    const parts = this.header.state.map(([at, length]) => this.bytes(at, length));
    const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { all.set(part, at); at += part.length; }
    return all;
  }

  restore(all) {
    let from = 0;
    for (const [at, length] of this.header.state) { this.bytes(at, length).set(all.subarray(from, from + length)); from += length; }
  }

  // The measured numbers of the last run that looked, as the rows of a trace; null where the program looks at nothing.
  look() { return this.readLook && this.readLook(this.measured()); }

  // Those numbers as they are, page by page, for a `lookReader` elsewhere.
  measured() { return this.header.look.pages.map((name) => this.view(name).slice()); }

  bytes(at, length) { return new Uint8Array(this.core.memory.buffer, this.base + at, length); }

  allocate(length) {
    const at = this.core.malloc(length + ALIGNMENT);
    if (!at) throw new ProgramError(`it takes ${Math.ceil(length / 1e6)} MB, which are not there`);
    return (at + ALIGNMENT - 1) & -ALIGNMENT;
  }

  fill() {
    let from = 0;
    for (const [at, length] of this.header.stored) { this.bytes(at, length).set(this.program.stored.subarray(from, from + length)); from += length; }
  }

  // Writes the calls into memory: kernels by the numbers that this module has for their names, pointers as addresses.
  bind() {
    const { calls, header } = this.program, size = header.call_bytes, known = this.kernels();
    const numbers = header.kernels.map((name) => {
      if (!known.has(name)) throw new ProgramError(`it needs the kernel ${name}, which this tr.wasm does not have; build it anew`);
      return known.get(name);
    });
    new Uint8Array(this.core.memory.buffer, this.list, calls.length).set(calls);
    const view = new DataView(this.core.memory.buffer, this.list, calls.length);
    for (let at = 0; at < calls.length; at += size) {
      view.setInt32(at, numbers[view.getInt32(at, true)], true);
      for (let p = at + FIRST_POINTER; p < at + FIRST_POINTER + 4 * POINTERS; p += 4) {
        const offset = view.getUint32(p, true);
        view.setUint32(p, offset === ABSENT ? 0 : this.base + offset, true);
      }
    }
  }

  kernels() {
    const memory = new Uint8Array(this.core.memory.buffer), known = new Map();
    for (let i = 0; i < this.core.tr_kernel_count(); i++) {
      const start = this.core.tr_kernel_name(i);
      known.set(new TextDecoder().decode(memory.subarray(start, memory.indexOf(0, start))), i);
    }
    return known;
  }
}

function sizeOf(shape) { return shape.reduce((product, n) => product * n, 1); }
