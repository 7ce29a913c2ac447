"""The experiment of figure 1: erase rows of an attribute from linear classifiers of all attributes.

One logistic regression without intercept is trained for each attribute. It minimises the mean loss
plus `PENALTY` / 2 times the squared norm of its parameters. The forget set is a share of the rows
that have one attribute. It is erased from the classifiers of all attributes.
"""

from copy import copy, deepcopy

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ForgetSetSplit,
    attribute_auc,
    parameter_distance,
    unlearn_path,
)

# lambda of the paper, on the scale of a mean over rows: the weight of the penalty, and by "penalty"
# the damping of the curvature.
PENALTY = 1e-4
DAMPING = "penalty"
SOLVER = "newton-cholesky"
TOLERANCE = 1e-8
# Limit of the solver's steps; the fits of the figure take at most 13.
MAX_ITER = 100
# Shares of the rows of an attribute that are erased.
RATES = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
# Rows of an attribute are erased if fewer than this share of all rows have it.
RARE = 0.2
# Step lengths without unit; each is 1.26 times the one before, and 1 is among them.
EPSILONS = tuple(round(float(eps), 3) for eps in np.geomspace(0.2, 5, 15))
# Curvature and leave-out of the four steps that are compared.
VARIANTS = tuple((c, out) for c in ("empirical_fisher", "fisher") for out in (False, True))


def classifiers(X, Y, curvature):
    """One erasable logistic regression for each column of Y (n, m), without intercept."""
    model = ErasableLogisticRegression(
        C=1 / (PENALTY * len(X)),
        fit_intercept=False,
        solver=SOLVER,
        tol=TOLERANCE,
        max_iter=MAX_ITER,
        curvature=curvature,
        damping=DAMPING,
        structure="full",
        order=1,
    )
    return MultiOutputClassifier(model).fit(X, Y)


def with_leave_out(model, leave_out):
    """A copy of the classifiers with the parameter `leave_out`."""
    other = deepcopy(model)
    for output in other.estimators_:
        output.set_params(leave_out=leave_out)
    return other


def retrained(model, X, Y):
    """The classifiers after training on the rows (X, Y), as scikit-learn's own classes.

    The solver starts at the parameters of `model`; its result does not depend on the start, up to
    the tolerance. An output of which the rows have one class predicts that class.
    """
    new = copy(model)
    new.estimators_ = []
    for output, y in zip(model.estimators_, Y.T, strict=True):
        plain = output.to_plain().set_params(warm_start=True)
        new.estimators_.append((DummyClassifier() if np.ptp(y) == 0 else plain).fit(X, y))
    new.classes_ = [output.classes_ for output in new.estimators_]
    return new


def gamma_scores(first, last, path):
    """gamma_S of equation (5) of the paper for each model on a path; nan if no area differs.

    Parameters
    ----------
    first, last : ndarray of shape (n_attributes,)
        Areas under the ROC curve of the original and of the retrained model on the forget set.
    path : ndarray of shape (n_models, n_attributes)
        The areas of the erased models.

    Returns
    -------
    list of float
    """
    to_original = np.abs(path - first).sum(axis=1)
    total = to_original + np.abs(path - last).sum(axis=1)
    scores = np.divide(to_original, total, out=np.full(len(path), np.nan), where=total > 0)
    return np.round(scores, 3).tolist()


def measures(original, path, new, X, Y):
    """gamma_S and the normalised distance of each model on a path.

    An attribute that no retained row has cannot be retrained. The area of its retrained classifier
    counts as 0 in `gamma`, by the convention of the paper. The normalised distance
    ``||theta - theta_r|| / ||theta* - theta_r||`` leaves its parameters out.

    Parameters
    ----------
    original, new : MultiOutputClassifier
        Trained on all rows, and on the retained rows.
    path : list of MultiOutputClassifier
        The erased models, one for each eps.
    X, Y : ndarray of shape (k, d) and (k, m)
        The forget set.

    Returns
    -------
    dict of str to list of float
        "gamma" and "distance", without unit.
    """
    first = attribute_auc(original, X, Y)
    last = attribute_auc(new, X, Y, classes=original.classes_)
    areas = np.array([attribute_auc(erased, X, Y) for erased in path])
    distances = [parameter_distance(original, erased, new) for erased in path]
    return {
        "gamma": gamma_scores(first, last, areas),
        "distance": np.round(distances, 3).tolist(),
    }


def rare_attributes(Y):
    """Columns of the attributes that fewer than a share `RARE` of the rows have, by prevalence."""
    share = Y.mean(axis=0)
    return [int(j) for j in np.argsort(share, kind="stable") if share[j] < RARE]


def measure(X, Y, names, attributes, rates=RATES, progress=print):
    """gamma_S and distance of the four steps for every forget set and eps.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, m)
        Attributes, 0 or 1.
    names : list of str
        Names of the attributes.
    attributes : list of int
        Columns of the attributes whose rows are erased.
    rates : sequence of float
        Shares of the rows of an attribute.
    progress : callable
        Is given a line for each attribute.

    Returns
    -------
    list of dict
        One for each forget set and step, with the lists of `measures`, which have an entry for each
        of `EPSILONS` and one for "auto". A row has none of them if the library refuses the erasure.
    """
    fitted = {curvature: classifiers(X, Y, curvature) for curvature, _ in VARIANTS[::2]}
    models = {variant: with_leave_out(fitted[variant[0]], variant[1]) for variant in VARIANTS}
    original = fitted["fisher"]
    rows = []
    for a in attributes:
        progress(f"rows of {names[a]!r}")
        splits = ForgetSetSplit(list(rates), labels=[a], random_state=a).split(X, Y)
        for rate, (retained, S) in zip(rates, splits, strict=True):
            new = retrained(original, X[retained], Y[retained])
            for (curvature, leave_out), model in models.items():
                row = {
                    "attribute": names[a],
                    "rate": rate,
                    "k": len(S),
                    "attributes lost": sum(len(classes) == 1 for classes in new.classes_),
                    "curvature": curvature,
                    "leave_out": leave_out,
                }
                rows.append(row)
                try:
                    path = unlearn_path(model, X[S], Y[S], [*EPSILONS, "auto"], as_models=True)
                except ErasureError:
                    continue
                row.update(measures(original, path, new, X[S], Y[S]))
    return rows
