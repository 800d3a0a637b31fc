// The figures of the page: which there are, what is said of each, and how each is saved as a picture.
import { Errors, Losses, Norms, Slopes, Spectrum } from "./curves.mjs";
import { Heat, Plane } from "./fields.mjs";
import { Ledger } from "./ledger.mjs";
import { saved } from "./pictures.mjs";

const WITH = ["--with", "with skips"], WITHOUT = ["--without", "without"];
const FIGURES = [
  { id: "ribbon", title: "The gradient on its way from the loss to the input", full: true, keys: [["--skip", "over the skip"], ["--branch", "through the branch"], ["--chain", "not split"]],
    told: "It flows from right to left. Width: log |g|, nine decades, one scale for both nets; where it splits, by the shares. Negative shares are hatched; a hairline is a share of 0; dashed, |g| is 0 or not finite. Click a block for its ledger; drag it up or down for λ of its skip." },
  { id: "norms", title: "|g| at the input of each block", keys: [WITH, WITHOUT, ["--soft", "", "dash", "fit"], ["--branch", "", "dash", "law"]], told: "L2 norm over the whole batch, logarithmic; a gap where it is 0 or not finite." },
  { id: "ledger", title: "The ledger of a block", keys: [], told: "What came back over each way out of the block's input. A share is signed: its part along the whole; shares add up to 1." },
  { id: "losses", title: "Loss", keys: [WITH, WITHOUT], told: "Mean cross-entropy over the batch of each step, logarithmic; a gap where it is not a number. Of thousands of steps some are left out, evenly." },
  { id: "errors", title: "Error", keys: [WITH, WITHOUT], told: "Share of rows that are classed wrongly, of those kept back from the training." },
  { id: "heat", title: "|g| by block and step", keys: [], told: "" },
  { id: "spectrum", title: "The gradient by path length, at the start", keys: [["--skip", "share of the gradient that passed k branches"], ["--branch", "share of all paths (binomial)", "dash"]], told: "Exact, before training, as what the library says above; negative shares hatched." },
  { id: "slopes", title: "dy/dx along a line", keys: [WITH, WITHOUT], told: "" },
  { id: "plane", title: "The class of every point", keys: [], told: "One colour a class, the same again after eight; dots are rows of the data, 400 at most." },
];

// entered(id): called when a view that had been away from the screen comes to it.
export function figures(main, choose, acts, entered) {
  const places = {};
  for (const figure of FIGURES) places[figure.id] = figureOf(main, figure, entered);
  const heat = new Heat(places.heat), plane = new Plane(places.plane), ledger = new Ledger(places.ledger, acts);
  const correlation = document.createElement("p");
  correlation.className = "soft";
  places.slopes.after(correlation);
  const views = {
    norms: new Norms(places.norms, choose), losses: new Losses(places.losses), errors: new Errors(places.errors),
    spectrum: new Spectrum(places.spectrum), slopes: new Slopes(places.slopes), heat, plane, ledger, places, correlation,
  };
  const onScreen = new Set(), watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      const id = target.id.slice(2), came = isIntersecting && !onScreen.has(id);
      onScreen[isIntersecting ? "add" : "delete"](id);
      if (came) entered(id);
    }
  }, { rootMargin: "100px" });
  for (const { id } of FIGURES) watch.observe(document.getElementById(`f-${id}`));
  // Draws a view if it can be seen; while nothing runs there is time for all of them.
  views.draw = (id, draw = () => views[id].show()) => { if (views.all || onScreen.has(id)) draw(); };
  addEventListener("beforeprint", () => FIGURES.forEach(({ id }) => entered(id)));
  views.charts = [views.norms, views.losses, views.errors, views.spectrum, views.slopes];
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => views.charts.forEach((c) => c.redraw()));
  new ResizeObserver(() => views.charts.forEach((c) => { if (c.place.clientWidth && c.place.clientWidth !== c.drawing.plot.width) c.fit(); })).observe(main);
  return views;
}

// The frame of one view, and the place in it.
export function figureOf(main, { id, title, told, keys, full }, entered) {
  const figure = document.createElement("figure"), head = document.createElement("h3"), words = document.createElement("span"), place = document.createElement("div"), caption = document.createElement("figcaption");
  figure.id = `f-${id}`;
  if (full) figure.classList.add("full");
  words.textContent = title;
  place.id = `v-${id}`;
  head.append(words, saving(figure, id, entered));
  caption.append(told, ...keys.flatMap(key));
  figure.append(head, place, caption);
  main.append(figure);
  return place;
}

function key([colour, words, dash, id]) {
  const mark = document.createElement("span"), text = document.createElement("span");
  if (id) { text.id = `key-${id}`; text.hidden = true; }
  mark.className = `key${dash ? " dash" : ""}`;
  mark.style.color = `var(${colour})`;
  text.className = "keyed";
  text.append(mark, Object.assign(document.createElement("span"), { textContent: words }));
  return [" ", text];
}

function saving(figure, id, entered) {
  const box = document.createElement("span");
  box.className = "save";
  for (const kind of ["PNG", "SVG"]) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: kind, title: `Save this view as ${kind}` });
    button.setAttribute("aria-label", `Save ${id} as ${kind}`);
    button.addEventListener("click", () => { entered(id); saved(figure, id, kind.toLowerCase()); });
    box.append(button);
  }
  return box;
}

// The words of the library for the dashed lines, or nothing where there is no such line.
export function tellLines({ residual, plain }) {
  for (const [id, words] of [["fit", residual.fit && `${residual.fit_words} (with skips, before training, at seed 0)`], ["law", plain.theory_rate && `without: ${plain.theory_words}`]]) {
    const key = document.getElementById(`key-${id}`);
    key.hidden = !words;
    key.lastChild.textContent = words || "";
  }
}

const percent = (r) => (Number.isFinite(r) ? r.toFixed(2) : "-");

export function tellCorrelation(views, slopes, batch) {
  views.correlation.textContent = `From one row of the data to another, ${batch} points, by inference, each over its largest. Correlation at neighbouring points: ${percent(slopes.residual.correlation)} with skips, ${percent(slopes.plain.correlation)} without (1 is smooth, 0 white noise).`;
}
