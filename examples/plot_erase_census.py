"""
Erase people from a census model
================================

A bank trained a model on census records: does a person earn more than 50,000 dollars a year? Then
some people withdraw their consent. This example trains the model once, chooses the step length eps,
and erases two sets of people in one step each. It then compares the result with a model that was
trained again without them, which is the slow way to honour such a request.

Run it from any directory. It reads ``examples/data/adult.csv.gz`` and ends within two minutes.
"""

import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    GammaScorer,
    gamma_score,
    parameter_distance,
    unlearn,
)

start = time.perf_counter()
people = pd.read_csv(
    Path(__file__).resolve().parent / "data" / "adult.csv.gz",
    index_col=0,
    skipinitialspace=True,
    na_values="?",
)
income = people.pop("income")
X, X_test, y, y_test = train_test_split(
    people, income, test_size=0.2, random_state=0, stratify=income
)
print(
    f"{len(X):,} people to train on, {len(X_test):,} to test on; "
    f"{(y == '>50K').mean():.1%} earn more than 50,000 dollars."
)

# %%
# The model is an ordinary pipeline whose last step can erase rows.
encode = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
)


def census_pipeline(curvature):
    return Pipeline(
        [
            ("encode", encode),
            ("clf", ErasableLogisticRegression(curvature=curvature, solver="newton-cholesky")),
        ]
    )


# %%
# Which eps? The search simulates five withdrawals of 300 people each. Every test fold is a forget
# set, and the model that the search fits on the other rows is the retrained model. gamma_S measures
# how well the erased model resembles it. 1 is perfect; above 0.5, the erased model behaves more
# like the retrained model than like the original one.
epsilons = [0.25, 0.5, 1.0, 2.0, "auto"]
search = GridSearchCV(
    census_pipeline("empirical_fisher"),
    {"clf__unlearn_epsilon": epsilons},
    scoring=GammaScorer(X, y),
    cv=ShuffleSplit(5, test_size=300, random_state=0),
).fit(X, y)
print(
    "\nMean gamma_S of each eps with the empirical Fisher information, over five random forget "
    "sets of 300 people:"
)
for epsilon, score in zip(epsilons, search.cv_results_["mean_test_score"], strict=True):
    print(f"  eps = {epsilon!s:5}  gamma_S = {score:.2f}")
print(
    f"  best: eps = {search.best_params_['clf__unlearn_epsilon']}. "
    "The exact Fisher information needs no search: eps = 1."
)

models = {"empirical_fisher": search.best_estimator_, "fisher": census_pipeline("fisher").fit(X, y)}

# %%
# The people who withdraw.
rng = np.random.default_rng(0)
withdrawn = {
    "300 random people": np.isin(np.arange(len(X)), rng.choice(len(X), 300, replace=False)),
    "everyone of 75 or older": (X["age"] >= 75).to_numpy(),
}

# %%
# Erase them, and compare with training again. All three models use the encoder with its original
# statistics, so that their parameters refer to the same columns.
rows = []
for who, forget in withdrawn.items():
    for curvature, original in models.items():
        began = time.perf_counter()
        refitted = Pipeline(
            [("encode", FrozenEstimator(original["encode"])), ("clf", deepcopy(original["clf"]))]
        )
        refitted.fit(X[~forget], y[~forget])
        refit_seconds = time.perf_counter() - began
        erased = deepcopy(original)
        began = time.perf_counter()
        unlearn(erased, X[forget], y[forget])
        unlearn_seconds = time.perf_counter() - began
        trio = original, erased, refitted
        row = {
            "who": who,
            "curvature": curvature,
            "eps": erased["clf"].erasures_[-1].epsilon,
            "gamma AUC": gamma_score(*trio, X[forget], y[forget]),
            "gamma prob.": gamma_score(*trio, X[forget], y[forget], metric="probability"),
            "distance ratio": parameter_distance(*trio),
            "refit s": refit_seconds,
            "unlearn s": unlearn_seconds,
        }
        for part, (X_part, y_part) in {
            "forget": (X[forget], y[forget]),
            "retain": (X[~forget], y[~forget]),
            "test": (X_test, y_test),
        }.items():
            row[part] = " / ".join(f"{model.score(X_part, y_part):.4f}" for model in trio)
        rows.append(row)
table = pd.DataFrame(rows)

for who, forget in withdrawn.items():
    part = table[table["who"] == who].drop(columns="who")
    print(f"\n{who} ({forget.sum()}) withdraw. The erased model compared with the retrained one:")
    print(part.iloc[:, :7].to_string(index=False, float_format="{:.3f}".format))
    print("Accuracy of original / erased / retrained model:")
    print(part[["curvature", "forget", "retain", "test"]].to_string(index=False))

fisher = table[table["curvature"] == "fisher"]
covered = 1 - fisher["distance ratio"].max()
faster = (fisher["refit s"] / fisher["unlearn s"]).min()
print(
    f"""
How to read this: the distance ratio is 0 if the erased model has the parameters of the retrained
one, and 1 if it is no closer to them than the original model. With curvature='fisher', one step
reduces the distance by at least {covered:.0%}. It is at least {faster:.0f} times as fast as
training again, and it needs no training data. Most of its time is spent on encoding the rows."""
)
record = erased["clf"].erasures_[-1]
kept = ", ".join(record.kept_by)
print(
    f"\nTraces of the erased people: the model is based on {record.n_remaining:,} people now, and "
    f"its\ncurvature excludes the {record.n_erased} erased ones. The step '{kept}' was fitted "
    "on them too, and its\nmeans and categories have not changed."
)
print(f"\nDone in {time.perf_counter() - start:.0f} s.")
