"""The tables and the picture of ``docs/race.md``, from the results of `race.py`."""

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "race.md"
PICTURE = DOCS / "race.png"
BEGIN, END = "<!-- begin of the tables of race.py -->", "<!-- end of the tables of race.py -->"
OURS = "ours"
# Forget sets of the tables and of the picture.
SIZES = ("1", "10", "1000")
# Norms of the distance ratio, and their names on the page.
NORMS = {"hessian": "Hessian", "euclidean": "Euclidean"}
# Two numbers that differ by less than a tenth are the same within the noise of a shared machine.
NOISE = 1.1


def number(value, unit=1.0):
    """Three significant digits; a dash for a number that is missing."""
    if value is None or value != value:
        return "-"
    value *= unit
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def timed(result):
    """The methods of a task that erased at least one forget set, and their results."""
    return {name: found for name, found in result["methods"].items() if found["erase"]}


def table(result):
    """The Markdown table of a task."""
    lines = [
        "| method | prepare, s | MB | erase 1, 10, 1,000 rows, ms | ratio, Hessian (Euclidean):"
        " 1 row | 10 rows | 1,000 rows | gamma_S | gaps: forget, test |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in timed(result).items():
        times = ", ".join(number(found["erase"].get(size), 1e3) for size in SIZES)
        ratios = [ratio(found["measures"].get(size)) for size in SIZES]
        last = found["measures"].get(SIZES[-1], {})
        cells = [
            name,
            number(found["prepare"]),
            number(max(0.0, found["memory"])) if found["memory"] is not None else "-",
            times,
            *ratios,
            number(last.get("gamma")),
            f"{number(last.get('forget gap'))}, {number(last.get('test gap'))}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if found["free scale"]:
            best = [number(found["measures"].get(size, {}).get("best")) for size in SIZES]
            cells = [f"{name}, best scale in hindsight", "", "", "", *best, "", ""]
            lines.append("| " + " | ".join(cells) + " |")
        if found.get("own ratio") is not None:
            own = f"- ({number(found['own ratio'])})"
            cells = [f"{name}, against its own retraining", "", "", "", "", "", own, "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratio(measures):
    """Both distance ratios."""
    if not measures:
        return "-"
    return f"{number(measures['hessian'])} ({number(measures['euclidean'])})"


def row_counts(sizes):
    """The numbers of forget rows in words, such as "1, 10 and 1,000 rows"."""
    numbers = [f"{int(size):,}" for size in sorted(sizes, key=int)]
    unit = "row" if numbers == ["1"] else "rows"
    if len(numbers) == 1:
        return f"{numbers[0]} {unit}"
    return f"{', '.join(numbers[:-1])} and {numbers[-1]} {unit}"


def left_out(result):
    """One line for each method or forget set that is missing, with the reason."""
    lines = []
    for name, found in result["methods"].items():
        reasons = {}
        for size, reason in found["left out"].items():
            reasons.setdefault(reason.removeprefix("ValueError: "), []).append(size)
        for reason, sizes in reasons.items():
            rows = "" if "all" in sizes else f", {row_counts(sizes)}"
            lines.append(f"- {name}{rows}: {reason}")
    return "\n".join(lines)


def faster_pairs(result):
    """Each method of ours, each faster other one and the size: (own, other, size, measures)."""
    methods = timed(result)
    for own, ours in methods.items():
        for other, theirs in methods.items():
            if not own.startswith(OURS) or other.startswith(OURS):
                continue
            for size in SIZES:
                mine, rival = (m["measures"].get(size) for m in (ours, theirs))
                if mine and rival and NOISE * theirs["erase"][size] < ours["erase"][size]:
                    yield own, other, size, mine, rival


def better(result):
    """Methods that are both closer to retraining and faster than one of ours.

    Returns
    -------
    dict of (own, other, norms) to list of str
        Our method, the method that beats it in both by more than `NOISE`, and the norms in which it
        is closer, "hessian", "euclidean" or both; with the numbers of forget rows.
    """
    found = {}
    for own, other, size, mine, rival in faster_pairs(result):
        norms = tuple(norm for norm in NORMS if NOISE * rival[norm] < mine[norm])
        if norms:
            found.setdefault((own, other, norms), []).append(size)
    return found


def equal(result):
    """Methods that are as close to retraining, in both norms, and faster than one of ours.

    Returns
    -------
    dict of (own, other) to list of str
        The numbers of forget rows.
    """
    found = {}
    for own, other, size, mine, rival in faster_pairs(result):
        if all(1 / NOISE <= rival[norm] / mine[norm] <= NOISE for norm in NORMS):
            found.setdefault((own, other), []).append(size)
    return found


def faster(result):
    """Methods that are faster than all of ours: for each, (size, its results, our closest)."""
    methods = timed(result)
    found = {}
    for size in SIZES:
        mine = {k: v for k, v in methods.items() if k.startswith(OURS) and size in v["erase"]}
        if not mine:
            continue
        quickest = min(mine, key=lambda name: mine[name]["erase"][size])
        closest = min(mine, key=lambda name: mine[name]["measures"][size]["hessian"])
        for name, other in methods.items():
            if name in mine or name == "nothing" or size not in other["erase"]:
                continue
            if NOISE * other["erase"][size] < mine[quickest]["erase"][size]:
                found.setdefault(name, []).append((size, other, mine[closest]))
    return found


def verdict(result):
    """Who is closer and faster than this library, and who is faster, in sentences."""
    lines = []
    beaten = better(result)
    for own in (name for name in timed(result) if name.startswith(OURS)):
        cases = {key: sizes for key, sizes in beaten.items() if key[0] == own}
        if not cases:
            lines.append(f'"{own}": no method measured here is both closer and faster.')
        for (_own, other, norms), sizes in cases.items():
            which = "" if len(norms) == len(NORMS) else f", in the {NORMS[norms[0]]} norm only"
            lines.append(
                f'"{own}": **{other} is both closer to retraining and faster** for '
                f"{row_counts(sizes)}{which}."
            )
    for (own, other), sizes in equal(result).items():
        lines.append(
            f'"{own}": **{other} is as close to retraining, and faster**, for {row_counts(sizes)}.'
        )
    lines += [faster_line(name, cases) for name, cases in faster(result).items()]
    return "\n".join(f"- {line}" for line in lines)


def faster_line(name, cases):
    """A sentence about a method that is faster than this library for some forget sets."""
    times = ", ".join(number(other["erase"][size], 1e3) for size, other, _own in cases)
    ratios = [
        ", ".join(number(found["measures"][size]["hessian"]) for size, found in pairs)
        for pairs in (
            [(size, other) for size, other, _own in cases],
            [(size, own) for size, _other, own in cases],
        )
    ]
    return (
        f"{name} is faster than every method of this library for "
        f"{row_counts([size for size, _other, _own in cases])}: {times} ms. Ratio {ratios[0]}, "
        f"beside {ratios[1]} of the closest method of this library."
    )


def machine(setting):
    """A sentence each: when and where the race ran, and how the models were trained."""
    versions = ", ".join(f"{name} {release}" for name, release in setting["versions"].items())
    return (
        f"Measured on {setting['date']} on one core of {setting['cores']} "
        f"({setting['processor']}), Python {setting['python']}; {versions}. The original model and "
        f"the retrained models: {setting['solver']}, tolerance {setting['tolerance']:g}, "
        f"C = {setting['C']:g}."
    )


def clock(setting):
    """A sentence each: how times were taken, and the limits of a process."""
    rounds = "of one round"
    if setting["rounds"] > 1:
        rounds = (
            f"medians of at most {setting['rounds']} alternating rounds (one for a process of more "
            f"than {setting['slow']} s)"
        )
    return (
        f"Times are {setting['clock']}, {rounds}, on a machine shared with other work. Limits of a "
        f"process: {setting['max seconds']:g} s of CPU time, {setting['max duration']:.0f} s in "
        f"all and {setting['max GB']} GB of address space."
    )


def own_conditions(result, results):
    """The conditions of a task that differ from the page's, with a space before them."""
    own, shared = result["setting"], results["setting"]
    return "".join(f" {part(own)}" for part in (machine, clock) if part(own) != part(shared))


def tables(results):
    """The generated part of the page."""
    parts = [f"{machine(results['setting'])} {clock(results['setting'])}"]
    for name, result in results["tasks"].items():
        parts.append(
            f"### {name}\n\n{result['n']:,} training rows, {result['n_test']:,} test rows, "
            f"{result['columns']} columns, {result['classes']} classes, "
            f"{result['parameters']:,} parameters.{own_conditions(result, results)}\n\n"
            f"{table(result)}\n\n{verdict(result)}"
        )
        missing = left_out(result)
        if missing:
            parts.append(f"Left out:\n\n{missing}")
    for name, command in results["not found"].items():
        parts.append(f"{name} is left out: its data is missing. {command}")
    return "\n\n".join(parts)


def write_page(results):
    """Write the generated part into the page, and the picture beside it."""
    text = PAGE.read_text()
    between = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    block = f"{BEGIN}\n\n{tables(results)}\n\n{END}"
    PAGE.write_text(between.sub(lambda match: block, text))
    draw(results)


def draw(results):
    """Plot distance ratio by time of an erasure of 1,000 rows, one panel for each task."""
    import matplotlib.pyplot as plt

    tasks = results["tasks"]
    figure, panels = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    names = list(dict.fromkeys(m for result in tasks.values() for m in timed(result)))
    names.remove("nothing")
    colours = plt.get_cmap("tab20").colors
    handles = {}
    for panel, (task, result) in zip(panels.flat, tasks.items(), strict=False):
        for i, name in enumerate(names):
            found = timed(result).get(name, {"measures": {}})
            if SIZES[-1] not in found["measures"]:
                continue
            error = found["measures"][SIZES[-1]]["hessian"]
            if error != error:  # an ensemble has no distance
                continue
            handles[name] = panel.scatter(
                1e3 * found["erase"][SIZES[-1]],
                max(error, 1e-6),
                s=110 if name.startswith(OURS) else 60,
                marker="*" if name.startswith(OURS) else "os^vDPX"[i % 7],
                color=colours[i % 20],
                edgecolor="black",
                linewidth=0.5,
            )
        panel.axhline(1, color="grey", linewidth=0.8)
        panel.set(xscale="log", yscale="log", title=task)
    for panel in panels.flat[len(tasks) :]:
        panel.set_axis_off()
    if len(tasks) < panels.size:
        panels.flat[-1].legend(handles.values(), handles.keys(), loc="center", fontsize=8)
    figure.supxlabel("time to erase 1,000 rows, ms")
    figure.supylabel("distance ratio, norm of the Hessian (1: no erasure; at least 1e-6 drawn)")
    figure.savefig(PICTURE, dpi=90)
    plt.close(figure)
