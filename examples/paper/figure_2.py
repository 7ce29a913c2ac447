"""Figure 2: rows of CIFAR-10 are erased from a ResNet20 in one step.

Trains the network, trains it again without a whole class or without half of a class, and measures
the accuracy on forget, retained and test rows over the length of the step. Usage, with
SSSE_CIFAR10 as `cifar10.py` describes it:

    python examples/paper/figure_2.py --quick --output figure_2.json --picture figure_2.png
"""

import argparse
import datetime
import json
import os
import platform
import time
from pathlib import Path

import cifar10
import numpy as np
import torch
from erasure import (
    KernelInverse,
    forget_gradient,
    gradient_rows,
    parameters_of,
    set_parameters,
    signed_batches,
)
from resnet import N_PARAMETERS, ResNet20
from training import logits, trained

SETTINGS = {
    "tiny": {"n_train": 40, "n_test": 20, "n_pixels": 8, "n_epochs": 1, "batch_size": 20},
    "quick": {"n_train": 2000, "n_test": 1000, "n_pixels": 16, "n_epochs": 20, "batch_size": 64},
    "middle": {"n_train": 8000, "n_test": 2000, "n_pixels": 16, "n_epochs": 20, "batch_size": 128},
    "full": {"n_train": 50000, "n_test": 10000, "n_pixels": 32, "n_epochs": 20, "batch_size": 128},
}
CASES = {
    "tiny": [(0, "half")],
    "quick": [(0, "half"), (8, "half"), (0, "whole")],
    "middle": [(0, "half"), (3, "half"), (0, "whole")],
    "full": [(label, share) for share in ("half", "whole") for label in range(10)],
}
WEIGHT_DECAY = 5e-4
DAMPING = 0.1  # multiple of the mean diagonal entry of the curvature
BLOCK_SIZE = 70_000
N_LAST_LAYER = 650  # parameters of the linear layer
LENGTHS = np.geomspace(0.0025, 0.4, 14)  # of the step, relative to the norm of the parameters
MEASURES = ["forget", "retained", "test", "rest of class", "test rows of class"]


