// The guided tour: each stop sets the controls, asks, and shows what was measured at that moment, beside who found it.
import { firstOverLast, times } from "./question.mjs";

const ratio = (frame, net) => firstOverLast(frame.nets[net]);
const growth = (r, steady) => (r > steady ? 2 : r < 1 / steady ? 1 : 0);
const received = (frame, net) => `At step ${frame.step} block 0 receives ${times(ratio(frame, net))} what block ${frame.nets[net].look.blocks.length - 1} receives ${net === "plain" ? "without skips" : "with skips"}.`;
const told = (loss) => (Number.isFinite(loss) ? loss.toFixed(3) : "not a number");
const percent = (v) => `${(100 * v).toFixed(1)}%`;

// What is right at each stop, and what is said of it, by the numbers of the frame and of the start.
const STOPS = [
  { right: (f) => (ratio(f, "plain") > 0.3 ? 0 : ratio(f, "plain") > 1e-4 ? 1 : 2), reveal: (f) => received(f, "plain") },
  { right: (f, at) => (f.nets.plain.loss < at.loss.plain / 2 ? 0 : 1), reveal: (f, at) => `Before training block 0 received ${times(at.ratio.plain)} what the last receives. After ${f.step} steps the loss without skips is ${told(f.nets.plain.loss)}, from ${told(at.loss.plain)}; with skips it is ${told(f.nets.residual.loss)}, from ${told(at.loss.residual)}.` },
  { right: (f) => growth(ratio(f, "plain"), 10), reveal: (f) => received(f, "plain") },
  { right: (f) => growth(ratio(f, "residual"), 10), reveal: (f) => received(f, "residual") },
  { right: (f) => (ratio(f, "residual") < 5 ? 0 : ratio(f, "residual") < 500 ? 1 : 2), reveal: (f) => received(f, "residual") },
  { right: (f) => (ratio(f, "residual") > 100 ? 2 : ratio(f, "residual") < 0.02 ? 1 : 0), reveal: (f) => received(f, "residual") },
  { right: (f, at) => (at.mean < 8 ? 1 : at.mean > 16 ? 2 : 0), reveal: (f, at) => `On average ${at.mean.toFixed(1)} of ${f.nets.residual.look.blocks.length} branches, by signed shares that sum to ${at.sum.toFixed(3)}: see the chart of path lengths.` },
  { right: (f, at) => (f.errors.residual - at.error < 0.1 ? 0 : 1), reveal: (f, at) => `At step ${f.step} the error on rows kept back was ${percent(at.error)}; without the branch of block 8 it is ${percent(f.errors.residual)}.` },
  { right: (f, at) => (Math.min(ratio(f, "plain"), at.ratio.plain) < 0.1 ? 0 : 1), reveal: (f, at) => `Without skips block 0 received ${times(at.ratio.plain)} what the last block received before training, and receives ${times(ratio(f, "plain"))} that after ${f.step} steps. The loss is ${told(f.nets.plain.loss)} without, ${told(f.nets.residual.loss)} with skips.` },
];

export class Tour {
  constructor(place, page) {
    Object.assign(this, page, { at: -1, noted: null });
    this.place = place;
    this.bar = document.createElement("p");
    this.bar.id = "stops";
    this.back = this.button("Back", () => this.go(this.at - 1));
    this.next = this.button("Next stop", () => this.go(this.at + 1));
    this.leave = this.button("Leave the tour", () => { this.left(); this.run(true); });
    this.claim = document.createElement("p");
    this.claim.className = "soft";
    place.append(this.claim, this.bar);
    this.bar.hidden = true;
  }

  // Its question is about a net that need no longer be the one that is shown.
  left() {
    if (this.at < 0) return;
    this.at = -1;
    this.bar.hidden = true;
    this.claim.textContent = "";
    this.page.state.stop = null;
    this.question.open();
  }

  button(words, act) {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: words });
    made.addEventListener("click", act);
    this.bar.append(made, " ");
    return made;
  }

  // Whether there is such a stop.
  async go(i) {
    this.stops ??= await fetch("tour.json").then((answer) => answer.json());
    if (!(i >= 0 && i < this.stops.length)) return false;
    const stop = this.stops[i], { right, reveal } = STOPS[i];
    Object.assign(this, { at: i, noted: null, stop, due: false, opening: true });
    this.bar.hidden = false;
    this.back.disabled = i === 0;
    this.next.disabled = i === this.stops.length - 1;
    this.claim.textContent = "";
    this.question.pose({
      ...stop, right: (frame) => right(frame, this.noted), reveal: (frame) => reveal(frame, this.noted),
      prepare: () => { this.due = true; if (this.noted) this.train(); return true; },
      ready: (frame) => this.ready(frame),
      shown: () => { this.claim.textContent = `${stop.claim} Source: ${stop.source}.`; },
    });
    await this.become({ ...stop.state, stop: i });
    this.opening = false;
    this.place.scrollIntoView({ block: "nearest" });
    return true;
  }

  train() {
    const left = this.stop.steps - (this.page.frame?.step ?? 0);
    this.tell(left > 0 ? { reach: this.stop.steps } : { step: 0 });
  }

  // Notes the start; at the last step of the stop takes the block out, where it is a lesion, and is done with the next measured frame.
  ready(frame) {
    if (this.opening || !this.noted || frame.step < this.stop.steps) return false;
    if (this.stop.lesion === undefined) return true;
    if (!frame.errors) return false;
    if (this.noted.error === undefined) {
      this.noted.error = frame.errors.residual;
      this.tell({ set: [`branch:${this.stop.lesion}`, 0] });
      return false;
    }
    return frame.events.some(([, name]) => name === `branch:${this.stop.lesion}`);
  }

  frame(frame) {
    if (this.at < 0 || this.opening || this.noted || frame.step !== 0) return;
    const each = (of) => Object.fromEntries(Object.keys(frame.nets).map((net) => [net, of(net)]));
    const shares = this.page.record.told.residual.paths?.shares ?? [];
    this.noted = { ratio: each((net) => ratio(frame, net)), loss: each((net) => frame.nets[net].loss), sum: shares.reduce((a, b) => a + b, 0), mean: shares.reduce((sum, s, k) => sum + k * s, 0) };
    if (this.due) this.train(); // the answer came before the net
  }
}
