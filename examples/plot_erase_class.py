"""
Erase a class from a neural network
===================================

A net was trained on images of ten digits. This example erases all images of one digit, half of
them, or 5 % random rows. The figure plots the accuracies of the erased net as functions of the step
length eps. The dashed lines are the accuracies of a net that was trained again without the rows,
from the same seed. The curvature in the left column has one row for each training row; in the right
column, it has one row for each ten training rows, their sum with random signs.

Run it from any directory. It writes ``plot_erase_class.png`` into the current directory and ends
within two minutes.
"""

import warnings
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sklearn_ssse import ErasableMLPClassifier, ErasureWarning

warnings.simplefilter("ignore", ErasureWarning)
X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)
NET = {"hidden_layer_sizes": (50,), "max_iter": 150, "random_state": 0}

# %%
# The forget sets.
rng = np.random.default_rng(0)
threes = rng.permutation(np.flatnonzero(y == 3))
forget_sets = {
    "all of class 3": threes,
    "half of class 3": threes[: len(threes) // 2],
    "5 % random rows": rng.choice(len(y), len(y) // 20, replace=False),
}

# %%
# One fit for each batch size of the curvature, and one retrained net for each forget set.
models = {b: ErasableMLPClassifier(**NET, fisher_batch_size=b).fit(X, y) for b in (1, 10)}
epsilons = np.geomspace(0.1, 10, 13)
parts = {"forget": "o-", "retain": "s-", "test": "^-"}


def accuracies(model, S, keep):
    return [model.score(X[S], y[S]), model.score(X[keep], y[keep]), model.score(X_test, y_test)]


figure, axes = plt.subplots(3, 2, sharex=True, sharey=True, figsize=(9, 9), layout="constrained")
for row, (name, S) in zip(axes, forget_sets.items(), strict=True):
    keep = np.setdiff1d(np.arange(len(y)), S)
    retrained = accuracies(MLPClassifier(**NET).fit(X[keep], y[keep]), S, keep)
    for ax, (b, model) in zip(row, models.items(), strict=True):
        curves = np.array(
            [accuracies(deepcopy(model).unlearn(X[S], y[S], eps), S, keep) for eps in epsilons]
        )
        for (part, style), curve, level in zip(parts.items(), curves.T, retrained, strict=True):
            (line,) = ax.semilogx(epsilons, curve, style, label=part, markersize=4)
            ax.axhline(level, linestyle="--", color=line.get_color(), linewidth=1)
        auto = deepcopy(model).unlearn(X[S], y[S])
        ax.axvline(auto.erasures_[-1].epsilon, color="gray", linestyle=":", label="automatic eps")
        ax.set_title(f"{name}, batches of {b}")
        after = accuracies(auto, S, keep)
        print(
            f"{name}, batches of {b}: automatic eps {auto.erasures_[-1].epsilon:.2f}, accuracy on "
            f"forget / retain / test rows {after[0]:.2f} / {after[1]:.2f} / {after[2]:.2f}, "
            f"retrained {retrained[0]:.2f} / {retrained[1]:.2f} / {retrained[2]:.2f}"
        )
    row[0].set_ylabel("accuracy")
for ax in axes[-1]:
    ax.set_xlabel("eps")
axes[0, 0].legend(loc="center left", title="dashed: retrained")
figure.savefig("plot_erase_class.png", dpi=120)
print("The figure is in plot_erase_class.png.")
