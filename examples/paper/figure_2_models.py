"""The models of figure 2 and their accuracies: on the data, and along a step."""

import time
from pathlib import Path

import cifar10
import numpy as np
import torch
from erasure import parameters_of, set_parameters
from figure_2_report import gap
from resnet import ResNet20
from training import logits, trained

SETTINGS = {
    "tiny": {
        "n_train": 40,
        "n_test": 20,
        "n_measured": 40,
        "n_pixels": 8,
        "n_epochs": 1,
        "batch_size": 20,
    },
    "quick": {
        "n_train": 2000,
        "n_test": 1000,
        "n_measured": 2000,
        "n_pixels": 16,
        "n_epochs": 20,
        "batch_size": 64,
    },
    "middle": {
        "n_train": 8000,
        "n_test": 1000,
        "n_measured": 1000,
        "n_pixels": 16,
        "n_epochs": 15,
        "batch_size": 128,
    },
    "full": {
        "n_train": 50000,
        "n_test": 10000,
        "n_measured": 10000,
        "n_pixels": 32,
        "n_epochs": 20,
        "batch_size": 128,
    },
}
WEIGHT_DECAY = 5e-4
LENGTHS = np.geomspace(0.0025, 0.4, 14)  # of the step, relative to the norm of the parameters
SHORTEST = 1e-4  # no shorter step is measured


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
        self.models = {}
        self.training_seconds = []
        arrays = cifar10.load(options["n_train"], options["n_test"], options["n_pixels"])
        images = [torch.as_tensor(X, device=device) for X in arrays[::2]]
        self.X, self.X_test = [X.contiguous(memory_format=torch.channels_last) for X in images]
        self.y, self.y_test = arrays[1::2]
        self.labels = torch.as_tensor(self.y, device=device)
        sample = np.random.default_rng(0).permutation(len(self.y))[: options["n_measured"]]
        self.sampled = np.zeros(len(self.y), dtype=bool)
        self.sampled[sample] = True

    def model(self, case, seed):
        """Return the network trained without the rows of `case` (None: on all rows)."""
        if (case, seed) not in self.models:
            self.models[case, seed] = self.loaded_or_trained(case, seed)
        return self.models[case, seed]

    def loaded_or_trained(self, case, seed):
        """Return the network from the folder, or train it and write it there."""
        name = "all" if case is None else "{}_{}".format(*case)
        file = None
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / f"{self.setting}_{self.norm}_{name}_seed{seed}.pt"
        if file is not None and file.exists():
            saved = torch.load(file, weights_only=True)
            self.training_seconds.append(saved["seconds"])
            module = ResNet20(self.norm).to(self.X.device)
            module.load_state_dict(saved["state"])
            return module.eval()
        kept = np.ones(len(self.y), dtype=bool) if case is None else ~forget_rows(self.y, *case)
        start = time.perf_counter()
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
        seconds = round(time.perf_counter() - start, 1)
        self.training_seconds.append(seconds)
        if file is not None:
            torch.save({"seconds": seconds, "state": module.state_dict()}, file)
        return module

    def accuracies(self, module, case):
        """Return the accuracies named in MEASURES; None if there is no such row.

        The accuracy on the retained rows is measured on a random sample of them.
        """
        forget = forget_rows(self.y, *case)
        in_class = self.y == case[0]
        measured = np.flatnonzero(in_class | self.sampled)
        right = np.zeros(len(self.y), dtype=bool)
        predicted = logits(module, self.X[torch.as_tensor(measured)]).argmax(axis=1)
        right[measured] = predicted == self.y[measured]
        right_test = logits(module, self.X_test).argmax(axis=1) == self.y_test
        rest = right[in_class & ~forget]
        return [
            round(float(right[forget].mean()), 4),
            round(float(right[self.sampled & ~forget].mean()), 4),
            round(float(right_test.mean()), 4),
            round(float(rest.mean()), 4) if len(rest) else None,
            round(float(right_test[self.y_test == case[0]].mean()), 4),
        ]


def best_length(points, reference):
    """Return the length with the smallest gap, the rest of the class included."""
    return min(points, key=lambda entry: gap(entry["accuracies"], reference, 4))["length"]


def path_of(experiment, module, case, step, reference):
    """Return relative lengths and accuracies along a direction of the parameters.

    The lengths are LENGTHS up to the first that forgets all, shorter ones while the shortest is the
    best, and two more beside the best one.
    """
    start = parameters_of(module)
    ratio = float(start.norm() / step.norm())

    def point(length):
        """Return the entry of one length."""
        set_parameters(module, start + length * ratio * step)
        accuracies = experiment.accuracies(module, case)
        return {
            "length": float(f"{length:.4g}"),
            "eps": float(f"{length * ratio:.4g}"),
            "accuracies": accuracies,
        }

    points = []
    for length in LENGTHS:
        points.append(point(float(length)))
        if points[-1]["accuracies"][0] < 0.02:
            break
    spacing = float(LENGTHS[1] / LENGTHS[0])
    best = best_length(points, reference)
    while best == points[0]["length"] and best > SHORTEST:
        points.insert(0, point(best / spacing))
        best = best_length(points, reference)
    points += [point(best * spacing**share) for share in (-0.5, 0.5)]
    set_parameters(module, start)
    return sorted(points, key=lambda entry: entry["length"])
