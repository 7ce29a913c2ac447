"""Streams of erasures: one call after the other, compared with models retrained on the way."""

import hashlib
import warnings
from copy import deepcopy
from dataclasses import dataclass

import joblib
import numpy as np
from bench_ablation_logistic import theta
from bench_quality import PARAMS
from sklearn.linear_model import LogisticRegression

from sklearn_ssse import ErasableLogisticRegression, ErasureError, ErasureWarning

# Parameters of the original models; {} is scikit-learn's default, lbfgs with tol 1e-4. The
# retrained models are always converged.
CONVERGED = PARAMS | {"max_iter": 1000}
SOLVERS = {"newton-cholesky, tol 1e-10": CONVERGED, "lbfgs, tol 1e-4": {}}
# Shares of the rows at which a stream is compared with retraining, and those in the tables.
SHARES = np.arange(1, 11) / 20
SHOWN = [0.05, 0.1, 0.2, 0.35, 0.5]
# Number of refused calls one after the other after which a stream stops.
MAX_REFUSALS = 25


def original_model(X, y, **params):
    """An erasable model of all rows; `params` may hold names that this version does not have."""
    known = ErasableLogisticRegression().get_params()
    params = {name: value for name, value in params.items() if name in known}
    return ErasableLogisticRegression(**params).fit(X, y)


def train(key, X, y, C):
    """Coefficients and intercepts of the converged model; `key` stands for the data in a cache."""
    model = LogisticRegression(**CONVERGED, C=C).fit(X, y)
    return model.coef_, model.intercept_


class Retraining:
    """Converged models of the retained rows of one data set, each trained once.

    Parameters
    ----------
    name : str
        Name of the data set, for the cache.
    X, y : ndarray
        All rows.
    C : float
        Inverse of regularization strength.
    folder : str or None
        Folder of a cache on disk.
    """

    def __init__(self, name, X, y, C, folder=None):
        self.name = name
        self.X = X
        self.y = y
        self.C = C
        self._train = joblib.Memory(folder, verbose=0).cache(train, ignore=["X", "y"])
        self._models = {}

    def __call__(self, retained):
        """Parameters of the retrained model and its accuracy on the retained rows.

        Parameters
        ----------
        retained : ndarray of shape (n_samples,), bool

        Returns
        -------
        parameters : ndarray or None
            None if no row of some class is retained, because the models then differ in shape.
        accuracy : float
        """
        key = retained.tobytes()
        if key not in self._models:
            self._models[key] = self._fit(retained, hashlib.sha256(key).hexdigest())
        return self._models[key]

    def _fit(self, retained, digest):
        X = self.X[retained]
        y = self.y[retained]
        classes = np.unique(y)
        if len(classes) == 1:
            return None, 1.0
        name = f"{self.name}, {self.X.shape}, C = {self.C}, {digest}"
        coef, intercept = self._train(name, X, y, self.C)
        model = LogisticRegression()
        model.coef_ = coef
        model.intercept_ = intercept
        model.classes_ = classes
        complete = len(classes) == len(np.unique(self.y))
        return theta(model) if complete else None, model.score(X, y)


@dataclass
class Trace:
    """The course of one stream. Shares are of the rows erased or refused up to the call, with it.

    Attributes
    ----------
    refused, warned, recommended : float
        Share of the rows before the first refusal, the first warning and the first recommendation
        of a refresh; nan if there was none.
    refusals : int
        Number of refused calls.
    largest : float
        Largest absolute parameter so far, divided by the largest at fit.
    refreshes : int
        Number of calls of `refresh`.
    stopped : bool
        Whether the stream stopped after `MAX_REFUSALS` refusals one after the other.
    """

    refused: float = np.nan
    warned: float = np.nan
    recommended: float = np.nan
    refusals: int = 0
    largest: float = 1.0
    refreshes: int = 0
    stopped: bool = False

    def before(self, share, *names):
        """Whether one of the named events was before this share of the rows."""
        return any(getattr(self, name) < share for name in names)


def largest_parameter(model):
    return float(np.abs(theta(model)).max())


def recommendation(model):
    """The reason for a refresh, or an empty string."""
    return model.refresh_recommended_


def erase_stream(model, X, y, order, look, batch_size=1, refresh=False):
    """Erase rows in a given order, some at each call, and look at the model on the way.

    A refused call is skipped: its rows are retained. After `MAX_REFUSALS` refusals one after the
    other the stream stops, and the model does not change any more.

    Parameters
    ----------
    model : ErasableLogisticRegression
        The original model; it changes.
    X, y : ndarray
        All rows.
    order : ndarray of int
        Positions of the rows to erase.
    look : callable
        ``look(event, share, model, retained, trace)``. `event` is "share" at each share of
        `SHARES`, and "before" and "after" a refresh.
    batch_size : int
        Number of rows at each call.
    refresh : bool
        Whether to refresh the model on the retained rows whenever it recommends it.

    Returns
    -------
    Trace
    """
    n = len(y)
    retained = np.ones(n, dtype=bool)
    trace = Trace()
    at_fit = largest_parameter(model)
    due = list(SHARES)
    in_a_row = 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        if not trace.stopped:
            accepted = erase_some(model, X[rows], y[rows], (start + len(rows)) / n, trace)
            retained[rows] = not accepted
            in_a_row = 0 if accepted else in_a_row + 1
            trace.stopped = in_a_row >= MAX_REFUSALS
            trace.largest = max(trace.largest, largest_parameter(model) / at_fit)
        share = (start + len(rows)) / n
        if refresh and recommendation(model):
            look("before", share, model, retained, trace)
            model.refresh(X[retained], y[retained])
            trace.refreshes += 1
            look("after", share, model, retained, trace)
        while due and start + len(rows) >= int(due[0] * n):
            look("share", due.pop(0), model, retained, trace)
    return trace


def erase_some(model, X, y, share, trace):
    """Erase rows in one call and note its outcome; return whether it was accepted."""
    accepted = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ErasureWarning)
        try:
            model.unlearn(X, y)
        except ErasureError:
            accepted = False
    if not accepted:
        trace.refusals += 1
        trace.refused = np.fmin(trace.refused, share)
    if any(issubclass(warning.category, ErasureWarning) for warning in caught):
        trace.warned = np.fmin(trace.warned, share)
    if recommendation(model):
        trace.recommended = np.fmin(trace.recommended, share)
    return accepted


def one_call(original, X, y):
    """A copy of the original model without rows erased in one call; None if it is refused."""
    model = deepcopy(original)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ErasureWarning)
        try:
            return model.unlearn(X, y)
        except ErasureError:
            return None


def ratio(start, model, target):
    """Distance ratio of a model to the retrained parameters; nan if there are none."""
    if model is None or target is None:
        return np.nan
    return np.linalg.norm(theta(model) - target) / np.linalg.norm(start - target)


def random_order(y, seed):
    """Half of the rows in random order."""
    return np.random.default_rng(seed).permutation(len(y))[: len(y) // 2]


def class_order(y, seed):
    """Half of the rows, class by class; the classes and the rows of each in random order."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(y))
    place = rng.permutation(len(np.unique(y)))[np.unique(y, return_inverse=True)[1]]
    return shuffled[np.argsort(place[shuffled], kind="stable")][: len(y) // 2]


def loss_order(y, proba):
    """Half of the rows, from the largest loss at fit to smaller ones."""
    codes = np.unique(y, return_inverse=True)[1]
    return np.argsort(proba[np.arange(len(y)), codes], kind="stable")[: len(y) // 2]
