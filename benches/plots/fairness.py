#!/usr/bin/env python3
"""Draws benches/plots/fairness.svg from the tables "Beside attackers" in benches/README.md.

A row for each attack, a mark for each server: how long an honest client waits for an echo beside
ten attackers, the 99th percentile.
"""

import math
import pathlib
import re

here = pathlib.Path(__file__).parent
COLOURS = {
    "sansws-tokio": "#d62728",
    "sansws-events": "#e377c2",
    "sansws-mio": "#ff7f0e",
    "tokio-tungstenite": "#1f77b4",
    "node-ws": "#8c564b",
}
COLUMN = 2  # "echo, 10 attackers", where there are attackers
LEFT, RIGHT, TOP, ROW = 205, 640, 30, 36
LEAST, MOST = 0.1, 10_000  # milliseconds; what did not come stands at the right


def rows():
    page = (here.parent / "README.md").read_text()
    section = page.split("### Beside attackers")[1].split("\n## ")[0]
    for attack, table in re.findall(r"^(\S.*), p50 / p99 / max, ms:\n\n((?:\|.*\n)+)", section, re.M):
        waits = {}
        for line in table.splitlines()[2:]:
            cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
            name = cells[0].removesuffix("-1ms")
            cell = cells[COLUMN if len(cells) > 3 else 1]
            waits[name] = cell.split(" / ")[1]
        yield attack, waits


def x(milliseconds):
    part = math.log(milliseconds / LEAST) / math.log(MOST / LEAST)
    return LEFT + part * (RIGHT - LEFT)


def mark(name, at, y, title=""):
    colour = COLOURS[name]
    title = f"<title>{name} {title}</title>" if title else ""
    if name.startswith("sansws"):
        points = f"{at:.1f},{y - 8} {at + 7:.1f},{y} {at:.1f},{y + 8} {at - 7:.1f},{y}"
        return f"<polygon points='{points}' fill='{colour}'>{title}</polygon>"
    return f"<circle cx='{at:.1f}' cy='{y}' r='5' fill='{colour}'>{title}</circle>"


attacks = list(rows())
bottom = TOP + ROW * len(attacks)
width, height = 720, bottom + 80
out = [
    f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
    f"height='{height}' font-family='system-ui,sans-serif' font-size='12'>",
    "<style>text{fill:#24292f}@media(prefers-color-scheme:dark){text{fill:#d0d7de}}</style>",
    f"<text x='{LEFT}' y='16' font-weight='bold'>"
    "An honest client's wait for an echo beside ten attackers, p99, ms</text>",
]
ticks = [(x(value), f"{value:g}") for value in (0.1, 1, 10, 100, 1000, 10_000)]
ticks.append((RIGHT + 45, "never"))
for at, text in ticks:
    out.append(f"<line x1='{at:.1f}' y1='{TOP - 6}' x2='{at:.1f}' y2='{bottom - 10}' stroke='#8884'/>")
    out.append(f"<text x='{at:.1f}' y='{bottom + 6}' text-anchor='middle'>{text}</text>")
for at, (attack, waits) in enumerate(attacks):
    y = TOP + ROW * at + 10
    first, second = attack, ""
    if len(attack) > 28:
        cut = attack.rfind(" ", 0, 28)
        first, second = attack[:cut], attack[cut + 1 :]
    lines = [first, second] if second else [first]
    for line, text in enumerate(lines):
        base = y + 4 + 14 * line - (7 if second else 0)
        out.append(f"<text x='{LEFT - 12}' y='{base}' text-anchor='end'>{text}</text>")
    out.append(f"<line x1='{LEFT}' y1='{y}' x2='{RIGHT + 45}' y2='{y}' stroke='#8883'/>")
    for name in reversed(COLOURS):  # ours last, on top
        value = waits.get(name, "–")
        if value == "∞":
            out.append(mark(name, RIGHT + 45, y, "never"))
        elif value != "–":
            out.append(mark(name, x(float(value)), y, f"{value} ms"))
for at, name in enumerate(COLOURS):
    left = 30 + 135 * at
    out.append(mark(name, left, bottom + 46))
    out.append(f"<text x='{left + 12}' y='{bottom + 50}'>{name}</text>")
(here / "fairness.svg").write_text("\n".join([*out, "</svg>\n"]))
