"""Small grey images for a terminal and as a picture of many."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np

_SHADES, _PLAIN = " ░▒▓█", " .:+#"
_PIXEL = 8  # of a picture, for one of an image


def in_characters(images: np.ndarray) -> str:
    """Images (n, height, width) of 0 … 1 side by side, two characters a pixel, in as many rows as the terminal asks."""
    count, height, width = images.shape
    columns = min(80, shutil.get_terminal_size().columns)
    across = max(1, min(count, (columns + 1) // (2 * width + 1)))
    shades = _SHADES
    try:
        shades.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        shades = _PLAIN
    chosen = np.clip((images * len(shades)).astype(int), 0, len(shades) - 1)
    lines = []
    for first in range(0, count, across):
        for row in range(height):
            parts = ("".join(shades[v] * 2 for v in image[row]) for image in chosen[first : first + across])
            lines.append(" ".join(parts).rstrip())
        lines.append("")
    return "\n".join(lines[:-1])


def grid_picture(images: np.ndarray, across: int, path: str) -> str:
    """Write images (n, height, width) of 0 … 1 as one picture, `across` in a row; the path, which ends in .svg where
    there is no matplotlib."""
    count, height, width = images.shape
    rows = -(-count // across)
    sheet = np.ones((rows * (height + 1) - 1, across * (width + 1) - 1))
    for i, image in enumerate(images):
        top, left = i // across * (height + 1), i % across * (width + 1)
        sheet[top : top + height, left : left + width] = 1.0 - np.clip(image, 0.0, 1.0)
    try:
        from matplotlib.image import imsave
    except ImportError:
        return _svg(sheet, os.path.splitext(path)[0] + ".svg")
    imsave(path, np.kron(sheet, np.ones((_PIXEL, _PIXEL))), cmap="gray", vmin=0.0, vmax=1.0)
    return path


def _svg(sheet: np.ndarray, path: str) -> str:
    height, width = sheet.shape
    shapes = [
        f'<rect x="{x}" y="{y}" width="1" height="1" fill="#{f"{round(v * 255):02x}" * 3}"/>'
        for (y, x), v in np.ndenumerate(sheet)
        if v < 1.0
    ]
    size = f'width="{width * _PIXEL}" height="{height * _PIXEL}" viewBox="0 0 {width} {height}"'
    text = f'<svg xmlns="http://www.w3.org/2000/svg" {size} shape-rendering="crispEdges">\n'
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + "\n".join(shapes) + "\n</svg>\n")
    return path
