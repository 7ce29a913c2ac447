"""Erasures from torch modules: gaps to retraining, and times beside a plain fit.

``python examples/benchmarks/bench_torch.py`` prints two tables.

Gaps: a convolutional network (3,866 parameters) on the digits of scikit-learn, SGD with momentum,
weight decay 5e-4, 20 epochs. The gap is the largest difference to retraining from the same seed
among the accuracies on forget, retained and test rows. The forget sets are half of each class and
random 5 % of the rows. A cell has the largest gap over the forget sets with the automatic eps, the
mean in parentheses, and the largest gap with the best multiple of it in hindsight, 0.25 to 1.5.

Times: `fit` beside skorch's plain fit on the same data, in alternation; and `unlearn` of 400 images
from a ResNet20 (269,722 parameters) on random images of 16 pixels.
"""

import argparse
import copy
import datetime
import os
import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import skorch
import torch
from machine import processor
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier

import sklearn_ssse
from sklearn_ssse import ErasureWarning
from sklearn_ssse.torch import ErasableNeuralNetClassifier

sys.path.append(str(Path(__file__).parent.parent / "paper"))

from resnet import ResNet20

nn = torch.nn
TRAINING = {
    "criterion": nn.CrossEntropyLoss,
    "lr": 0.02,
    "batch_size": 32,
    "max_epochs": 20,
    "optimizer": torch.optim.SGD,
    "optimizer__momentum": 0.9,
    "optimizer__weight_decay": 5e-4,
    "train_split": None,
    "verbose": 0,
}
NORMS = {"batch norm": nn.BatchNorm2d, "group norm": lambda n: nn.GroupNorm(4, n)}
METHODS = {
    "nothing": None,
    "default, `low_rank`": {"structure": "low_rank"},
    "one row a sample, `low_rank`": {"structure": "low_rank", "fisher_batch_size": 1},
    "one row a sample, leave-out, `full`": {
        "structure": "full",
        "fisher_batch_size": 1,
        "leave_out": True,
    },
    "`fisher`, `low_rank`": {
        "structure": "low_rank",
        "curvature": "fisher",
        "fisher_batch_size": 1,
    },
    "`diagonal`": {"structure": "diagonal", "fisher_batch_size": 1},
}
MULTIPLES = ["0.25*auto", "0.5*auto", "0.75*auto", "auto", "1.25*auto", "1.5*auto"]
N_ROUNDS = 5
N_RESNET_ROWS = 1000
N_ERASED = 400


def digits():
    """Images of digits, (n, 1, 8, 8), and their labels: training rows and test rows."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)


def cnn(norm, seed):
    """A convolutional network for digits."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        NORMS[norm](8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        NORMS[norm](16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def fitted(cls, X, y, norm, seed, **params):
    """A net on the rows (X, y), trained from a seed."""
    module = cnn(norm, seed)
    torch.manual_seed(seed)
    return cls(module, **TRAINING, **params).fit(X, y)


