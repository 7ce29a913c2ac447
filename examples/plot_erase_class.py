"""
Erase a class from a neural network
===================================

A net learned ten digits. Then one of them must go: all of its images, half of them, or some random rows. The picture shows what the
erased net still knows, as a function of the step size eps, beside a net that was trained again from the same seed without the
rows (dashed). The left column takes every row of the training set into the curvature, the right one the signed sum of ten at a time.

Run it from anywhere; it writes ``plot_erase_class.png`` into the current directory and ends within two minutes.
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
# What is erased.
rng = np.random.default_rng(0)
threes = rng.permutation(np.flatnonzero(y == 3))
forget_sets = {
    "all of class 3": threes,
    "half of class 3": threes[: len(threes) // 2],
    "5 % random rows": rng.choice(len(y), len(y) // 20, replace=False),
}

# %%
# One fit for each batch size of the curvature; one retraining for each forget set, to compare with.
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
            f"{name}, batches of {b}: automatic eps {auto.erasures_[-1].epsilon:.2f}, accuracy on forget / retain / test rows "
            f"{after[0]:.2f} / {after[1]:.2f} / {after[2]:.2f}, retrained {retrained[0]:.2f} / {retrained[1]:.2f} / {retrained[2]:.2f}"
        )
    row[0].set_ylabel("accuracy")
for ax in axes[-1]:
    ax.set_xlabel("eps")
axes[0, 0].legend(loc="center left", title="dashed: retrained")
figure.savefig("plot_erase_class.png", dpi=120)
print("The picture is in plot_erase_class.png.")
