"""A drawing of the areas of the membership attacks, as inline SVG."""

from html import escape

import numpy as np


def membership_chart(found):
    """One line for each attack and model: its area and its bootstrap interval.

    The sizes are in pixels of a page 390 pixels wide; on a wider page the drawing is scaled up.

    Parameters
    ----------
    found : dict of str to dict
        See `membership`.
    """
    items = [
        (f"{attack}, {model}", found[model][attack])
        for attack in ("loss", "confidence")
        for model in found
    ]
    ticks = _ticks([value for _, item in items for value in (item["low"], item["high"])])
    width = 360
    left = 144
    right = 16
    line = 24
    gap = 12
    top = 6
    bottom = top + line * len(items) + gap

    def x(value):
        return left + (width - left - right) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    drawn = [
        f'<line class="axis" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="0" y2="{bottom}"/>'
        f'<text x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:.3g}</text>'
        for value in ticks
    ]
    for i, (name, item) in enumerate(items):
        y = top + line * (i + 0.5) + gap * (i // len(found))
        drawn.append(
            f'<text x="0" y="{y + 4:.1f}">{escape(name)}</text>'
            f'<line class="bar" x1="{x(item["low"]):.1f}" x2="{x(item["high"]):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="dot" cx="{x(item["auc"]):.1f}" cy="{y:.1f}" r="4"/>'
        )
    label = "Areas under the ROC curve of the attacks, with their intervals"
    return (
        f'<svg viewBox="0 0 {width} {bottom + 24}" role="img" aria-label="{label}">'
        f"{''.join(drawn)}</svg>"
    )


def _ticks(values):
    """At most five round numbers that enclose the values, and lie inside [0, 1] if these do."""
    low = min(values)
    high = max(values)
    for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.25):
        first = np.floor(low / step)
        last = max(np.ceil(high / step), first + 1)
        if last - first <= 4:
            break
    return (np.arange(first, last + 1) * step).tolist()
