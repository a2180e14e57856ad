"""The picture of scripts/bench_growth: panels with two logarithmic axes, as SVG text.

Usage: bench_growth_picture.py bench_growth.json > bench_growth.svg
"""

import json
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, PANEL_WIDTH, PANEL_HEIGHT, HEADER = 1200, 400, 300, 78
INK, MUTED, GRID, BASE, WHITE = "#1f2328", "#656d76", "#e6e9ed", "#a0a8b2", "#ffffff"
# Okabe and Ito's palette, whose colours the common kinds of colour blindness keep apart.
COLOURS = {"tiny": "#0072b2", "small": "#d55e00", "medium": "#008e68", "large": "#b85c92"}
PANELS = (
    ("Sampling against batch", "sampling", "batch", "seconds", "s"),
    ("Sampling against length", "sampling", "length", "seconds", "s"),
    ("Memory of sampling", "sampling", "length", "above_weights_bytes", "MB"),
    ("Update against batch", "update", "batch", "seconds", "s"),
    ("Update against length", "update", "length", "seconds", "s"),
    ("Memory of the update", "update", "length", "above_weights_bytes", "MB"),
)
X_NAMES = {"batch": "completions of 64 tokens", "length": "tokens of each of 8 completions"}
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def text(x: float, y: float, words: str, size: float = 12.5, colour: str = MUTED, anchor: str = "start", more: str = "") -> str:
    """One line of text."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" {more}>'
            f"{escape(words)}</text>")


def line(points: list, colour: str, width: float, more: str = "") -> str:
    """A polyline."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" {more}/>'


class Panel:
    """One panel at (left, top), with curves as lists of (x, y), all values above 0."""

    def __init__(self, left: float, top: float, curves: dict):
        self.left, self.right = left + 62, left + PANEL_WIDTH - 24
        self.top, self.bottom = top + 42, top + PANEL_HEIGHT - 48
        xs = [x for curve in curves.values() for x, _ in curve]
        ys = [y for curve in curves.values() for _, y in curve]
        self.curves = curves
        self.x_range = (min(xs), max(max(xs), 2 * min(xs)))
        lowest, highest = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        self.decades = range(lowest, max(highest, lowest + 1) + 1)

    def at(self, x: float, y: float) -> tuple:
        """The place of a point."""
        low, high = self.x_range
        across = math.log(x / low) / math.log(high / low)
        up = (math.log10(y) - self.decades[0]) / (self.decades[-1] - self.decades[0])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def draw(self, title: str, unit: str, x_name: str) -> list:
        """Everything in the panel."""
        parts = [text(self.left - 42, self.top - 18, title, 15.5, INK, more='font-weight="600"'),
                 text(self.right, self.top - 18, unit, anchor="end")]
        for decade in self.decades:
            _, y = self.at(self.x_range[0], 10.0 ** decade)
            parts += [line([(self.left, y), (self.right, y)], GRID, 1),
                      text(self.left - 8, y + 4, "10" + str(decade).translate(SUPERSCRIPT), anchor="end")]
        x = self.x_range[0]
        while x <= self.x_range[1]:
            place, _ = self.at(x, 10.0 ** self.decades[0])
            parts += [line([(place, self.bottom), (place, self.bottom + 4)], BASE, 1.2),
                      text(place, self.bottom + 18, str(x), anchor="middle")]
            x *= 2
        parts += [line([(self.left, self.bottom), (self.right, self.bottom)], BASE, 1.2),
                  text((self.left + self.right) / 2, self.bottom + 36, x_name, anchor="middle"), *self.slope()]
        for name, curve in self.curves.items():
            places = [self.at(x, y) for x, y in curve]
            shape, _, computed_again = name.partition(" ")
            colour = COLOURS.get(shape, INK)
            parts.append(line(places, colour, 2, 'stroke-dasharray="7 4"' if computed_again else ""))
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{WHITE}" stroke="{colour}" stroke-width="1.6"/>'
                      for x, y in places]
        return parts

    def slope(self) -> list:
        """A dashed line along which cost grows as fast as what it is drawn against."""
        (low, high), bottom, top = self.x_range, 10.0 ** self.decades[0], 10.0 ** self.decades[-1]
        end = min(high, low * top / bottom)
        return [line([self.at(low, bottom), self.at(end, bottom * end / low)], BASE, 1, 'stroke-dasharray="4 4"')]


def curves_of(result: dict, phase: str, against: str, key: str, unit: str) -> dict:
    """By model: (x, y) of every point that was measured. Of memory also where blocks are computed again, as `MODEL blocks`."""
    scale = 1e-6 if unit == "MB" else 1.0
    curves = {}
    for point in result["points"]:
        again = point["checkpointing"] == "blocks"
        if again and unit != "MB":
            continue
        # Less than a megabyte above the weights is below what resident memory can show.
        if point["phase"] == phase and point["against"] == against and (point[key] or 0) * scale > (1 if unit == "MB" else 0):
            curves.setdefault(point["shape"] + " blocks" * again, []).append((point["x"], point[key] * scale))
    return curves


def picture(result: dict) -> str:
    """The whole picture; a panel without a point is empty but for its title."""
    height = HEADER + 2 * PANEL_HEIGHT
    left_out = sum(point["left_out"] is not None for point in result["points"])
    subtitle = (f"{result['dtype']}, {result['threads']} threads of {result['processor']}; prompts of "
                f"{result['prompt_tokens']} tokens in groups of {result['group_size']}; thin dashes: as fast as the axis; "
                f"thick dashes: blocks computed again; "
                f"{left_out} points left out")
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
             'font-family="sans-serif">', f'<rect width="{WIDTH}" height="{height}" fill="{WHITE}"/>',
             text(28, 36, "How cost grows", 22, INK, more='font-weight="600"'), text(28, 59, subtitle, 13.5)]
    shapes = list(dict.fromkeys(point["shape"] for point in result["points"]))
    for index, shape in enumerate(reversed(shapes)):
        x = WIDTH - 60 - 90 * index
        parts += [line([(x - 22, 32), (x - 4, 32)], COLOURS.get(shape, INK), 2.6), text(x, 36, shape, 13.5, INK)]
    for index, (title, phase, against, key, unit) in enumerate(PANELS):
        left, top = PANEL_WIDTH * (index % 3), HEADER + PANEL_HEIGHT * (index // 3)
        curves = curves_of(result, phase, against, key, unit)
        if curves:
            unit = "MB above the weights" if unit == "MB" else unit
            parts += Panel(left, top, curves).draw(title, unit, X_NAMES[against])
        else:
            parts.append(text(left + 20, top + 24, f"{title}: nothing measured", 15.5, INK))
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(picture(json.loads(Path(sys.argv[1]).read_text())))
