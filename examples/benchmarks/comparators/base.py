"""One small interface for ways to erase training rows from a logistic regression.

A comparator trains on rows, keeps what its method keeps, and erases rows by their positions:

    >>> method = Retraining().prepare(X, y, C=1.0)
    >>> trial = method.copy()          # the original can serve other forget sets
    >>> trial.erase([3, 14, 15]).predict_proba(X_test)

All comparators minimise the objective of `objective.py`, unless their method has its own.
"""

import pickle
from abc import ABC, abstractmethod
from copy import copy, deepcopy

import numpy as np
from scipy import sparse

from comparators.objective import Objective, Rows


class Comparator(ABC):
    """A trained logistic regression that rows can be erased from.

    Attributes
    ----------
    name : str
        As printed in tables.
    reference : str
        The paper.
    outcome : {'parameters', 'ensemble'}
        'parameters': `theta` is the model. 'ensemble': there are several models, whose
        probabilities are averaged; `theta` is None.
    needs_rows : {'none', 'forget', 'all'}
        The training rows that `erase` reads: none, the forget rows, or all.
    multinomial : bool
        Whether the method is implemented for more than two classes.
    trains_itself : bool
        Whether the method's training differs from the minimisation of the shared objective.
        `prepare` then ignores its argument `theta`.
    theta : ndarray of shape (n_outputs, width) or None
        The present parameters, as `objective.py` describes.
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    objective : Objective
        The shared objective.
    rows : Rows
        All training rows. Subclasses read of them what `needs_rows` states.
    retained : ndarray of bool of shape (n,)
        False for rows that were erased.
    """

    name: str
    reference: str
    outcome = "parameters"
    needs_rows: str
    multinomial = True
    trains_itself = False

    def prepare(self, X, y, *, C=1.0, classes=None, fit_intercept=True, theta=None):
        """Train, and compute what the method keeps.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n, n_features)
            Training data.
        y : array-like of shape (n,)
            Labels.
        C : float, default=1.0
            Inverse of the strength of the penalty.
        classes : array-like of shape (n_classes,), default=None
            All labels; None: the labels in y.
        fit_intercept : bool, default=True
            Whether the model has intercepts, which are not penalised.
        theta : ndarray of shape (n_outputs, width), default=None
            The minimum of the shared objective, if it is known: then only the method's own
            preparation takes time. None: it is computed by Newton steps.

        Returns
        -------
        self : Comparator
        """
        self.classes = np.unique(y if classes is None else classes)
        if len(self.classes) > 2 and not self.multinomial:
            raise ValueError(
                f"{self.name} must have two classes, got {len(self.classes)}. "
                "Pass labels of two classes."
            )
        self.rows = self.design(X, y, fit_intercept)
        width = self.rows.Z.shape[1]
        self.objective = Objective(float(C), self.rows.Y.shape[1], width, fit_intercept)
        self.retained = np.ones(len(self.rows), dtype=bool)
        self.theta = None
        if not self.trains_itself:
            self.theta = self.objective.minimise(self.rows)[0] if theta is None else theta.copy()
        self._prepare()
        return self

    def design(self, X, y, fit_intercept):
        """The `Rows` of features and labels."""
        X = X.astype(np.float64) if sparse.issparse(X) else np.asarray(X, dtype=np.float64)
        if fit_intercept:
            ones = np.ones((X.shape[0], 1))
            X = sparse.hstack([X, ones], "csr") if sparse.issparse(X) else np.hstack([X, ones])
        Y = (np.asarray(y)[:, np.newaxis] == self.classes).astype(np.float64)
        return Rows(X, Y[:, 1:] if len(self.classes) == 2 else Y)

    @abstractmethod
    def _prepare(self):
        """Compute what the method keeps, from `rows` and `theta`; set `theta` if it trains."""

    def erase(self, index):
        """Erase training rows, in place.

        Parameters
        ----------
        index : array-like of int of shape (k,)
            Positions in the training rows, each at most once in all calls.

        Returns
        -------
        self : Comparator
        """
        index = np.asarray(index, dtype=np.intp)
        if len(np.unique(index)) < len(index) or not self.retained[index].all():
            raise ValueError(
                "Each row must be erased at most once, got a position again. Pass each once."
            )
        if len(index):
            self._erase(index)
            self.retained[index] = False
        return self

    @abstractmethod
    def _erase(self, index):
        """Change `theta` and what the method keeps; `retained` still has the forget rows."""

    def retained_after(self, index):
        """The rows that are left after an erasure, as `Rows`."""
        keep = self.retained.copy()
        keep[index] = False
        return self.rows.take(keep)

    def own_retraining(self, index):
        """Parameters of the method's own training without some rows, exactly.

        None if its training is the minimisation of the shared objective, or has no parameters. To
        be called before the erasure of these rows.
        """
        return

    def copy(self):
        """A copy to try an erasure on; it shares the training rows."""
        out = copy(self)
        for name, value in vars(self).items():
            if name != "rows":
                setattr(out, name, deepcopy(value))
        return out

    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, CSR matrix} of shape (n, n_features)

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        rows = self.design(X, np.full(X.shape[0], self.classes[0]), self.objective.fit_intercept)
        return self._probabilities(rows)

    def _probabilities(self, rows):
        """Probabilities of the classes of `Rows`, (n, n_classes)."""
        return self.both_classes(self.objective.probabilities(self.theta, rows))

    def both_classes(self, p):
        """Probabilities (n, n_outputs) as one column for each class."""
        return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p

    def kept_bytes(self):
        """Bytes of a pickle of everything but the training rows: theta and what is kept beside."""
        return len(pickle.dumps({k: v for k, v in vars(self).items() if k != "rows"}))
