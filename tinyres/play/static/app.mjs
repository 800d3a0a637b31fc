// The page: state and controls on one side, a Worker that trains on the other, and views that show its frames.
import { choosing } from "./view/choosing.mjs";
import { about, shipped, worker } from "./early.mjs";
import { controls } from "./controls.mjs";
import { figures, tellCorrelation, tellLines } from "./frames.mjs";
import { fromText, load } from "./own.mjs";
import { lookReader } from "./look.mjs";
import { scriptOf } from "./python.mjs";
import { Question, liveSentence } from "./question.mjs";
import { NotRecorded, Records } from "./recorded.mjs";
import { reported, savedReport } from "./report.mjs";
import { ribbons } from "./ribbons.mjs";
import { DEFAULTS, STRUCTURAL, described, fromAddress, toAddress } from "./state.mjs";
import { Tour } from "./tour.mjs";
import { turnable } from "./turning.mjs";
import { watchDrops } from "./dropped.mjs";

const RHYTHM = 100; // milliseconds between words and histories: numbers that change faster nobody reads
const $ = (id) => document.getElementById(id);
const page = { state: fromAddress(location.hash), running: true, frames: 0, said: 0, unsaid: false, latest: null, record: null, data: null };
window.tinyres = page; // for whoever wants to look, and for the tests
const status = (words) => { $("status").textContent = words; };
const tell = (message) => worker.postMessage(message);

let views, records, panel, moveRibbons = () => {}, tour, question, asked = 0, waiting = null, begun = null;

const choice = choosing({
  line: $("status"), drawings: () => views?.charts.map((c) => c.drawing) ?? [], enter: (block) => { views.ledger.choose(block); show(); },
  told: (block) => {
    const b = page.frame?.nets.residual.look.blocks[block], q = page.frame?.nets.plain.look.blocks[block];
    return b && `block ${block}: with skips |g| ${short(b.grad_norm)}, |x| ${short(b.x_norm)}, skip ${short(b.skip)}, branch ${short(b.branch)}; without: |g| ${short(q.grad_norm)}`;
  },
});
const short = (v) => (Number.isFinite(v) ? (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5 ? v.toExponential(2) : String(Number(v.toPrecision(3)))) : "-");

// What was changed up to the step that is shown.
const past = () => (page.frame?.events ?? page.state.events).filter(([at]) => at <= (page.frame?.step ?? 0));

function factors() {
  const state = page.shown ?? page.state, all = { skip: Array(state.blocks).fill(state.skip), branch: Array(state.blocks).fill(state.branch) };
  for (const [, name, value] of past()) {
    const [kind, one] = name.split(":");
    if (kind !== "lr") { if (one === undefined) all[kind].fill(value); else all[kind][Number(one)] = value; }
  }
  return all;
}

// The state as the controls show it: what it began with, and what has been changed since.
const present = () => ({ ...page.state, ...Object.fromEntries(past().filter(([, name]) => !name.includes(":")).map(([, name, value]) => [name, value])) });

function show() {
  const frame = page.frame;
  if (!frame || !views || frame.nets.residual.look.blocks.length !== page.opened?.blocks) return;
  views.all = !page.running;
  for (const name of ["losses", "errors", "heat"]) views[name].take(frame);
  frame.losses = [];
  views.norms.take(frame, page.record.told);
  views.draw("ribbon", () => moveRibbons(frame));
  views.draw("norms");
  if (frame.slopes) { views.slopes.take(frame); views.draw("slopes"); }
  if (frame.boundary) { views.plane.hold(frame); views.draw("plane"); }
  page.unsaid = true;
  if (!page.running || frame.rewound) say();
  if (frame.rewound) panel.show(present());
  question.frame(frame);
  tour.frame(frame);
}

