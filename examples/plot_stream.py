"""
A stream of deletion requests
=============================

Requests are made one at a time, for years. This example erases half of the training rows, at each
call one row, ten rows or a hundred rows, and compares the model with one that is trained again on
the retained rows. It shows the effect of the third-derivative tensor (``order=2``), and of
`refresh` whenever the model recommends it.

Run it from any directory. It reads ``examples/data/adult.csv.gz`` and ends within a minute.
"""

# %%
# Two data sets: breast cancer, on which an erasure is difficult because the classes are almost
# separable, and a part of the Adult census data.
import warnings
from copy import deepcopy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ErasureWarning,
    parameter_distance,
)

warnings.simplefilter("ignore", ErasureWarning)


def census(n_rows):
    """Random people of Adult, with standardised and one-hot columns."""
    path = Path(__file__).resolve().parent / "data" / "adult.csv.gz"
    people = pd.read_csv(path, index_col=0, skipinitialspace=True)
    people = people.sample(n_rows, random_state=0)
    y = (people.pop("income") == ">50K").to_numpy().astype(int)
    encode = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    return encode.fit_transform(people), y


X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
data = {"breast cancer": (scale(X_cancer), y_cancer), "Adult, 2,000 rows": census(2000)}

# %%
# A stream erases random rows. At every 5 % of the rows it notes the distance ratio: 0 is perfect,
# and 1 is no better than no erasure. A refused row is skipped. The retrained models are converged.
shares = np.arange(1, 11) / 20


def make(**params):
    return ErasableLogisticRegression(
        curvature="fisher", solver="newton-cholesky", tol=1e-10, **params
    )


def stream(original, X, y, seed, batch_size, refresh):
    """Distance ratio at each share of the rows, and the number of refused calls."""
    model = deepcopy(original)
    n = len(y)
    order = np.random.default_rng(seed).permutation(n)
    retained = np.ones(n, dtype=bool)
    at = {0.0: 0.0}
    refused = 0
    due = list(shares)
    for start in range(0, n // 2, batch_size):
        rows = order[start : min(start + batch_size, n // 2)]
        try:
            model.unlearn(X[rows], y[rows])
            retained[rows] = False
        except ErasureError:
            refused += 1
        if refresh and model.refresh_recommended_:
            model.refresh(X[retained], y[retained])
        share = (start + len(rows)) / n
        if due and start + len(rows) >= int(due[0] * n):
            at[share] = parameter_distance(original, model, retrained(X, y, retained))
            due = [later for later in due if start + len(rows) < int(later * n)]
    return at, refused


models = {}


def retrained(X, y, retained):
    """The model of the retained rows; streams of the same order share it."""
    key = (len(y), retained.tobytes())
    if key not in models:
        models[key] = make(order=1).fit(X[retained], y[retained])
    return models[key]


# %%
# The lines are medians of three random orders. Batches are closer to retraining than single rows
# without the tensor, because the curvature is out of date for fewer steps. With the tensor the
# curvature follows the parameters. A refresh brings the model back to the retrained one.
styles = {
    "one by one": (1, False, "-"),
    "batches of 10": (10, False, "--"),
    "batches of 100": (100, False, ":"),
    "one by one, with refresh": (1, True, "-."),
}
figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharex=True, sharey="row", layout="constrained")
for (name, (X, y)), row in zip(data.items(), axes, strict=True):
    for order, ax in zip([1, 2], row, strict=True):
        original = make(order=order).fit(X, y)
        for label, (batch_size, refresh, style) in styles.items():
            runs = [stream(original, X, y, seed, batch_size, refresh) for seed in range(3)]
            median = np.median([list(at.values()) for at, _ in runs], axis=0)
            refused = np.median([count for _, count in runs])
            at = list(runs[0][0])
            ax.plot([100 * share for share in at], median, style, label=label)
            points = zip(at[1:], median[1:], strict=True)
            ratios = ", ".join(f"{share:.0%} {value:.3f}" for share, value in points)
            print(f"{name}, order {order}, {label} ({refused:g} calls refused): {ratios}")
        ax.set_title(f"{name}, order={order}")
    row[0].set_ylabel("distance ratio")
for ax in axes[-1]:
    ax.set_xlabel("erased rows, %")
axes[0, 0].legend()
plt.show()
