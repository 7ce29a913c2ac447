"""Figure 2: rows of CIFAR-10 are erased from a ResNet20 in one step.

Trains the network, trains it again without a whole class or without half of a class, and measures
the accuracy on forget, retained and test rows over the length of the step. Usage, with
SSSE_CIFAR10 as `cifar10.py` describes it:

    python examples/paper/figure_2.py --quick --output figure_2.json --picture figure_2.png

On one core, --quick takes half an hour and --middle two hours; --full prints its estimate. The
step is computed by `erasure.py` beside this file and not by the library's estimator for torch
modules: the script compares kinds of curvature on the same gradient rows, which it computes once.
"""

import argparse
import time

import numpy as np
import torch
from erasure import KernelInverse, forget_gradient, gradient_rows, signed_batches
from figure_2_models import SETTINGS, WEIGHT_DECAY, Experiment, forget_rows, path_of
from figure_2_report import draw, environment, joined, result, save, tables
from resnet import N_PARAMETERS
from training import trained

CASES = {
    "tiny": [(0, "half")],
    "quick": [(0, "half"), (8, "half"), (0, "whole")],
    "middle": [(label, share) for share in ("half", "whole") for label in (0, 3, 8)],
    "full": [(label, share) for share in ("half", "whole") for label in range(10)],
}
CURVATURES = ["empirical_fisher", "gauss_newton"]
DAMPING = 0.1  # multiple of the mean diagonal entry of the curvature
BLOCK_SIZE = 70_000
N_LAST_LAYER = 650  # parameters of the linear layer


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
    if curvature == "empirical_fisher" and batch_size == 1:
        for case, gradient in gradients[1].items():
            step = inverses["full"].solve(gradient)
            yield f"{curvature}, batches of 1, full, forget rows kept", case, step


def steps_without_forget_rows(rows, gradients, kept, curvature, batch_size):
    """Yield the steps of batches of retained rows: other batches, and a kernel, for each case."""
    name = f"{curvature}, batches of {batch_size}, full, forget rows left out"
    for case, gradient in gradients.items():
        inverse = KernelInverse(signed_batches(rows, batch_size, kept[case]), DAMPING)
        yield name, case, inverse.solve(gradient)


def all_steps(experiment, module, cases, curvatures):
    """Yield the name, the case and the direction of every step of the chosen curvatures."""
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
    for curvature in curvatures:
        rows = gradient_rows(module, X, y, curvature)
        if curvature == "gauss_newton":
            last = KernelInverse(rows[:, -N_LAST_LAYER:].contiguous(), DAMPING)
            for case, gradient in gradients[1].items():
                step = torch.zeros_like(gradient)
                step[-N_LAST_LAYER:] = last.solve(gradient[-N_LAST_LAYER:], kept[case])
                yield "last layer, gauss_newton", case, step
        yield from steps_with(rows, gradients, kept, curvature, 1)
        if curvature == "empirical_fisher":
            yield from steps_without_forget_rows(rows, gradients[1], kept, curvature, 10)
        batches = signed_batches(rows, 10)
        del rows  # the largest array; the next curvature needs its memory
        yield from steps_with(batches, gradients, whole, curvature, 10)


def models_of(cases):
    """Return the case and the seed of every model: all rows, each case, and other seeds."""
    again = [(case, 1) for case in cases if case[1] == "half"]
    return [(None, 0), *[(case, 0) for case in cases], *again]


def run_norm(experiment, cases, curvatures):
    """Return the results of one norm: accuracies of the models and the path of each step."""
    module = experiment.model(None, 0)
    results = []
    references = {}
    for case in cases:
        references[case] = experiment.accuracies(experiment.model(case, 0), case)
        models = {"nothing": module}
        if case[1] == "half":
            models["another seed"] = experiment.model(case, 1)
        for name, other in models.items():
            accuracies = experiment.accuracies(other, case)
            path = [{"length": 0.0, "eps": 0.0, "accuracies": accuracies}]
            results.append(result(experiment.norm, case, name, path, references[case]))
    for name, case, step in all_steps(experiment, module, cases, curvatures):
        step = step.to(experiment.X.device)
        path = path_of(experiment, module, case, step, references[case])
        results.append(result(experiment.norm, case, name, path, references[case]))
        entry = results[-1]
        numbers = f"{entry['gap']:.3f} {entry['gap_with_rest']:.3f}"
        print(entry["norm"], case, name, numbers, flush=True)
    return results