def forget_sets(y, seed):
    """Positions of the forget rows: half of each class, and ten random sets of 5 %."""
    rng = np.random.default_rng(seed)
    halves = [rng.permutation(np.flatnonzero(y == c)) for c in np.unique(y)]
    return {
        "half of a class": [rows[: len(rows) // 2] for rows in halves],
        "random 5 %": [rng.permutation(len(y))[: len(y) // 20] for _ in range(10)],
    }


def accuracies(net, groups):
    """Accuracy of a net on each group of rows."""
    return np.array([np.mean(net.predict(X) == y) for X, y in groups])


def gaps_of(norm, seed, report):
    """Append the gap of every method and forget set to ``report``."""
    X, X_test, y, y_test = digits()
    nets = {
        name: fitted(
            NeuralNetClassifier if own is None else ErasableNeuralNetClassifier,
            X,
            y,
            norm,
            seed,
            **(own or {}),
        )
        for name, own in METHODS.items()
    }
    for kind, sets in forget_sets(y, seed).items():
        for S in sets:
            rest = np.setdiff1d(np.arange(len(y)), S)
            groups = [(X[S], y[S]), (X[rest], y[rest]), (X_test, y_test)]
            target = accuracies(fitted(NeuralNetClassifier, X[rest], y[rest], norm, seed), groups)
            nothing = np.abs(accuracies(nets["nothing"], groups) - target).max()
            report.setdefault((norm, "nothing", kind), []).append([nothing] * len(MULTIPLES))
            for name in METHODS:
                if name != "nothing":
                    path = nets[name].unlearn_path(X[S], y[S], MULTIPLES, as_models=True)
                    gaps = [np.abs(accuracies(model, groups) - target).max() for model in path]
                    report.setdefault((norm, name, kind), []).append(gaps)


def print_gaps(seeds):
    """Print the table of gaps."""
    report = {}
    for norm in NORMS:
        for seed in range(seeds):
            gaps_of(norm, seed, report)
    kinds = ["half of a class", "random 5 %"]
    columns = [(norm, kind) for norm in NORMS for kind in kinds]
    print("| | " + " | ".join(f"{norm}, {kind}" for norm, kind in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in METHODS:
        texts = []
        for norm, kind in columns:
            gaps = np.array(report[norm, name, kind])
            usual = gaps[:, MULTIPLES.index("auto")]
            best = gaps.min(axis=1).max()
            texts.append(f"{usual.max():.3f} ({usual.mean():.3f}), {best:.3f}")
        print(f"| {name} | " + " | ".join(texts) + " |")
    print()


def print_fit_times():
    """Print the time of `fit` with a curvature, divided by the time of skorch's plain fit."""
    X, _, y, _ = digits()
    for norm in NORMS:
        runs = {"plain": (NeuralNetClassifier, {})}
        runs |= {
            name: (ErasableNeuralNetClassifier, own)
            for name, own in METHODS.items()
            if own is not None
        }
        times = {name: [] for name in runs}
        for _ in range(N_ROUNDS + 1):
            for name, (cls, own) in runs.items():
                start = time.perf_counter()
                fitted(cls, X, y, norm, 0, **own)
                times[name].append(time.perf_counter() - start)
        medians = {name: np.median(values[1:]) for name, values in times.items()}
        plain = medians.pop("plain")
        print(f"Plain fit with {norm}: {plain:.2f} s. `fit` divided by it:")
        print("; ".join(f"{name} {value / plain:.2f}" for name, value in medians.items()) + ".")


def print_resnet():
    """Print the time of an erasure of 400 images from a ResNet20."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N_RESNET_ROWS, 3, 16, 16)).astype(np.float32)
    y = rng.integers(0, 10, N_RESNET_ROWS)
    X[:, 0] += y[:, np.newaxis, np.newaxis] / 3
    torch.manual_seed(0)
    given = {**TRAINING, "max_epochs": 3, "structure": "low_rank", "rank": 50}
    start = time.perf_counter()
    net = ErasableNeuralNetClassifier(ResNet20(), **given).fit(X, y)
    print(f"ResNet20, {N_RESNET_ROWS} images, 3 epochs: fit {time.perf_counter() - start:.1f} s.")
    times = []
    for _ in range(3):
        erased = copy.deepcopy(net)
        start = time.perf_counter()
        erased.unlearn(X[:N_ERASED], y[:N_ERASED], epsilon=0.01)
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    net.preview_unlearn(X[:N_ERASED], y[:N_ERASED])
    automatic = time.perf_counter() - start
    print(
        f"`unlearn` of {N_ERASED} images: {np.median(times):.2f} s with a number for eps, "
        f"{automatic:.2f} s with eps 'auto' (a preview)."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2, help="seeds of the training, default 2")
    parser.add_argument("--times", action="store_true", help="print the times only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ErasureWarning)  # doubtful erasures are measured here
    print(
        f"{datetime.date.today()}, {processor()}, "
        f"{os.cpu_count()} cores (one thread), Python {platform.python_version()}, torch "
        f"{torch.__version__}, skorch {skorch.__version__}, sklearn-ssse "
        f"{sklearn_ssse.__version__}\n"
    )
    if not arguments.times:
        print_gaps(arguments.seeds)
    print_fit_times()
    print_resnet()


if __name__ == "__main__":
    main()
