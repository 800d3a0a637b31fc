// Trains in a thread of its own and sends a frame whenever the last one has been drawn.
import { Engine } from "./engine.mjs";
import { Twins } from "./training.mjs";

const SLICE = 14; // milliseconds of training between two looks at the mail
const SELDOM = 400, PART = 0.1; // milliseconds between measurements that take a while, and how much of the time they may take
let engine, twins, running = false, drawn = true, wanted = {}, due = 0, speed = Infinity, owed = 0;
let losses = [], until = null; // until: the step that it trains up to, whether or not it runs

const failed = (error) => postMessage({ failed: String(error.message ?? error) });

function frame(all, rewound = false) {
  const began = performance.now(), message = { rewound, step: twins.steps, nets: twins.looks(), losses, events: twins.events };
  losses = [];
  if (all || began > due) {
    message.errors = twins.errors();
    if (wanted.boundary) message.boundary = twins.boundary(wanted.boundary);
    if (wanted.slopes) message.slopes = twins.slopes(...wanted.slopes);
    const ended = performance.now();
    due = ended + Math.max(SELDOM, (ended - began) / PART);
  }
  drawn = false;
  postMessage({ frame: message });
}

function trained() {
  const both = twins.step();
  losses.push([twins.steps, both.residual, both.plain]);
  if (losses.length > 4000) losses = losses.filter((_, i) => i % 2);
}

function loop() {
  try {
    if ((running || until !== null) && twins) {
      const end = performance.now() + SLICE;
      owed = speed === Infinity ? Infinity : Math.min(owed + (speed * SLICE) / 1000, Math.max(1, speed));
      if (until !== null) owed = Infinity;
      while (owed >= 1 && performance.now() < end && !(twins.steps >= until && until !== null)) { trained(); owed -= 1; }
      if (until !== null && twins.steps >= until) { until = null; frame(true); } else if (drawn && losses.length) frame();
    }
  } catch (error) { running = false; until = null; failed(error); }
  setTimeout(loop, running || until !== null ? 0 : 40);
}

const orders = {
  async engine(bytes) { engine = await Engine.load(bytes); },
  open({ file, data, settings, events, upto }) {
    twins = until = null;
    twins = new Twins(engine, file, data, settings, events);
    losses = [];
    postMessage({ opened: { about: twins.about, joined: twins.joined, memory: file.byteLength } });
    const first = twins.losses();
    losses.push([0, first.residual, first.plain]);
    if (upto > 0) until = upto; else frame(true);
  },
  run(on) { running = on; },
  speed(steps) { speed = steps || Infinity; owed = 0; },
  step(count) { if (count) until = null; for (let i = 0; i < count; i++) trained(); frame(true); },
  reach(step) { until = step; },
  goto(step) { until = null; twins.goto(step); postMessage({ rewound: step }); frame(true, true); },
  restart(settings) {
    until = null;
    twins.settings = settings ?? twins.settings;
    twins.events = [];
    twins.restart();
    postMessage({ rewound: 0 });
    frame(true);
  },
  set([name, value]) { twins.set(name, value); if (!running) frame(true); },
  want(what) { wanted = what; if (twins && !running) frame(true); },
  drawn() { drawn = true; },
};

let mail = Promise.resolve();
onmessage = ({ data }) => {
  mail = mail.then(async () => {
    for (const [name, value] of Object.entries(data)) if (twins || name === "engine" || name === "open" || name === "run" || name === "drawn" || name === "want" || name === "speed") await orders[name](value);
  }).catch(failed);
};
loop();
