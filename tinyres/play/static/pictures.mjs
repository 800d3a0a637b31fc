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
  for (const e of figure.querySelectorAll("h3 > span:first-child, figcaption, .net, #sum, td, th, caption, .u-axis, p.soft")) {
    const { x, y, width, height } = ground(e);
    if (width) parts.push(lines(e, x, y, width, height));
  }
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

// Words broken into lines as wide as where they stand.
function lines(e, x, y, width, height) {
  const style = getComputedStyle(e), size = parseFloat(style.fontSize), pen = document.createElement("canvas").getContext("2d");
  pen.font = `${style.fontWeight} ${size}px system-ui`;
  const rows = [""];
  for (const word of e.textContent.split(/\s+/)) {
    const longer = `${rows.at(-1)} ${word}`.trim();
    if (pen.measureText(longer).width > width + 2 && rows.at(-1)) rows.push(word); else rows[rows.length - 1] = longer;
  }
  const step = Math.max(size * 1.2, height / rows.length), anchor = style.textAlign === "right" ? "end" : "start";
  return rows.map((row, i) => `<text x="${anchor === "end" ? x + width : x}" y="${y + step * i + size}" fill="${style.color}" font-size="${size}" font-weight="${style.fontWeight}" font-family="system-ui, sans-serif" text-anchor="${anchor}">${escaped(row)}</text>`).join("");
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
