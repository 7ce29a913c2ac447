"""The experiment of figure 1: erase rows of an attribute from linear classifiers of all attributes.

One logistic regression without intercept is trained for each attribute. It minimises the mean loss
plus `PENALTY` / 2 times the squared norm of its parameters. The forget set is a share of the rows
that have one attribute. It is erased from the classifiers of all attributes.
"""

import warnings
from copy import deepcopy

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.multioutput import MultiOutputClassifier

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning, unlearn

# lambda of the paper: weight of the penalty on the scale of a mean over rows, and the damping.
PENALTY = 1e-4
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
        damping=PENALTY,
        structure="full",
    )
    return MultiOutputClassifier(model).fit(X, Y)


def parameters(model):
    """Parameters of the classifiers, (m, d)."""
    return np.vstack([output.coef_ for output in model.estimators_])


def with_outputs(model, outputs):
    """A copy of the classifiers of some attributes."""
    copy = deepcopy(model)
    copy.estimators_ = [copy.estimators_[j] for j in outputs]
    return copy


def retrained(model, X, Y, outputs):
    """Parameters of some classifiers after training on the rows (X, Y), (len(outputs), d).

    The solver starts at the parameters of `model`; its result does not depend on the start, up to
    the tolerance.
    """
    plain = [model.estimators_[j].to_plain().set_params(warm_start=True) for j in outputs]
    return np.vstack([lr.fit(X, Y[:, j]).coef_ for j, lr in zip(outputs, plain, strict=True)])


def erased(model, X, Y, outputs, leave_out):
    """Parameters of some classifiers after the erasure of (X, Y) with every eps and with "auto".

    Returns
    -------
    ndarray of shape (len(EPSILONS) + 1, len(outputs), d)
        The last entry has eps "auto".
    """
    copy = with_outputs(model, outputs)
    before = parameters(copy)
    for output in copy.estimators_:
        output.set_params(leave_out=leave_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErasureWarning)  # doubtful steps are measured here
        unlearn(copy, X, Y[:, outputs], epsilon="auto")
    step = parameters(copy) - before
    epsilons = np.array([[output.erasures_[-1].epsilon] for output in copy.estimators_])
    path = [before + eps / epsilons * step for eps in EPSILONS]
    return np.array([*path, before + step])


def areas(theta, X, Y):
    """Area under the ROC curve of each classifier on (X, Y), (m,); 0 if Y has one class."""
    ranks = rankdata(expit(X @ theta.T), axis=0)
    positive = Y.sum(axis=0)
    pairs = positive * (len(Y) - positive)
    surplus = (ranks * Y).sum(axis=0) - positive * (positive + 1) / 2
    return np.divide(surplus, pairs, out=np.zeros(len(pairs)), where=pairs > 0)


def gammas(original, path, new, X, Y):
    """gamma_S of each model on a path, equation (5) of the paper; nan if no area differs.

    Parameters
    ----------
    original, new : ndarray of shape (m, d)
        Parameters trained on all rows, and on the retained rows.
    path : ndarray of shape (n_models, m, d)
    X, Y : ndarray of shape (k, d) and (k, m)
        The forget set.
    """
    first = areas(original, X, Y)
    last = areas(new, X, Y)
    scores = []
    for theta in path:
        own = areas(theta, X, Y)
        to_original = np.abs(own - first).sum()
        total = to_original + np.abs(own - last).sum()
        scores.append(float(to_original / total) if total > 0 else float("nan"))
    return scores


def distances(original, path, new):
    """``||theta - theta_r|| / ||theta* - theta_r||`` of each model on a path, all attributes."""
    away = np.linalg.norm(original - new)
    return [float(np.linalg.norm(theta - new) / away) for theta in path]


def chosen_attributes(Y, number):
    """Columns of the attributes whose rows are erased: rare ones, evenly spaced by prevalence."""
    share = Y.mean(axis=0)
    rare = [j for j in np.argsort(share, kind="stable") if share[j] < RARE]
    places = np.linspace(0, len(rare) - 1, min(number, len(rare))).round().astype(int)
    return [int(rare[i]) for i in places]


def forget_set(y, rate, seed):
    """Positions of a random share of the rows whose label is 1; larger shares hold smaller ones."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(y))
    return rows[: max(1, round(rate * len(rows)))]


def measure(X, Y, names, number, rates=RATES, progress=print):
    """gamma_S and distance of the four steps for every forget set and eps.

    A classifier whose attribute loses all its rows cannot be retrained. It is left out of both
    measures of that forget set; its area counts as 0 in the paper, as does every area of an
    attribute that all rows of the forget set have.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    Y : ndarray of shape (n, m)
        Attributes, 0 or 1.
    names : list of str
        Names of the attributes.
    number : int
        Largest number of attributes whose rows are erased.
    rates : sequence of float
        Shares of the rows of an attribute.
    progress : callable
        Is given a line for each attribute.

    Returns
    -------
    list of dict
        One for each forget set and step; the lists `gamma` and `distance` have an entry for each
        of `EPSILONS` and one for "auto". They are None if the library refuses the erasure.
    """
    models = {curvature: classifiers(X, Y, curvature) for curvature, _ in VARIANTS[::2]}
    rows = []
    for a in chosen_attributes(Y, number):
        progress(f"rows of {names[a]!r}")
        for rate in rates:
            S = forget_set(Y[:, a], rate, seed=a)
            retained = np.delete(np.arange(len(X)), S)
            outputs = [j for j in range(Y.shape[1]) if np.ptp(Y[retained, j]) > 0]
            plain = models["fisher"]
            original = parameters(plain)[outputs]
            new = retrained(plain, X[retained], Y[retained], outputs)
            for curvature, leave_out in VARIANTS:
                row = {
                    "attribute": names[a],
                    "rate": rate,
                    "k": len(S),
                    "curvature": curvature,
                    "leave_out": leave_out,
                    "gamma": None,
                    "distance": None,
                }
                rows.append(row)
                try:
                    path = erased(models[curvature], X[S], Y[S], outputs, leave_out)
                except ErasureError:
                    continue
                scores = gammas(original, path, new, X[S], Y[S][:, outputs])
                row["gamma"] = np.round(scores, 3).tolist()
                row["distance"] = np.round(distances(original, path, new), 3).tolist()
    return rows
