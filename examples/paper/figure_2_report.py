"""Gaps, tables, picture and JSON file of figure 2."""

import datetime
import json
import os
import platform
import sys
from pathlib import Path

import cifar10
import numpy as np
import torch

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from machine import processor

# Accuracies of a model, in this order in the JSON file.
MEASURES = ["forget", "retained", "test", "rest of class", "test rows of class"]
# Largest gap for half of a class that the step should reach, for each norm.
BOUNDS = {"batch": 0.15, "group": 0.08}
# Methods in the picture, and their colours and line styles.
DRAWN = {
    "plain gradient": ("tab:gray", "-"),
    "last layer, gauss_newton": ("tab:brown", "-"),
    "empirical_fisher, batches of 10, blocks of 70,000": ("tab:orange", "-"),
    "gauss_newton, batches of 1, full": ("tab:purple", "-"),
    "empirical_fisher, batches of 1, blocks of 70,000": ("tab:green", "-"),
    "empirical_fisher, batches of 1, full": ("tab:blue", "-"),
    "empirical_fisher, batches of 1, full, temperature 4": ("tab:blue", ":"),
    "nothing": ("black", ":"),
    "another seed": ("black", "--"),
}


def gap(accuracies, reference, n_measures=3):
    """Return the largest difference of the first `n_measures` accuracies."""
    pairs = zip(accuracies[:n_measures], reference[:n_measures], strict=True)
    return round(max(abs(a - b) for a, b in pairs if a is not None), 4)


def result(norm, case, name, path, reference):
    """Return one entry of the JSON file, with the smallest gaps over the path."""
    return {
        "norm": norm,
        "label": case[0],
        "share": case[1],
        "method": name,
        "reference": reference,
        "path": path,
        "gap": min(gap(point["accuracies"], reference) for point in path),
        "gap_with_rest": min(gap(point["accuracies"], reference, 4) for point in path),
    }


def methods_of(results):
    """Return the names of the methods in the order of the results."""
    return list(dict.fromkeys(entry["method"] for entry in results))


def found(results, norm, share, method):
    """Return the entries of one method, one for each class."""
    key = (norm, share, method)
    return [r for r in results if (r["norm"], r["share"], r["method"]) == key]


def cell(entries, name):
    """Return the mean and, if there are several classes, the largest of a gap."""
    if not entries:
        return "-"
    gaps = [entry[name] for entry in entries]
    text = f"{np.mean(gaps):.3f}"
    return text if len(gaps) == 1 else f"{text} ({max(gaps):.3f})"


