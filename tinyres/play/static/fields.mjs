// The views that are fields of colour: the heat map of |g| by block and step, and the classes over the plane.

import { number } from "./view/strands.mjs";

// Viridis (van der Walt & Smith 2015) at nine places: even in lightness, and the same to all eyes.
const STOPS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89", "35b779", "6dcd59", "fde725"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
// Okabe & Ito 2008, on which white and black points can be told from their ground.
const CLASSES = ["0072b2", "e69f00", "009e73", "cc79a7", "56b4e9", "d55e00", "f0e442", "999999"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
const COLUMNS = 400;

export function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (STOPS.length - 1), i = Math.min(STOPS.length - 2, Math.floor(at));
  return STOPS[i].map((c, k) => c + (STOPS[i + 1][k] - c) * (at - i));
}

// View 5. A column for each look; when there is no more room, every second one is let go.
export class Heat {
  constructor(place) {
    this.canvases = {};
    place.className = "pair";
    for (const [net, words] of [["residual", "with skips"], ["plain", "without"]]) {
      const box = document.createElement("div"), head = document.createElement("p"), canvas = document.createElement("canvas");
      head.className = `net ${net === "residual" ? "with" : "without"}`;
      head.textContent = words;
      canvas.className = "field heat";
      canvas.setAttribute("role", "img");
      box.append(head, canvas);
      place.append(box);
      this.canvases[net] = canvas;
    }
    this.scale = scale();
    place.after(this.scale.box);
    this.clear();
  }

  clear() { this.columns = []; this.every = 1; this.seen = 0; this.range = [0, 0]; }

  frame({ step, nets }) {
    while (this.columns.length && step < this.columns.at(-1).step) this.columns.pop();
    if (this.seen++ % this.every) return;
    this.columns.push({ step, residual: nets.residual.look.blocks.map((b) => b.grad_norm), plain: nets.plain.look.blocks.map((b) => b.grad_norm) });
    if (this.columns.length > COLUMNS) { this.columns = this.columns.filter((_, i) => i % 2 === 0); this.every *= 2; }
    this.paint();
  }

  paint() {
    const all = this.columns.flatMap((c) => [...c.residual, ...c.plain]).filter((g) => g > 0 && g < Infinity).map(Math.log10);
    if (!all.length) return;
    let [low, high] = [Infinity, -Infinity];
    for (const v of all) { low = Math.min(low, v); high = Math.max(high, v); }
    const below = low < high - 12 ? "≤ " : "";
    low = Math.max(low, high - 12);
    for (const [net, canvas] of Object.entries(this.canvases)) {
      const height = this.columns[0][net].length;
      canvas.width = this.columns.length;
      canvas.height = height;
      const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, height);
      this.columns.forEach((column, x) => column[net].forEach((g, y) => {
        const [r, v, b] = g > 0 && g < Infinity ? colour((Math.log10(g) - low) / (high - low || 1)) : g === 0 ? [0, 0, 0] : [255, 0, 0];
        image.data.set([r, v, b, 255], 4 * (y * canvas.width + x));
      }));
      pen.putImageData(image, 0, 0);
      canvas.setAttribute("aria-label", `|g| of ${height} blocks, block 0 on top, over the steps ${this.columns[0].step} to ${this.columns.at(-1).step}`);
    }
    this.scale.tell(`${below}${number(10 ** low)}`, number(10 ** high));
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
    place.className = "pair";
    this.canvases = {};
    for (const [net, words] of [["residual", "with skips"], ["plain", "without"]]) {
      const box = document.createElement("div"), head = document.createElement("p"), canvas = document.createElement("canvas");
      head.className = `net ${net === "residual" ? "with" : "without"}`;
      head.textContent = words;
      canvas.className = "field plane";
      canvas.width = canvas.height = 328;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `The class that the net ${words} gives each point of the plane`);
      box.append(head, canvas);
      place.append(box);
      this.canvases[net] = canvas;
    }
  }

  take(data) {
    this.data = data;
    let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < data.x.length; i += 2) {
      left = Math.min(left, data.x[i]); right = Math.max(right, data.x[i]);
      bottom = Math.min(bottom, data.x[i + 1]); top = Math.max(top, data.x[i + 1]);
    }
    this.box = [left, right, bottom, top];
    return this.box;
  }

  frame({ boundary }) {
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
