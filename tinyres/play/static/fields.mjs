// The views that are fields of colour: the heat map of |g| by block and step, and the classes over the plane.

import { NETS } from "./ribbons.mjs";
import { number } from "./view/strands.mjs";

// Viridis (van der Walt & Smith 2015) at nine places: even in lightness, and the same to all eyes.
const STOPS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6dcd59", "fde725"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
// Okabe & Ito 2008, on which white and black points can be told from their ground.
const CLASSES = ["0072b2", "e69f00", "009e73", "cc79a7", "56b4e9", "d55e00", "f0e442", "999999"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
const COLUMNS = 400, DECADES = 12, SPARE = 0.1; // of the scale: how many it tells apart, and how far it reaches beyond

export function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (STOPS.length - 1), i = Math.min(STOPS.length - 2, Math.floor(at));
  return STOPS[i].map((c, k) => c + (STOPS[i + 1][k] - c) * (at - i));
}

const SHADES = Array.from({ length: 256 }, (_, i) => colour(i / 255).map(Math.round)), ZERO = [0, 0, 0], BROKEN = [255, 0, 0];

// A pair of canvases, one a net, each under its name; nets: as ribbons.mjs has them.
function pair(place, kind, nets) {
  place.className = "pair";
  return Object.fromEntries(Object.entries(nets).map(([net, words]) => {
    const box = document.createElement("div"), head = document.createElement("p"), canvas = document.createElement("canvas");
    head.className = `net ${net === "residual" ? "with" : "without"}`;
    head.textContent = words;
    canvas.className = `field ${kind}`;
    canvas.setAttribute("role", "img");
    box.append(head, canvas);
    place.append(box);
    return [net, canvas];
  }));
}

// View 5. A column for each look; when there is no more room, every second one is let go.
export class Heat {
  constructor(place, nets = NETS) {
    this.canvases = pair(place, "heat", nets);
    this.scale = scale();
    place.after(this.scale.box);
    this.clear();
  }

  clear() { Object.assign(this, { columns: [], every: 1, seen: 0, painted: 0, low: Infinity, high: -Infinity, ends: null, paper: {} }); }

  take({ step, nets }) {
    while (this.columns.length && step < this.columns.at(-1).step) this.columns.pop();
    this.painted = Math.min(this.painted, this.columns.length);
    if (this.seen++ % this.every) return;
    const column = { step };
    for (const net of Object.keys(this.canvases)) {
      column[net] = Float64Array.from(nets[net].look.blocks, (b) => b.grad_norm);
      for (const g of column[net]) if (g > 0 && g < Infinity) { this.low = Math.min(this.low, Math.log10(g)); this.high = Math.max(this.high, Math.log10(g)); }
    }
    this.columns.push(column);
    if (this.columns.length > COLUMNS) { this.columns = this.columns.filter((_, i) => i % 2 === 0); this.every *= 2; this.painted = 0; }
  }

  // Paints the columns that are new; all of them when the ends of the scale have moved.
  show() {
    if (!this.columns.length || this.low > this.high) return;
    const low = Math.max(this.low, this.high - DECADES);
    if (!this.ends || low < this.ends[0] || this.high > this.ends[1]) {
      this.ends = [low - SPARE, this.high + SPARE];
      this.painted = 0;
      this.scale.tell(`${this.low < this.high - DECADES ? "≤ " : ""}${number(10 ** this.ends[0])}`, number(10 ** this.ends[1]));
    }
    for (const [net, canvas] of Object.entries(this.canvases)) this.paint(net, canvas);
    this.painted = this.columns.length;
  }

  paint(net, canvas) {
    const fresh = this.columns.slice(this.painted), height = this.columns[0][net].length, [low, high] = this.ends;
    const paper = (this.paper[net] ??= new OffscreenCanvas(COLUMNS + 1, height));
    if (fresh.length) {
      const image = new ImageData(fresh.length, height);
      fresh.forEach((column, x) => column[net].forEach((g, y) => {
        const shade = g > 0 && g < Infinity ? SHADES[Math.max(0, Math.min(255, Math.round((255 * (Math.log10(g) - low)) / (high - low))))] : g === 0 ? ZERO : BROKEN;
        const at = 4 * (y * fresh.length + x);
        for (let k = 0; k < 3; k++) image.data[at + k] = shade[k];
        image.data[at + 3] = 255;
      }));
      paper.getContext("2d").putImageData(image, this.painted, 0);
    }
    canvas.width = this.columns.length;
    canvas.height = height;
    canvas.getContext("2d").drawImage(paper, 0, 0);
    canvas.setAttribute("aria-label", `|g| of ${height} blocks, block 0 on top, over the steps ${this.columns[0].step} to ${this.columns.at(-1).step}`);
  }
}

function scale() {
  const box = document.createElement("p"), low = document.createElement("span"), high = document.createElement("span"), bar = document.createElement("canvas");
  box.className = "scale";
  bar.width = 100; bar.height = 1;
  const pen = bar.getContext("2d");
  for (let x = 0; x < 100; x++) { pen.fillStyle = `rgb(${colour(x / 99).map(Math.round)})`; pen.fillRect(x, 0, 1, 1); }
  box.append("|g| ", low, bar, high, " black: 0, red: not finite; block 0 on top, steps to the right");
  return { box, tell: (a, b) => { low.textContent = a; high.textContent = b; } };
}

// View 7. The class that each net gives every point, and the points it is trained on.
export class Plane {
  constructor(place) {
    this.canvases = pair(place, "plane", NETS);
    for (const [net, canvas] of Object.entries(this.canvases)) {
      canvas.width = canvas.height = 328;
      canvas.setAttribute("aria-label", `The class that the net ${NETS[net]} gives each point of the plane`);
    }
  }

  take(data) {
    Object.assign(this, { data, boundary: null });
    let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < data.x.length; i += 2) {
      left = Math.min(left, data.x[i]); right = Math.max(right, data.x[i]);
      bottom = Math.min(bottom, data.x[i + 1]); top = Math.max(top, data.x[i + 1]);
    }
    this.box = [left, right, bottom, top];
    return this.box;
  }

  hold({ boundary }) { this.boundary = boundary; }

  show() {
    const { boundary } = this;
    if (!boundary || !this.data) return;
    for (const [net, canvas] of Object.entries(this.canvases)) {
      const found = boundary[net], n = Math.round(Math.sqrt(found.length)), tile = new ImageData(n, n);
      found.forEach((c, i) => tile.data.set([...CLASSES[c % CLASSES.length].map((v) => v * 0.55 + 255 * 0.45), 255], 4 * i));
      const small = new OffscreenCanvas(n, n), pen = canvas.getContext("2d");
      small.getContext("2d").putImageData(tile, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, canvas.width, canvas.height);
      this.points(pen, canvas.width);
    }
  }

  points(pen, size) {
    const { x, y, trained } = this.data, [left, right, bottom, top] = this.box;
    for (let i = 0; i < Math.min(trained, 400); i++) {
      pen.fillStyle = `rgb(${CLASSES[y[i] % CLASSES.length]})`;
      pen.strokeStyle = "#000";
      pen.lineWidth = 0.6;
      pen.beginPath();
      pen.arc(((x[2 * i] - left) / (right - left)) * size, ((top - x[2 * i + 1]) / (top - bottom)) * size, 2.4, 0, 7);
      pen.fill();
      pen.stroke();
    }
  }
}