def forget_rows(y, label, share):
    """Return the rows of a class, or a random half of them, as a mask, (n,)."""
    rows = np.flatnonzero(y == label)
    if share == "half":
        rows = np.random.default_rng(label).permutation(rows)[: len(rows) // 2]
    mask = np.zeros(len(y), dtype=bool)
    mask[rows] = True
    return mask


class Experiment:
    """Data and models of one setting; a folder keeps the models between runs."""

    def __init__(self, setting, norm, folder, device):
        options = SETTINGS[setting]
        self.setting = setting
        self.norm = norm
        self.folder = Path(folder) if folder else None
        arrays = cifar10.load(options["n_train"], options["n_test"], options["n_pixels"])
        images = [torch.as_tensor(X, device=device) for X in arrays[::2]]
        self.X, self.X_test = [X.contiguous(memory_format=torch.channels_last) for X in images]
        self.y, self.y_test = arrays[1::2]
        self.labels = torch.as_tensor(self.y, device=device)

    def model(self, case, seed):
        """Return the network trained without the rows of `case` (None: on all rows)."""
        name = "all" if case is None else "{}_{}".format(*case)
        if self.folder is not None:
            file = self.folder / f"{self.setting}_{self.norm}_{name}_seed{seed}.pt"
            if file.exists():
                module = ResNet20(self.norm).to(self.X.device)
                module.load_state_dict(torch.load(file, weights_only=True))
                return module.eval()
        kept = np.ones(len(self.y), dtype=bool) if case is None else ~forget_rows(self.y, *case)
        module = trained(
            self.X,
            self.labels,
            kept,
            norm=self.norm,
            seed=seed,
            n_epochs=SETTINGS[self.setting]["n_epochs"],
            batch_size=SETTINGS[self.setting]["batch_size"],
            weight_decay=WEIGHT_DECAY,
        )
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save(module.state_dict(), file)
        return module

    def accuracies(self, module, case):
        """Return the accuracies named in MEASURES; nan if there is no such row."""
        forget = forget_rows(self.y, *case)
        in_class = self.y == case[0]
        right = logits(module, self.X).argmax(axis=1) == self.y
        right_test = logits(module, self.X_test).argmax(axis=1) == self.y_test
        rest = right[in_class & ~forget]
        return [
            float(right[forget].mean()),
            float(right[~forget].mean()),
            float(right_test.mean()),
            float(rest.mean()) if len(rest) else float("nan"),
            float(right_test[self.y_test == case[0]].mean()),
        ]


def gap(accuracies, reference, n_measures=3):
    """Return the largest difference of the first `n_measures` accuracies."""
    pairs = zip(accuracies[:n_measures], reference[:n_measures], strict=True)
    return max(abs(a - b) for a, b in pairs if not np.isnan(a))


def path_of(experiment, module, case, step):
    """Return relative lengths and accuracies along a direction of the parameters."""
    start = parameters_of(module)
    unit = step * (start.norm() / step.norm())
    points = []
    for length in LENGTHS:
        set_parameters(module, start + float(length) * unit)
        accuracies = experiment.accuracies(module, case)
        eps = float(length * start.norm() / step.norm())
        points.append({"length": float(length), "eps": eps, "accuracies": accuracies})
        if accuracies[0] < 0.02:
            break
    set_parameters(module, start)
    return points


def steps_with(rows, gradients, kept, curvature, batch_size):
    """Yield the name and the direction of the steps of one matrix of curvature rows."""
    blocked = KernelInverse(rows, DAMPING, BLOCK_SIZE)
    inverses = {f"blocks of {BLOCK_SIZE:,}": blocked, "full": blocked.as_one_block()}
    for blocks, inverse in inverses.items():
        for temperature, gradient_of in gradients.items():
            if temperature > 1 and (blocks != "full" or batch_size > 1):
                continue
            for case, gradient in gradient_of.items():
                name = f"{curvature}, batches of {batch_size}, {blocks}"
                if temperature > 1:
                    name += f", temperature {temperature}"
                yield name, case, inverse.solve(gradient, kept[case])


def all_steps(experiment, module, cases):
    """Yield the name, the case and the direction of every step."""
    X = experiment.X
    y = experiment.labels
    forget = {case: torch.as_tensor(forget_rows(experiment.y, *case)) for case in cases}
    gradients = {
        t: {c: forget_gradient(module, X[forget[c]], y[forget[c]], t).cpu() for c in cases}
        for t in [1, 4]
    }
    for case, gradient in gradients[1].items():
        yield "plain gradient", case, gradient
    kept = {case: ~mask for case, mask in forget.items()}
    whole = dict.fromkeys(cases)
    for curvature in ["empirical_fisher", "gauss_newton"]:
        rows = gradient_rows(module, X, y, curvature)
        if curvature == "gauss_newton":
            last = KernelInverse(rows[:, -N_LAST_LAYER:].contiguous(), DAMPING)
            for case, gradient in gradients[1].items():
                step = torch.zeros_like(gradient)
                step[-N_LAST_LAYER:] = last.solve(gradient[-N_LAST_LAYER:], kept[case])
                yield "last layer, gauss_newton", case, step
        yield from steps_with(rows, gradients, kept, curvature, 1)
        batches = signed_batches(rows, 10)
        del rows  # the largest array; the next curvature needs its memory
        yield from steps_with(batches, gradients, whole, curvature, 10)


def run_norm(experiment, cases):
    """Return the results of one norm: accuracies of the models and the path of each step."""
    module = experiment.model(None, 0)
    results = []
    references = {}
    for case in cases:
        references[case] = experiment.accuracies(experiment.model(case, 0), case)
        points = {
            "nothing": experiment.accuracies(module, case),
            "another seed": experiment.accuracies(experiment.model(case, 1), case),
        }
        for name, accuracies in points.items():
            path = [{"length": 0.0, "eps": 0.0, "accuracies": accuracies}]
            results.append(result(experiment.norm, case, name, path, references[case]))
    for name, case, step in all_steps(experiment, module, cases):
        path = path_of(experiment, module, case, step.to(experiment.X.device))
        results.append(result(experiment.norm, case, name, path, references[case]))
        print(results[-1]["norm"], case, name, f"{results[-1]['gap']:.3f}", flush=True)
    return results


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


def summary(results):
    """Return the lines of a table: the mean over the classes of the two gaps of each method."""
    columns = sorted({(r["norm"], r["share"]) for r in results})
    head = [f"{norm} norm, {share}" for norm, share in columns]
    lines = ["| method | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    for method in dict.fromkeys(r["method"] for r in results):
        cells = []
        for norm, share in columns:
            key = (norm, share, method)
            found = [r for r in results if (r["norm"], r["share"], r["method"]) == key]
            first = np.mean([r["gap"] for r in found])
            second = np.mean([r["gap_with_rest"] for r in found])
            cells.append(f"{first:.3f} / {second:.3f}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def draw(results, file):
    """Draw the gap over the length of the step for half of a class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    norms = sorted({r["norm"] for r in results})
    figure, axes = pyplot.subplots(
        1, len(norms), figsize=(6 * len(norms), 4.5), sharey=True, squeeze=False
    )
    for axis, norm in zip(axes[0], norms, strict=True):
        chosen = [r for r in results if r["norm"] == norm and r["share"] == "half"]
        label = chosen[0]["label"]
        for r in chosen:
            if r["label"] == label and len(r["path"]) > 1:
                lengths = [point["length"] for point in r["path"]]
                gaps = [gap(point["accuracies"], r["reference"], 4) for point in r["path"]]
                axis.plot(lengths, gaps, marker=".", label=r["method"])
        axis.set(xscale="log", xlabel="length of the step / norm of the parameters")
        axis.set_title(f"{norm} norm, half of the class {cifar10.CLASSES[label]}")
    axes[0, 0].set_ylabel("largest difference of accuracies to retraining")
    axes[0, -1].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def environment(arguments, seconds):
    """Return date, machine and versions."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "setting": arguments.setting,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds),
        **SETTINGS[arguments.setting],
    }


def announce(setting, device):
    """Print the sizes, and the time of the full setting from 20 timed training steps."""
    print(f"setting {setting}: {SETTINGS[setting]}, {N_PARAMETERS:,} parameters, on {device}")
    if setting != "full":
        return
    X = torch.zeros(128, 3, 32, 32, device=device)
    y = torch.zeros(128, dtype=torch.int64, device=device)
    start = time.perf_counter()
    options = {"norm": "batch", "seed": 0, "batch_size": 128, "weight_decay": 0.0}
    trained(X, y, np.ones(128, dtype=bool), n_epochs=20, **options)
    one_model = (time.perf_counter() - start) / 20 * 50_000 / 128 * SETTINGS["full"]["n_epochs"]
    n_models = 1 + 2 * len(CASES["full"])
    print(f"training takes about {one_model * n_models / 3600:.1f} hours for each norm")
    print(f"gradient rows of batches of 1 take {50_000 * N_PARAMETERS * 4 / 1e9:.0f} GB of memory")


def run(arguments):
    """Train, erase and measure; return the environment and the results."""
    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    announce(arguments.setting, device)
    start = time.perf_counter()
    results = []
    for norm in arguments.norms:
        experiment = Experiment(arguments.setting, norm, arguments.models, device)
        results += run_norm(experiment, CASES[arguments.setting])
    return environment(arguments, time.perf_counter() - start), results


def joined(files):
    """Return the environment of the first file, with the seconds of all, and all results."""
    reports = [json.loads(Path(file).read_text()) for file in files]
    report = reports[0]["environment"]
    report["seconds"] = sum(r["environment"]["seconds"] for r in reports)
    return report, [entry for r in reports for entry in r["results"]]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    for setting in SETTINGS:
        parser.add_argument(f"--{setting}", dest="setting", action="store_const", const=setting)
    parser.add_argument("--norms", nargs="+", default=["batch", "group"])
    parser.add_argument("--models", help="folder that keeps trained models between runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", help="JSON file of the results")
    parser.add_argument("--join", nargs="+", help="earlier JSON files to join; nothing is run")
    parser.add_argument("--picture", help="PNG file of the picture")
    parser.set_defaults(setting="quick")
    arguments = parser.parse_args(arguments)
    report, results = joined(arguments.join) if arguments.join else run(arguments)
    print(json.dumps(report))
    print("\n".join(summary(results)))
    if arguments.output:
        text = json.dumps({"environment": report, "results": results})
        Path(arguments.output).write_text(text.replace('{"norm"', '\n{"norm"') + "\n")
    if arguments.picture:
        draw(results, arguments.picture)


if __name__ == "__main__":
    main()