def table(results, share):
    """Return the lines of a table: a method a row, the gaps of each norm in the columns.

    A cell is the mean over the classes, with the largest in parentheses.
    """
    norms = list(dict.fromkeys(r["norm"] for r in results if r["share"] == share))
    names = ["gap", "gap_with_rest"] if share == "half" else ["gap"]
    titles = {"gap": "", "gap_with_rest": ", with the rest of the class"}
    columns = [(norm, name) for norm in norms for name in names]
    head = [f"{norm} norm{titles[name]}" for norm, name in columns]
    lines = ["| method | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    for method in methods_of(results):
        cells = [cell(found(results, norm, share, method), name) for norm, name in columns]
        if set(cells) != {"-"}:
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def best_point(entry):
    """Return the point of the path with the smallest gap, the rest of the class included."""
    return min(entry["path"], key=lambda p: gap(p["accuracies"], entry["reference"], 4))


def details(results, label, methods):
    """Return the lines of a table of accuracies for half of one class at the best length."""
    lines = [
        "| norm | method | " + " | ".join(MEASURES) + " | eps |",
        "|---|---|" + "---|" * len(MEASURES) + "---|",
    ]
    for norm in dict.fromkeys(r["norm"] for r in results):
        halves = [r for r in results if (r["norm"], r["share"]) == (norm, "half")]
        chosen = [r for r in halves if r["label"] == label]
        rows = [("retraining", chosen[0]["reference"], "-")]
        by_method = {entry["method"]: entry for entry in chosen}
        for method in methods:
            if method not in by_method:
                continue
            point = best_point(by_method[method])
            eps = f"{point['eps']:.1e}" if point["eps"] else "-"
            rows.append((method, point["accuracies"], eps))
        for name, accuracies, eps in rows:
            numbers = " | ".join(f"{value:.2f}" for value in accuracies)
            lines.append(f"| {norm} | {name} | {numbers} | {eps} |")
    return lines


def below_bounds(results):
    """Return the lines of a table: the methods whose gap is below BOUNDS in every class.

    The gap for half of a class, with the rest of the class.
    """
    lines = ["| norm | bound | below it in every class | not below it |", "|---|---|---|---|"]
    steps = [name for name in methods_of(results) if name != "nothing"]
    for norm in dict.fromkeys(r["norm"] for r in results):
        gaps = {
            name: [entry["gap_with_rest"] for entry in found(results, norm, "half", name)]
            for name in steps
        }
        largest = {name: max(values) for name, values in gaps.items() if values}
        below = "; ".join(name for name in largest if largest[name] < BOUNDS[norm]) or "none"
        above = "; ".join(name for name in largest if largest[name] >= BOUNDS[norm]) or "none"
        lines.append(f"| {norm} | {BOUNDS[norm]} | {below} | {above} |")
    return lines


def chosen_gap(entry, target):
    """Return the gap, with the rest of the class, where the forget accuracy is next to `target`."""
    point = min(entry["path"], key=lambda p: abs(p["accuracies"][0] - target))
    return gap(point["accuracies"], entry["reference"], 4)


def chosen_lengths(results):
    """Return the lines of a table: the gap at a length that is chosen without retraining.

    At that length, the accuracy on the forget rows is next to the accuracy of the original network
    on the test rows of the class. A cell is the mean over the classes, with the largest in
    parentheses.
    """
    norms = list(dict.fromkeys(r["norm"] for r in results if r["share"] == "half"))
    head = [f"{norm} norm, length without retraining" for norm in norms]
    lines = ["| method | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    targets = {
        (r["norm"], r["label"]): r["path"][0]["accuracies"][4]
        for r in results
        if r["method"] == "nothing"
    }
    for method in methods_of(results):
        if method in ["nothing", "another seed"]:
            continue
        entries = {norm: found(results, norm, "half", method) for norm in norms}
        gaps = {
            norm: [chosen_gap(entry, targets[norm, entry["label"]]) for entry in entries[norm]]
            for norm in norms
        }
        cells = [cell([{"gap": value} for value in gaps[norm]], "gap") for norm in norms]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def tables(results):
    """Return the titles and the lines of all tables of one setting."""
    shares = dict.fromkeys(entry["share"] for entry in results)
    found_tables = {f"{share} of a class": table(results, share) for share in shares}
    found_tables["bounds"] = below_bounds(results)
    found_tables["half of a class, length without retraining"] = chosen_lengths(results)
    label = next(entry["label"] for entry in results if entry["share"] == "half")
    name = cifar10.CLASSES[label]
    found_tables[f"half of the class {name}"] = details(results, label, list(DRAWN))
    return found_tables


def draw(reports, file):
    """Draw the gap over the length of the step for half of a class.

    A row of axes for each setting, a column for each norm.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    norms = list(dict.fromkeys(r["norm"] for report in reports.values() for r in report["results"]))
    size = (5.5 * len(norms), 3.6 * len(reports) + 1.2)
    figure, axes = pyplot.subplots(
        len(reports), len(norms), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for row, (setting, report) in zip(axes, reports.items(), strict=True):
        for axis, norm in zip(row, norms, strict=True):
            chosen = [r for r in report["results"] if (r["norm"], r["share"]) == (norm, "half")]
            label = chosen[0]["label"]
            draw_paths(axis, [r for r in chosen if r["label"] == label])
            axis.set_title(f"{setting}: {norm} norm, half of the class {cifar10.CLASSES[label]}")
        row[0].set_ylabel("largest gap to retraining")
    for axis in axes[-1]:
        axis.set(xscale="log", xlabel="length of the step / norm of the parameters")
    lines = axes[0, 0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 1.1 / size[1], 1, 1))
    figure.legend(*lines, loc="lower center", ncols=3, fontsize=8)
    figure.savefig(file, dpi=90)


def draw_paths(axis, results):
    """Draw one line for each method of DRAWN, level for a model without a step."""
    drawn = [entry for entry in results if entry["method"] in DRAWN]
    for entry in sorted(drawn, key=lambda r: list(DRAWN).index(r["method"])):
        colour, style = DRAWN[entry["method"]]
        if len(entry["path"]) == 1:
            axis.axhline(entry["gap_with_rest"], color=colour, ls=style, label=entry["method"])
            continue
        lengths = [point["length"] for point in entry["path"]]
        gaps = [gap(point["accuracies"], entry["reference"], 4) for point in entry["path"]]
        axis.plot(lengths, gaps, color=colour, ls=style, marker=".", label=entry["method"])


def environment():
    """Return date, machine and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }


def joined(files):
    """Return the reports of several JSON files by setting; their results are put together."""
    reports = {}
    for file in files:
        for setting, report in json.loads(Path(file).read_text()).items():
            if setting not in reports:
                reports[setting] = report
                continue
            reports[setting]["results"] += report["results"]
            reports[setting]["seconds"].update(report["seconds"])
    return reports


def save(reports, file):
    """Write the reports as JSON, one line for each result."""
    text = json.dumps(reports)
    for mark in ['{"norm"', '"middle"', '"results"']:
        text = text.replace(mark, "\n" + mark)
    Path(file).write_text(text + "\n")
