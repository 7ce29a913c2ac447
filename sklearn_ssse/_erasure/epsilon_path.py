"""The parameters after an erasure as a function of eps: one step direction gives all of them."""

from typing import NamedTuple

import numpy as np

from sklearn_ssse._erasure.epsilon import Multiple, read_epsilon
from sklearn_ssse._erasure.request import NO_REQUEST
from sklearn_ssse._utils.locks import exclusive, itself
from sklearn_ssse.exceptions import ErasureError


class EpsilonPath(NamedTuple):
    """The parameters of one model over eps: ``start + eps * direction``.

    Attributes
    ----------
    model : ErasableMixin
        The model before the erasure.
    start, direction : ndarray of shape (d,)
    usual : float
        The eps of "auto" for the erasure; nan if it was planned with a number.
    """

    model: object
    start: np.ndarray
    direction: np.ndarray
    usual: float

    @classmethod
    def of(cls, erasure, planned):
        """The path of an `Erasure` that was planned with an eps, a float or a `Multiple`."""
        start = erasure.model._family().theta
        epsilon = erasure.record.epsilon
        usual = epsilon / planned.factor if isinstance(planned, Multiple) else np.nan
        return cls(erasure.model, start, erasure.parameter_change / epsilon, usual)

    @classmethod
    def of_no_rows(cls, model):
        """The path of a model that no row reaches, whose parameters do not change."""
        start = model._family().theta
        return cls(model, start, np.zeros(len(start)), np.nan)

    def theta(self, eps):
        """The parameters for one eps, a float or a `Multiple`, (d,)."""
        if not self.direction.any():
            return self.start
        length = self.usual * eps.factor if isinstance(eps, Multiple) else eps
        return self.model._family().stored(self.start + length * self.direction)

    def attributes(self, eps):
        """The fitted attributes for one eps, a float or a `Multiple`, by name."""
        return self.model._family().attributes(self.theta(eps))

    def plain(self, eps):
        """The model for one eps as scikit-learn's own class, without traces of training."""
        plain = self.model.to_plain()
        vars(plain).update(self.attributes(eps))
        for name in self.model._traces:
            vars(plain).pop(name, None)
        return plain


class EpsilonPathMixin:
    """A classifier that computes its parameters after an erasure for many values of eps."""

    @exclusive(itself)
    def unlearn_path(self, X, y, epsilons, *, sample_weight=None, as_models=False):
        """Compute the parameters that `unlearn` would give for each of many eps; change nothing.

        The parameters after an erasure are ``theta + eps * Delta``, equations (1) and (4) of
        `docs/method.md`. Delta does not depend on eps, so that one erasure, planned and not made,
        gives the parameters for all of them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_erased, n_features)
            The forget rows, as they were given to `fit`.
        y : array-like of shape (n_erased,)
            The labels that the rows had at `fit`.
        epsilons : array-like of float or str
            Step sizes eps > 0, 'auto' or multiples of it such as '0.5*auto'.
        sample_weight : array-like of shape (n_erased,), default=None
            The weights that the rows had at `fit`.
        as_models : bool, default=False
            Whether to return models instead of parameters.

        Returns
        -------
        ndarray of shape (n_epsilons, n_parameters), or list of estimators
            The parameters for each eps, layer by layer, each layer with its intercepts as last
            column: for a logistic regression ``np.hstack([coef_, intercept_[:, None]]).ravel()``.
            With ``as_models=True``, one fitted model of the parent class for each eps, such as
            `LogisticRegression`, as `to_plain` returns it after the erasure.

        Raises
        ------
        ErasureError, ValueError
            If `unlearn` refuses the smallest value of `epsilons`, or 1 if that is smaller; among
            multiples of 'auto' and numbers, the smallest multiple counts, or 'auto'. Also if
            `epsilons` is empty.

        Warns
        -----
        ErasureWarning
            If there is no row of positive weight. The parameters do not change then.

        Notes
        -----
        A row of the result equals the parameters after `unlearn` with its eps on a copy of the
        model, up to rounding, also for steps of second order: Halley's direction does not depend on
        eps. Three things depend on eps and are not in the result. `unlearn` refuses an eps that
        would ruin the model, and this method returns its parameters all the same. `unlearn` warns
        of a doubtful step. The curvature to store after a step of second order, and thus the next
        erasure, depends on the length of the step. The certificate of a certified model
        holds for eps = 1 alone.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> clf = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        >>> clf.unlearn_path(X[:20], y[:20], [0.5, 1.0, "auto"]).shape
        (3, 31)
        >>> models = clf.unlearn_path(X[:20], y[:20], [0.5, 1.0, "auto"], as_models=True)
        >>> [round(model.score(X[20:], y[20:]), 2) for model in models]
        [0.99, 0.99, 0.99]
        """
        epsilons, planned, given = read_epsilons(epsilons)
        erasure = self._requested((X, y, sample_weight), None, given, NO_REQUEST)
        path = EpsilonPath.of_no_rows(self)
        if erasure.changes_rows:
            path = EpsilonPath.of(erasure, planned)
        values = path.plain if as_models else path.theta
        out = [values(eps) for eps in epsilons]
        return out if as_models else np.array(out)


def read_epsilons(epsilons):
    """Many values of eps, and the one with which to plan the erasure.

    Returns
    -------
    epsilons : list of float or Multiple
    planned : float or Multiple
        The smallest multiple of "auto" if there is one, else the smallest number; at most "auto"
        or 1, so that the erasure is not refused because all values are too large.
    given : float or str
        The same as a user writes it.
    """
    values = [value.item() if isinstance(value, np.generic) else value for value in epsilons]
    read = [read_epsilon(value) for value in values]
    if not read:
        raise ErasureError(
            "epsilons must hold at least one value, got none. Pass numbers above 0, or 'auto'."
        )
    multiples = [eps for eps in read if isinstance(eps, Multiple)]
    planned = min(Multiple(1.0), *multiples) if multiples else min(1.0, *read)
    given = f"{planned.factor!r}*auto" if multiples else planned
    return read, planned, given
