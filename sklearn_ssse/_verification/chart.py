"""A drawing of the areas of the membership attacks, as inline SVG."""

from html import escape

# Sizes in the units of the drawing, which is scaled to the width of the page.
WIDTH = 480
LEFT = 130
RIGHT = 15
LINE = 24
TOP = 8
GROUP_SPACE = 12
# Room for the numbers of the axis.
AXIS = 26
# Share of an axis that is free on both sides.
PADDING = 0.08


def membership_chart(found):
    """One line for each attack and model: its area and its bootstrap interval.

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
    ends = [value for _, item in items for value in (item["low"], item["high"])]
    low = min(ends)
    high = max(ends)
    margin = PADDING * (high - low) or PADDING
    low -= margin
    high += margin

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    n_models = len(found)
    drawn = []
    bottom = TOP + LINE * len(items) + GROUP_SPACE
    for i, (name, item) in enumerate(items):
        y = TOP + LINE * (i + 0.5) + GROUP_SPACE * (i // n_models)
        drawn.append(
            f'<text x="0" y="{y + 4:.1f}">{escape(name)}</text>'
            f'<line class="bar" x1="{x(item["low"]):.1f}" x2="{x(item["high"]):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="dot" cx="{x(item["auc"]):.1f}" cy="{y:.1f}" r="4"/>'
        )
    ticks = [low + margin / 2, (low + high) / 2, high - margin / 2]
    for value in ticks:
        drawn.append(
            f'<line class="axis" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="0" y2="{bottom}"/>'
            f'<text x="{x(value):.1f}" y="{bottom + 17}" text-anchor="middle">{value:.3f}</text>'
        )
    label = "Areas under the ROC curve of the attacks, with their intervals"
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + AXIS}" role="img" aria-label="{label}">'
        f"{''.join(reversed(drawn))}</svg>"
    )
