// View 1: the ribbon of each net, laid out by Python when the net was recorded, and moved by every frame.
import { moved, retold, strandsOf } from "./view/strands.mjs";

export const NETS = { residual: "with skips", plain: "without" };

export function ribbons(place, svg, onMounted, nets = NETS) {
  // The policy of the page forbids style attributes in what is parsed: they are set by the way that it allows.
  const parsed = new DOMParser().parseFromString(svg.replaceAll(" style=", " data-style="), "text/html").querySelector("svg");
  const cells = {};
  place.replaceChildren();
  for (const [net, words] of Object.entries(nets)) {
    const head = document.createElement("p");
    head.className = `net ${net === "residual" ? "with" : "without"}`;
    head.textContent = words;
    const frame = document.createElement("div");
    frame.className = "picture";
    const drawing = document.importNode(parsed, true);
    for (const e of drawing.querySelectorAll("[data-style]")) e.style.cssText = e.dataset.style;
    drawing.setAttribute("aria-label", `The gradient in the net ${words}, block by block`);
    drawing.dataset.net = net;
    frame.append(drawing);
    place.append(head, frame);
    cells[net] = strandsOf(drawing);
    onMounted(net, cells[net].map((c) => c.cell).filter((c) => c.dataset.block !== undefined));
  }
  const move = (frame) => {
    const norms = Object.values(frame.nets).flatMap(({ look }) => look.blocks.map((b) => b.grad_norm)).filter((g) => g > 0 && g < Infinity);
    const top = Math.max(0, ...norms);
    for (const net of Object.keys(nets)) moved(cells[net], frame.nets[net].look, top);
  };
  return Object.assign(move, { tell: (frame) => { for (const net of Object.keys(nets)) retold(cells[net], frame.nets[net].look); } });
}
