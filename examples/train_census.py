"""
Train a census model, and write the files of an erasure request
===============================================================

``python examples/train_census.py FOLDER`` trains a model on four fifths of
``examples/data/adult.csv.gz``: does a person earn more than 50,000 dollars a year? It writes these
files into the folder, which it creates:

- ``model.skops``: the model, a pipeline whose last step can erase rows and tracks them,
- ``withdrawn.csv``: 50 training rows, the people who withdraw their consent,
- ``retained.csv``: the other training rows,
- ``test.csv``: the rows that the model was not trained on.

The command line of sklearn-ssse then erases the people, see "One request, five commands" in the
README. The script takes a few seconds.
"""

import argparse
from pathlib import Path

import pandas as pd
import skops.io
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_ssse import ErasableLogisticRegression

TARGET = "income"
N_WITHDRAWN = 50

parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
parser.add_argument("folder", type=Path, help="folder for the files")
folder = parser.parse_args().folder

# An unknown value is the text "?", a category like any other.
people = pd.read_csv(
    Path(__file__).resolve().parent / "data" / "adult.csv.gz",
    index_col=0,
    skipinitialspace=True,
)
training, test = train_test_split(people, test_size=0.2, random_state=0, stratify=people[TARGET])
withdrawn = training.sample(N_WITHDRAWN, random_state=0)
retained = training.drop(withdrawn.index)

# %%
# The solver reaches the minimum, so that a report measures the erasure and not the solver. With
# second-order steps, the bound of the distance to retraining is 50 times smaller.
encode = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
)
classifier = ErasableLogisticRegression(
    C=0.1, curvature="fisher", order=2, solver="newton-cholesky", tol=1e-8, track_rows=True
)
model = make_pipeline(encode, classifier)
model.fit(training.drop(columns=TARGET), training[TARGET])

folder.mkdir(parents=True, exist_ok=True)
skops.io.dump(model, folder / "model.skops")
for name, rows in {"withdrawn": withdrawn, "retained": retained, "test": test}.items():
    rows.to_csv(folder / f"{name}.csv", index=False)
print(f"{folder}: a model of {len(training):,} people, {len(withdrawn)} of whom withdraw.")
