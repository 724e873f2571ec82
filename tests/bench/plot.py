# SPDX-License-Identifier: MIT
"""Bar charts as SVG, with nothing but the standard library: one group of bars for each load, one bar for each
server, lengths linear or logarithmic, every bar with its figure."""
from html import escape
from math import ceil, floor, log10

COLOURS = {"bare core": "#8a8f98", "gateway": "#1769aa", "Socket.IO on Node": "#4f9d4f",
           "Flask-SocketIO": "#c8553d", "libtalus": "#1769aa", "libzmq": "#8a8f98",
           "bare chain": "#8a8f98"}
BAR, GAP, LABELS, WIDTH, FIGURES, TOP = 16, 12, 230, 560, 90, 58


def figure(value):
    """A number as people read it: three digits, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def chart(title, unit, groups, logarithmic=False):
    """`groups`: [(label, [(server, value or None)…])…]. Returns the SVG's text."""
    values = [value for _, bars in groups for _, value in bars if value and value > 0]
    if not values:
        return None
    low = 10 ** floor(log10(min(values)) - 0.3) if logarithmic else 0
    high = 10 ** ceil(log10(max(values))) if logarithmic else max(values)

    def length(value):
        if logarithmic:
            return WIDTH * (log10(value) - log10(low)) / (log10(high) - log10(low))
        return WIDTH * value / high

    servers = list(dict.fromkeys(server for _, bars in groups for server, _ in bars))
    parts, y, x = [], TOP, LABELS
    for server in servers:
        parts.append(f'<rect x="{x}" y="34" width="11" height="11" fill="{COLOURS[server]}"/>'
                     f'<text x="{x + 16}" y="44">{escape(server)}</text>')
        x += 36 + 7 * len(server)
    for label, bars in groups:
        bars = [bar for bar in bars if bar[1] and bar[1] > 0]
        middle = y + BAR * len(bars) / 2 + 4
        parts.append(f'<text x="{LABELS - 10}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
        for server, value in bars:
            size = max(length(value), 1)
            parts.append(f'<rect x="{LABELS}" y="{y}" width="{size:.1f}" height="{BAR - 3}" '
                         f'fill="{COLOURS[server]}"/><text x="{LABELS + size + 5:.1f}" y="{y + 11}">'
                         f'{figure(value)}</text>')
            y += BAR
        y += GAP
    scale = f"{unit}, logarithmic" if logarithmic else unit
    width = LABELS + WIDTH + FIGURES
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" '
            'font-family="system-ui, sans-serif" font-size="12" fill="#24292f">'
            f'<rect width="{width}" height="{y}" fill="#ffffff"/>'
            f'<text x="{LABELS}" y="20" font-size="14" font-weight="600">{escape(title)}</text>'
            f'<text x="{width - 10}" y="20" text-anchor="end" fill="#57606a">{escape(scale)}</text>'
            + "".join(parts) + "</svg>\n")
