// Trains in a thread of its own and sends a frame whenever the last one has been drawn.
import { Engine } from "./engine.mjs";
import { Twins } from "./training.mjs";

const SLICE = 14; // milliseconds of training between two looks at the mail
const SELDOM = 400, PART = 0.1; // milliseconds between measurements that take a while, and how much of the time they may take
let engine, twins, running = false, drawn = true, wanted = {}, due = 0, speed = Infinity, owed = 0;
let losses = [], spent = {}, until = null; // until: the step that it trains up to, whether or not it runs

const failed = (error) => postMessage({ failed: String(error.message ?? error) });

function frame(all, rewound = false) {
  const began = performance.now(), message = { rewound, step: twins.steps, nets: twins.looks(), losses, events: twins.events, spent };
  losses = [];
  spent = {};
  took("looks", began);
  if (all || began > due) {
    message.errors = twins.errors();
    if (wanted.boundary) message.boundary = twins.boundary(wanted.boundary);
    if (wanted.slopes) message.slopes = twins.slopes(...wanted.slopes);
    const ended = performance.now();
    took("measured", began);
    due = ended + Math.max(SELDOM, (ended - began) / PART);
  }
  drawn = false;
  postMessage({ frame: message }, Object.values(message.nets).flatMap(({ pages }) => pages.map((page) => page.buffer)));
}

// Milliseconds of each kind of work since the last frame, for whoever asks where the time goes.
function took(what, since) { spent[what] = (spent[what] ?? 0) + performance.now() - since; }

function trained() {
  const t = performance.now(), both = twins.step();
  took("steps", t);
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
  if (running || until !== null) again.port2.postMessage(null); else setTimeout(loop, 40);
}

// The next turn behind the mail that has come; a timeout would wait for four milliseconds.
const again = new MessageChannel();
again.port1.onmessage = loop;

const orders = {
  async engine(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the engine ${url} is not there: python3 -m tinyres.play.build makes it`);
    engine = await Engine.load(answer);
  },
  open({ file, data, settings, events, upto }) {
    twins = until = null;
    twins = new Twins(engine, file, data, settings, events);
    losses = [];
    postMessage({ opened: { about: twins.about, joined: twins.joined, look: twins.layout } });
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