// What is read and not watched, at a rhythm of its own.
function say() {
  const { frame } = page;
  Object.assign(page, { unsaid: false, said: performance.now() });
  for (const name of ["losses", "errors", "heat"]) views.draw(name);
  views.draw("ribbon", () => moveRibbons.tell(frame));
  views.ledger.frame(frame, factors(), page.joined);
  if (frame.slopes) tellCorrelation(views, frame.slopes, page.opened.batch);
  $("live").textContent = liveSentence(frame);
  $("at").textContent = frame.step;
  $("rewind").max = Math.max(Number($("rewind").max), frame.step);
  if (document.activeElement !== $("rewind") || page.running) $("rewind").value = frame.step;
  choice.retold();
}

function loop() {
  requestAnimationFrame(loop);
  if (page.unsaid && performance.now() > page.said + RHYTHM) say();
  if (!page.latest) return;
  page.frame = page.latest;
  page.latest = null;
  tell({ drawn: true }); // so that the next one is made while this one is drawn
  page.seen?.(page.frame);
  show();
  page.frames++;
}

// A frame as it came, with looks that work out what they are asked for, and with the losses of one that was not drawn.
function received(frame) {
  for (const net of Object.values(frame.nets)) net.look = page.look(net.pages);
  if (page.latest) frame = { ...page.latest, ...frame, losses: [...page.latest.losses, ...frame.losses] };
  page.latest = frame;
}

worker.onmessage = ({ data }) => {
  if (data.frame) received(data.frame);
  if (data.opened) {
    page.opened = data.opened.about;
    page.look = lookReader(data.opened.look);
    page.latest = null;
    page.joined = data.opened.joined;
    panel.joined(page.joined);
  }
  if ("rewound" in data) for (const name of ["losses", "errors"]) views[name].back(data.rewound - 1);
  if (data.failed) { status(`The training stopped: ${data.failed}`); run(false); }
};
worker.onerror = (event) => status(`The training could not start: ${event.message}`);

export function run(on) {
  page.running = on;
  $("run").textContent = on ? "Pause" : "Run";
  tell({ run: on });
  if (!on) address();
}

function address() {
  const shown = page.shown ?? page.state, state = { ...shown, events: page.frame?.events ?? shown.events, at: page.running ? null : (page.frame?.step ?? shown.at) };
  history.replaceState(null, "", toAddress(state));
  return state;
}

// The data and the record for a state, both on their way; null where the table of one's own is still to be chosen.
function obtain(state) {
  const data = state.data === "own" ? page.own : page.data?.name === state.data ? page.data : load(state.data);
  if (!data) return null;
  const shape = page.shapes[state.data] ?? data;
  return { state, all: Promise.all([data, records.get(described(state, shape))]) };
}

// Gets the data and the record for the state and opens both; what was shown stays where that fails.
async function open() {
  const mine = ++asked, { state } = page;
  try {
    const coming = begun?.state === state ? begun : obtain(state);
    begun = null;
    if (!coming) { status("Choose a CSV: it is read in this page and stays here."); return back(true); }
    status(`Waiting for the record of ${state.blocks} blocks of ${state.units} …`);
    if (!page.shown) $("live").textContent = "The engine is loaded; the net is still to come.";
    const t = performance.now(), [data, record] = await coming.all;
    if (mine !== asked) return;
    Object.assign(page, { data, record, shown: state });
    status(`Opened ${state.blocks} block${state.blocks === 1 ? "" : "s"} of ${state.units} in ${Math.round(performance.now() - t)} ms.`);
    moveRibbons = ribbons(views.places.ribbon, record.ribbon, (net, cells) => {
      choice.walkable(cells);
      if (net === "residual") turnable(cells, (block) => (page.joined ? factors().skip[block] : null), turn);
    });
    for (const name of ["losses", "errors", "heat"]) views[name].clear();
    page.frame = page.opened = null;
    page.unsaid = false;
    $("rewind").max = 0;
    if (record.told.residual.paths) views.spectrum.take(record.told.residual.paths);
    $("f-spectrum").hidden = !record.told.residual.paths;
    tellVerdict(record.told);
    tellLines(record.told);
    want();
    tell({ open: { file: record.file, data, settings: settings(), events: state.events, upto: state.at ?? 0 } });
    run(page.running);
    address();
  } catch (error) {
    if (mine !== asked) return;
    status(error instanceof NotRecorded ? error.message : `That could not be opened: ${error.message}`);
    back();
  }
}

