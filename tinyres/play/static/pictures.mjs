// Saves a view as a picture: a drawing as the SVG it is, a canvas inside of one; PNG by way of a canvas.

export async function saved(figure, name, kind) {
  const svg = asSvg(figure);
  const blob = kind === "svg" ? new Blob([svg], { type: "image/svg+xml" }) : await asPng(svg);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `tinyres-${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// All drawings and canvases of the figure where they stand, with its title and its other words below.
function asSvg(figure) {
  const frame = figure.getBoundingClientRect(), style = getComputedStyle(document.body);
  const parts = [`<rect width="100%" height="100%" fill="${style.backgroundColor}"/>`];
  const ground = (e) => { const box = e.getBoundingClientRect(); return { x: box.x - frame.x, y: box.y - frame.y, width: box.width, height: box.height }; };
  for (const e of figure.querySelectorAll("svg, canvas")) {
    const { x, y, width, height } = ground(e);
    if (!width) continue;
    if (e.tagName === "CANVAS") parts.push(`<image x="${x}" y="${y}" width="${width}" height="${height}" preserveAspectRatio="none" style="image-rendering:pixelated" href="${e.toDataURL()}"/>`);
    else parts.push(nested(e, x, y, width, height));
  }
  for (const mark of figure.querySelectorAll(".key, .net")) if (mark.offsetParent) parts.push(keyed(mark, ground(mark)));
  parts.push(...words(figure, frame));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${frame.width}" height="${frame.height}">${parts.join("")}</svg>`;
}

function nested(svg, x, y, width, height) {
  const copy = svg.cloneNode(true), all = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((e, i) => {
    const style = getComputedStyle(all[i]);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family", "text-anchor"]) e.setAttribute(name, style.getPropertyValue(name).replaceAll('"', "'"));
    for (const name of ["style", "class", "tabindex", "data-d"]) e.removeAttribute(name);
  });
  for (const [name, value] of Object.entries({ x, y, width, height })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

// The mark of a colour: a square, or a dash where the line is one.
function keyed(mark, { x, y, width, height }) {
  const colour = getComputedStyle(mark, mark.matches(".net") ? "::before" : null).color, side = 12;
  if (mark.matches(".dash")) return `<path d="M${x} ${y + height / 2}h${width}" stroke="${colour}" stroke-width="2.5" stroke-dasharray="6 4"/>`;
  return `<rect x="${x}" y="${mark.matches(".net") ? y + 4 : y}" width="${side}" height="${side}" fill="${colour}"/>`;
}

// Every word of the figure where it stands.
function words(figure, frame) {
  const walker = document.createTreeWalker(figure, NodeFilter.SHOW_TEXT), range = document.createRange(), parts = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const holder = node.parentElement;
    if (holder.closest("svg, button, label, select") || !holder.offsetParent) continue;
    const style = getComputedStyle(holder), size = parseFloat(style.fontSize);
    for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      const box = range.getBoundingClientRect();
      if (box.width) parts.push(`<text x="${box.x - frame.x}" y="${box.bottom - frame.y - size * 0.3}" fill="${style.color}" font-size="${size}" font-weight="${style.fontWeight}" font-family="system-ui, sans-serif" textLength="${box.width}">${escaped(word)}</text>`);
    }
  }
  return parts;
}

async function asPng(svg) {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * image.width;
  canvas.height = 2 * image.height;
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.drawImage(image, 0, 0);
  URL.revokeObjectURL(image.src);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