def seconds_of(call):
    """Return the wall time of a call."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def training_hours(device):
    """Return the estimated hours to train one model of the full setting, from 20 steps."""
    options = SETTINGS["full"]
    batch_size = options["batch_size"]
    X = torch.zeros(batch_size, 3, options["n_pixels"], options["n_pixels"], device=device)
    y = torch.zeros(batch_size, dtype=torch.int64, device=device)
    kept = np.ones(batch_size, dtype=bool)
    trained_with = {"norm": "batch", "seed": 0, "weight_decay": WEIGHT_DECAY}
    seconds = seconds_of(
        lambda: trained(X, y, kept, n_epochs=20, batch_size=batch_size, **trained_with)
    )
    return seconds / 20 * options["n_train"] / batch_size * options["n_epochs"] / 3600


def kernel_hours(n_cases):
    """Return the estimated hours of the kernels and factors of the full setting, one norm.

    From the times of one product and one factor of 2,000 rows: both curvatures have one kernel,
    and each case has a factor of four blocks, of one block, and of one block at temperature 4.
    """
    rows = torch.randn(2000, 10_000)
    product = seconds_of(lambda: rows @ rows.T) * N_PARAMETERS / 10_000 / 2
    kernel = (rows @ rows.T).double()
    kernel.diagonal().add_(1)
    factor = seconds_of(lambda: torch.linalg.cholesky(kernel))
    ratio = SETTINGS["full"]["n_train"] / 2000
    return 2 * (product * ratio**2 + 6 * n_cases * factor * ratio**3) / 3600


def announce(setting, device):
    """Print the sizes, and for the full setting its estimated time and memory."""
    print(f"setting {setting}: {SETTINGS[setting]}, {N_PARAMETERS:,} parameters, on {device}")
    if setting != "full":
        return
    n_train = SETTINGS["full"]["n_train"]
    n_models = len(models_of(CASES["full"]))
    n_kernels = 5 + 2 + 2  # four blocks and their sum, copies, and the factor in float64
    print(f"training takes about {n_models * training_hours(device):.0f} hours for each norm")
    print(f"the kernels take about {kernel_hours(len(CASES['full'])):.0f} hours for each norm")
    memory = 4 * n_train * N_PARAMETERS + 4 * n_train**2 * n_kernels
    print(f"the gradient rows and their kernels take about {memory / 1e9:.0f} GB of memory")


def run(arguments):
    """Train, erase and measure; return a report of date, machine, setting, times and results.

    The seconds of a norm are without the training of its models.
    """
    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    announce(arguments.setting, device)
    report = {
        "environment": environment(),
        "setting": SETTINGS[arguments.setting],
        "seconds": {},
        "results": [],
    }
    for norm in arguments.norms:
        experiment = Experiment(arguments.setting, norm, arguments.models, device)
        cases = [case for case in CASES[arguments.setting] if case[1] in arguments.shares]
        for case, seed in models_of(cases):
            experiment.model(case, seed)
        seconds = {"training of a model": float(np.median(experiment.training_seconds))}
        start = time.perf_counter()
        report["results"] += run_norm(experiment, cases, arguments.curvatures)
        seconds["steps and measures"] = round(time.perf_counter() - start)
        report["seconds"][norm] = seconds
    return report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    for setting in SETTINGS:
        parser.add_argument(f"--{setting}", dest="setting", action="store_const", const=setting)
    parser.add_argument("--norms", nargs="+", default=["batch", "group"])
    parser.add_argument("--shares", nargs="+", default=["half", "whole"])
    parser.add_argument("--curvatures", nargs="+", default=CURVATURES)
    parser.add_argument("--models", help="folder that keeps trained models between runs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", help="JSON file of the results")
    parser.add_argument("--join", nargs="+", help="earlier JSON files to join; nothing is run")
    parser.add_argument("--picture", help="PNG file of the picture")
    parser.set_defaults(setting="quick")
    arguments = parser.parse_args(arguments)
    if arguments.join:
        reports = joined(arguments.join)
    else:
        reports = {arguments.setting: run(arguments)}
    for setting, report in reports.items():
        print(setting, report["environment"], report["setting"], report["seconds"])
        for title, lines in tables(report["results"]).items():
            print("\n".join([title, *lines]))
    if arguments.output:
        save(reports, arguments.output)
    if arguments.picture:
        draw(reports, arguments.picture)


if __name__ == "__main__":
    main()
