// Asks for a guess, then shows what was measured at that moment.

const two = (v) => (v >= 1e5 ? v.toExponential(1).replace("e+", "·10^") : v >= 100 ? String(Math.round(Number(v.toPrecision(2)))).replace(/\B(?=(\d{3})+$)/g, ",") : String(Number(v.toPrecision(2))));

// How much one number is of another, in words: "51 ×", "1/33,000 of", with "what …" to follow.
export function times(ratio) {
  if (!Number.isFinite(ratio)) return "no countable multiple (one is 0 or not finite) of";
  if (ratio === 0) return "nothing of";
  return ratio >= 0.1 ? `${two(ratio)} ×` : `1/${two(1 / ratio)} of`;
}

export const firstOverLast = (net) => net.look.blocks[0].grad_norm / net.look.blocks.at(-1).grad_norm;

export function liveSentence({ step, nets }) {
  const last = nets.residual.look.blocks.length - 1, loss = (net) => (Number.isFinite(net.loss) ? net.loss.toFixed(3) : "not a number any more");
  const losses = `The loss is ${loss(nets.residual)} with, ${loss(nets.plain)} without.`;
  if (last < 1) return `Step ${step}. One block: nothing to compare along the depth. ${losses}`;
  if (!nets.residual.look.edges.some((e) => e.kind === "skip")) return `Step ${step}. These blocks have no skips, so both nets are the same: block 0 receives ${times(firstOverLast(nets.residual))} what block ${last} receives. The loss is ${loss(nets.residual)}.`;
  const broken = Object.entries(nets).flatMap(([name, net]) => { const node = net.look.nodes.find((n) => n.nans || n.infs); return node ? [`${name === "residual" ? "With" : "Without"} skips values are not finite from ${node.name} on (${node.nans} NaN, ${node.infs} Inf).`] : []; });
  return `Step ${step}. With skips block 0 receives ${times(firstOverLast(nets.residual))} what block ${last} receives; without them, ${times(firstOverLast(nets.plain)).replace(/ of$/, "")}. ${losses} ${broken.join(" ")}`;
}

// How far from 1 in decades; a gradient that is 0 or not finite is as far as can be.
const unsteady = (ratio) => (ratio > 0 && ratio < Infinity ? Math.abs(Math.log10(ratio)) : Infinity);

export const OPENING = {
  title: "Your guess first",
  ask: "Both nets begin with the same weights and see the same rows; only the skips differ. Which one has the steadier gradient from the last block to the first?",
  answers: ["with skips", "without", "both alike"],
  right: ({ nets }) => {
    const [a, b] = [nets.residual, nets.plain].map((n) => unsteady(firstOverLast(n)));
    return a === b || Math.abs(a - b) < 0.1 ? 2 : a < b ? 0 : 1;
  },
  reveal: ({ step, nets }) => `At step ${step} block 0 receives ${times(firstOverLast(nets.residual))} what the last block receives with skips, and ${times(firstOverLast(nets.plain))} that without. The guided tour tells when it is the other way round.`,
};

export class Question {
  constructor(place) {
    this.parts = Object.fromEntries(["h-ask", "question", "answers", "revealed"].map((id) => [id, place.querySelector(`#${id}`)]));
    this.open();
  }

  open() { this.pose(OPENING); }

  // question: {title, ask, answers, right(frame), reveal(frame), told(answer)?}; before the answer is shown, told may train.
  pose(question) {
    this.question = question;
    this.answered = null;
    this.parts["h-ask"].textContent = question.title;
    this.parts.question.textContent = question.ask;
    this.parts.revealed.textContent = "";
    this.parts.answers.replaceChildren(...question.answers.map((words, i) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: words });
      button.addEventListener("click", () => this.answer(i));
      return button;
    }));
  }

  async answer(i) {
    if (this.answered !== null) return;
    this.answered = i;
    for (const button of this.parts.answers.children) button.disabled = true;
    this.parts.revealed.textContent = "Measuring …";
    this.waiting = (await this.question.prepare?.()) ?? true;
    if (this.latest && !this.question.prepare) this.frame(this.latest);
  }

  frame(frame) {
    this.latest = frame;
    if (!this.waiting || (this.question.ready && !this.question.ready(frame))) return;
    this.waiting = false;
    const right = this.question.right(frame), buttons = [...this.parts.answers.children];
    buttons[right]?.classList.add("right");
    if (this.answered !== right) buttons[this.answered].classList.add("wrong");
    const verdict = this.answered === right ? "Yes. " : `No: ${this.question.answers[right]}. `;
    this.parts.revealed.textContent = `${verdict}${this.question.reveal(frame)}`;
    this.question.shown?.();
  }
}
