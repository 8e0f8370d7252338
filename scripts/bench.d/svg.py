"""Draws plots of bars and of lines as SVG. They suit light and dark pages, and show their numbers
as text, so that no number has to be read off an axis.
"""

import math
from html import escape

WIDTH = 760
COLOURS = ["#2a6fdb", "#e07b39", "#3a9d5d", "#9159c1", "#c8426b", "#7a7f87", "#12949c", "#b08a1a"]
"""Colours; the first is always wspushd's."""

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f; }
  .title { font-size: 16px; font-weight: 600; }
  .note, .tick { fill: #57606a; font-size: 12px; }
  .ours { font-weight: 600; }
  .grid { stroke: #d8dee4; stroke-width: 1; }
  .range { stroke: #11151a; stroke-width: 1.5; }
  .track { fill: #eef1f4; }
  .page { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .note, .tick { fill: #9198a1; }
    .grid { stroke: #30363d; }
    .range { stroke: #f0f6fc; }
    .track { fill: #21262d; }
    .page { fill: #0d1117; }
  }
"""


def number(value):
    """At most three significant digits: 0.064, 4.31, 17.2, 431, 12,400."""
    if value is None or math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    decimals = 2 - math.floor(math.log10(abs(float(f"{value:.3g}"))))
    if decimals <= 0:
        return f"{round(value, decimals):,.0f}"
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals > 2 else text


class Drawing:
    def __init__(self, height, title, note=""):
        self._height = height
        self._parts = [f"<title>{escape(title)}</title>"]
        self.text(24, 32, title, "title")
        if note:
            self.text(24, 52, note, "note")

    def text(self, x, y, text, kind="", anchor="start", colour=None):
        style = f' style="fill:{colour}"' if colour else ""
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" '
                           f'text-anchor="{anchor}"{style}>{escape(text)}</text>')

    def rect(self, x, y, width, height, colour=None, kind="", opacity=1.0):
        fill = f' fill="{colour}"' if colour else ""
        self._parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                           f'height="{height:.1f}" rx="3" class="{kind}"{fill} '
                           f'opacity="{opacity}"/>')

    def line(self, x1, y1, x2, y2, kind="grid", colour=None, width=1):
        stroke = f' stroke="{colour}" stroke-width="{width}"' if colour else ""
        self._parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                           f'class="{"" if colour else kind}"{stroke}/>')

    def path(self, points, colour, width=2, dashed=False):
        d = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(f'<path d="{d}" fill="none" stroke="{colour}" stroke-width="{width}" '
                           f'stroke-linejoin="round"{dash}/>')

    def dot(self, x, y, colour, radius=3.5):
        self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def render(self):
        body = "\n".join(self._parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self._height}" '
                f'viewBox="0 0 {WIDTH} {self._height}" role="img">\n<style>{STYLE}</style>\n'
                f'<rect class="page" width="{WIDTH}" height="{self._height}" rx="6"/>\n{body}\n'
                f'</svg>\n')


def dots(title, note, rows, unit=""):
    """rows: as of bars. The axis is logarithmic, so lengths would mean nothing: a dot for the value,
    a thick line from the lowest to the highest."""
    left, right, top, step = 120, 250, 76, 34
    drawing = Drawing(top + step * len(rows) + 40, title, note)
    room, bottom = WIDTH - left - right, top + step * len(rows)
    found = [number for _, value, low, high, *_ in rows for number in (value, low, high) if number]
    low_end, high_end = min(found, default=1) / 1.15, max(found, default=1) * 1.15

    def at(value):
        return left + room * math.log(value / low_end) / math.log(high_end / low_end)

    for mark in _decades(low_end, high_end):
        drawing.line(at(mark), top - 8, at(mark), bottom)
        drawing.text(at(mark), bottom + 16, f"{mark:,.10g}", "tick", "middle")
    for i, (label, value, low, high, more, ours) in enumerate(rows):
        y = top + i * step + 9
        colour = COLOURS[0] if ours else COLOURS[5]
        drawing.text(left - 12, y + 5, label, "ours" if ours else "", "end")
        if not value:
            drawing.text(left + 8, y + 5, more or "–", "note")
            continue
        if low and high:
            drawing.rect(at(low), y - 3, max(2, at(high) - at(low)), 6, colour, opacity=0.35)
        drawing.dot(at(value), y, colour, 5)
        drawing.text(left + room + 12, y + 5, number(value) + (f" {unit}" if unit else ""),
                     "ours" if ours else "")
        if more:
            drawing.text(WIDTH - 24, y + 5, more, "note", "end")
    return drawing.render()


def bars(title, note, rows, unit=""):
    """rows: (label, value, low, high, further text, whether it is ours). Low and high: of all
    rounds, drawn as a thin line."""
    left, right, top, step, thick = 120, 250, 76, 34, 18
    drawing = Drawing(top + step * len(rows) + 12, title, note)
    room = WIDTH - left - right
    largest = max([high or value or 0 for _, value, _, high, _, _ in rows] or [0]) or 1
    for i, (label, value, low, high, more, ours) in enumerate(rows):
        y = top + i * step
        drawing.text(left - 12, y + 14, label, "ours" if ours else "", "end")
        drawing.rect(left, y, room, thick, kind="track")
        if value is None:
            drawing.text(left + 8, y + 14, more or "–", "note")
            continue
        drawing.rect(left, y, max(2, room * value / largest), thick,
                     COLOURS[0] if ours else COLOURS[5], opacity=1 if ours else 0.75)
        if low is not None and high is not None and high > low:
            drawing.line(left + room * low / largest, y + thick / 2, left + room * high / largest,
                         y + thick / 2, "range")
        said = number(value) + (f" {unit}" if unit else "")
        drawing.text(left + room + 12, y + 14, said, "ours" if ours else "")
        if more:
            drawing.text(WIDTH - 24, y + 14, more, "note", "end")
    return drawing.render()


def _decades(low, high):
    """The marks of a logarithmic axis."""
    exponent, marks = math.floor(math.log10(low)), []
    while 10.0 ** exponent <= high * 1.0001:
        steps = (1, 2, 5) if math.log10(high / low) < 2.5 else (1,)
        marks += [step * 10.0 ** exponent for step in steps
                  if low * 0.9999 <= step * 10.0 ** exponent <= high * 1.0001]
        exponent += 1
    return marks


def _spread(wanted, least):
    """Moves labels apart so that they do not overlap; keeps their order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for earlier, later in zip(order, order[1:]):
        placed[later] = max(placed[later], placed[earlier] + least)
    return placed


def lines(title, note, series, x_marks, unit, x_label=""):
    """series: (name, [(x, y)], colour's number, dashed); x in 0..1. x_marks: (x, text). The y axis
    is logarithmic; a worst value may be given as third of a point, drawn as a thin line up."""
    left, right, top, height, bottom = 70, 170, 82, 300, 56
    drawing = Drawing(top + height + bottom, title, note)
    values = [v for _, points, _, _ in series for point in points for v in point[1:] if v > 0]
    if not values:
        drawing.text(left, top + 40, "nothing was measured", "note")
        return drawing.render()
    low, high = min(values) / 1.3, max(values) * 1.2

    def at_x(x):
        return left + x * (WIDTH - left - right)

    def at_y(y):
        return top + height * (1 - math.log(max(y, low) / low) / math.log(high / low))

    for mark in _decades(low, high):
        drawing.line(left, at_y(mark), WIDTH - right, at_y(mark))
        drawing.text(left - 8, at_y(mark) + 4, f"{mark:,.10g}", "tick", "end")
    for x, text in x_marks:
        drawing.line(at_x(x), top + height, at_x(x), top + height + 5)
        drawing.text(at_x(x), top + height + 20, text, "tick", "middle")
    drawing.text(left - 8, top - 10, unit, "tick", "end")
    drawing.text(at_x(0.5), top + height + 42, x_label, "tick", "middle")
    ends = _spread([at_y(points[-1][1]) for _, points, _, _ in series if points], 17)
    for (name, points, colour, dashed), end in zip([s for s in series if s[1]], ends):
        stroke = COLOURS[colour % len(COLOURS)]
        for x, y, *worst in points:
            if worst and worst[0] > y:
                drawing.line(at_x(x), at_y(y), at_x(x), at_y(worst[0]), colour=stroke, width=1.2)
                drawing.line(at_x(x) - 4, at_y(worst[0]), at_x(x) + 4, at_y(worst[0]),
                             colour=stroke, width=1.2)
        drawing.path([(at_x(p[0]), at_y(p[1])) for p in points], stroke,
                     2.6 if colour == 0 else 1.8, dashed)
        if len(points) < 10:
            for point in points:
                drawing.dot(at_x(point[0]), at_y(point[1]), stroke)
        drawing.text(WIDTH - right + 10, end + 4, name, "ours" if colour == 0 else "",
                     colour=stroke)
    return drawing.render()