// What was wanted cannot be had: the state is again that of the nets that are shown, so that address and script tell of them.
function back(choosing = false) {
  if (page.shown) { page.state = page.shown; address(); }
  else $("live").textContent = "No net is open yet: choose one by the controls.";
  panel.show(page.state);
  if (choosing) panel.ask("own");
}

const settings = () => Object.fromEntries(["seed", "lr", "skip", "branch"].map((name) => [name, page.state[name]]));

// Which measurements the Worker makes beside the frames.
function want() {
  const plane = page.data.features === 2, line = [0, Math.min(page.data.trained, page.data.x.length / page.data.features) - 1];
  $("f-plane").hidden = !plane;
  tell({ want: { slopes: line, boundary: plane ? views.plane.take(page.data) : null } });
}

// when: of which moment it is, in words; else of the start.
function tellVerdict({ residual, plain }, when = null) {
  const list = document.createElement("ul");
  for (const [words, told] of [["With skips", residual], ["Without", plain]]) {
    for (const sentence of told.sentences) {
      const item = document.createElement("li");
      item.textContent = `${words}: ${sentence}`;
      list.append(item);
    }
  }
  const head = document.createElement("p");
  head.className = "soft";
  head.textContent = when ?? `What the library says of both before training, at seed 0, with every λ and α at 1, on ${residual.rows}:`;
  if (!when && !residual.paths) list.append(Object.assign(document.createElement("li"), { textContent: "Path lengths are not computed for nets this deep." }));
  $("told").replaceChildren(head, list);
}

// Asks Python for the sentences of this moment and its report; it trains both nets up to it.
async function ask(then) {
  const state = page.shown, { step } = page.frame ?? {};
  if (!page.frame) return;
  if (state.data === "own") { status("Python says nothing of your own table, which stays in this page: Copy as Python does it on your machine."); return; }
  run(false);
  status(`Python trains both nets up to step ${step} …`);
  try {
    const told = await reported(state, page.data, past(), step);
    if (state !== page.shown) return;
    then(told, step);
  } catch (error) { status(`There is no report: ${error.message}`); }
}

function tellNow({ sentences }, step) {
  tellVerdict({ residual: { sentences: sentences.residual }, plain: { sentences: sentences.plain } }, `What the library says of both at step ${step}, on the rows of the next one:`);
  status(`What the library says at step ${step} stands below the ribbons.`);
}

// A control was moved. What must be recorded is asked for when the hand comes to rest.
export function changed(name, value, over) {
  if (name === "own") {
    tour.left();
    value.text().then((text) => { page.own = { ...fromText(text), file: value.name }; page.state = { ...page.state, data: "own", events: [], at: null }; return open(); }).catch((error) => status(`The table cannot be read: ${error.message}`));
    return;
  }
  if (STRUCTURAL.includes(name)) {
    if (!over || page.state[name] === value) return;
    tour.left();
    page.state = { ...page.state, [name]: value, events: [], at: null };
    panel.show(page.state);
    clearTimeout(waiting);
    waiting = setTimeout(open, 60);
    return;
  }
  if (name === "seed") { begin({ seed: value }); restart(); }
  else if ((page.frame?.step ?? 0) === 0) { begin({ [name]: value, events: [] }); tell({ restart: settings() }); } else tell({ set: [name, value] });
  if (over && !page.running) tell({ step: 0 });
}

// λ of a block, as it is being dragged.
function turn(block, value) {
  tell({ set: [`skip:${block}`, value] });
  views.ledger.choose(block);
  status(`λ of block ${block}: ${value}`);
}

// What the nets that are shown begin with, and those that are being recorded.
function begin(change) { for (const state of [page.state, page.shown]) if (state) Object.assign(state, change); }

function restart() {
  begin({ events: [], at: null });
  tour.noted = null; // it notes the start anew
  panel.show(page.state);
  tell({ restart: settings() });
  views.heat.clear();
  $("rewind").max = 0;
  address();
}

// Sets all controls at once, as a stop of the tour does.
export function become(wanted) {
  page.state = { ...structuredClone(DEFAULTS), ...wanted };
  panel.show(page.state);
  run(false);
  return open();
}

function wire() {
  $("run").addEventListener("click", () => run(!page.running));
  $("one").addEventListener("click", () => { run(false); tell({ step: 1 }); });
  $("restart").addEventListener("click", restart);
  $("speed").addEventListener("change", (event) => tell({ speed: Number(event.target.value) }));
  $("rewind").addEventListener("input", (event) => { run(false); tell({ goto: Number(event.target.value) }); });
  $("link").addEventListener("click", async () => { address(); status(await copy(location.href) ? "The address of this very state is copied." : "The address bar has this very state; it could not be copied."); });
  $("python").addEventListener("click", async () => {
    const text = scriptOf(address(), page.opened, page.frame?.step ?? 0, page.data);
    $("script").textContent = text;
    $("script").hidden = false;
    const what = "a script that trains both nets to this step, to the last bit";
    status(await copy(text) ? `Copied: ${what}.` : `Below stands ${what}; it could not be copied.`);
  });
  $("report").addEventListener("click", () => ask((told, step) => { tellNow(told, step); savedReport(told.html, step); status(`The report of step ${step} is saved: one file, which needs no network.`); }));
  addEventListener("hashchange", () => { page.state = fromAddress(location.hash); page.running = page.state.at === null; panel.show(page.state); open(); });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button, textarea, [tabindex='0']") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") { event.preventDefault(); run(!page.running); }
    if (event.key === "ArrowRight" || event.key === ".") { run(false); tell({ step: 1 }); }
  });
}

// Whether it could be: pages that come over plain http from elsewhere have no clipboard.
const copy = async (text) => navigator.clipboard?.writeText(text).then(() => true, () => false) ?? false;

async function start() {
  const known = await about;
  records = new Records(await shipped);
  page.shapes = known.data;
  if (page.state.stop === null) begun = obtain(page.state); // while the views are made
  begun?.all.catch(() => {}); // it is told where it is opened
  panel = controls($("controls"), known, changed);
  panel.show(page.state);
  if (innerWidth < 700) $("panel").open = false;
  const each = (kind) => (block, value) => tell({ set: [`${kind}:${block}`, value ?? (factors()[kind][block] === 0 ? page.state[kind] || 1 : 0)] });
  views = page.views = figures($("views"), choice.choose, { onLesion: each("branch"), onCut: each("skip"), onSkip: each("skip"), onBranch: each("branch") }, (id) => { if (page.frame && page.opened) id === "ribbon" ? (moveRibbons(page.frame), moveRibbons.tell(page.frame)) : views[id].show?.(); });
  const verdict = document.createElement("div");
  verdict.id = "verdict";
  const told = document.createElement("div"), now = document.createElement("button");
  told.id = "told";
  Object.assign(now, { type: "button", id: "now", textContent: "Ask the library at this step", title: "Python trains both nets up to this step and says what it finds" });
  now.addEventListener("click", () => ask(tellNow));
  verdict.append(told, now);
  now.hidden = $("report").hidden = !(await shipped).server;
  $("f-ribbon").append(verdict);
  question = new Question($("ask"));
  tour = new Tour($("ask"), { become, run, question, page, tell });
  page.running = page.state.at === null && !matchMedia("(prefers-reduced-motion: reduce)").matches;
  wire();
  watchDrops($("trace"), $("dropped"), status);
  $("tour").addEventListener("click", () => tour.go(0));
  loop();
  if (page.state.stop === null || !(await tour.go(page.state.stop))) { page.state.stop = null; await open(); }
}

start().catch((error) => status(`The page could not start: ${error.message}`));
