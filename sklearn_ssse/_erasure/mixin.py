"""The verbs of an erasable estimator, and its conversion from and to a plain model."""

import copy

from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import carry_out
from sklearn_ssse._erasure.epsilon import ABSOLUTE_GRID
from sklearn_ssse._erasure.epsilon_path import EpsilonPathMixin
from sklearn_ssse._erasure.fit_curvature import FITTED
from sklearn_ssse._erasure.previews import PreviewMixin, old_and_new
from sklearn_ssse._erasure.refresh import RefreshMixin
from sklearn_ssse._erasure.request import Request
from sklearn_ssse._erasure.validation import check_rows
from sklearn_ssse._utils.locks import exclusive, itself


class ErasableMixin(PreviewMixin, EpsilonPathMixin, RefreshMixin):
    """The verbs of a classifier that training rows can be erased from.

    An estimator sets

    - ``_parent``, the scikit-learn class that it extends;
    - ``_parent_fitted``, names of the fitted attributes of that class, or None for all;
    - ``_traces``, names of the attributes of training that an erasure deletes;
    - ``_search_grid``, the values of eps that `TunedEpsilonCV` compares.
    """

    _parent_fitted: tuple[str, ...] | None = None
    _traces: tuple[str, ...] = ()
    _search_grid = ABSOLUTE_GRID

    def unlearn(self, X, y, epsilon=None, *, sample_weight=None, request_id=None):
        """Erase training rows from the model, in place, in one step.

        The step is equation (4) of `docs/method.md`,
        ``theta + eps / (n - k) F^-1 sum_S grad l_i(theta)`` for the forget set S of weight k among
        rows of weight n. With leave-out it is equation (1), which uses the curvature of the
        retained rows. In either case the stored inverse is downdated exactly. The call is atomic:
        after any error the model is unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_erased, n_features)
            The rows to erase, as they were given to `fit`. The model keeps no rows. It refuses rows
            that cannot have been training rows, see `docs/guards.md`, but cannot recognise others
            unless it was fitted with ``track_rows=True``.
        y : array-like of shape (n_erased,)
            The labels that the rows had at `fit`.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the
            parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_erased,), default=None
            The weights that the rows had at `fit`.
        request_id : str, default=None
            The id of the request, such as a case number, for the record: 1 to 200 printable
            characters, without personal data.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If there are more forget rows than the model holds; if they are the last rows of a
            class, or have a label that was not seen at fit; if a forget row cannot have been a
            training row, because its norm is larger than the norm of any training row, or its label
            less likely than the label of any; if the model tracks its rows and a forget row is not
            among them, or was erased before; if the step would ruin the model; if the curvature
            without the rows would be singular, or is stale; if the rows overflow; if `epsilon` is
            not valid; if a parameter of the objective was changed after the fit; for a logistic
            regression after earlier erasures, if these have erased too much since the curvature was
            computed, or if a refresh is recommended and the step would change the log-odds of the
            forget rows by more than 0.5 on average; for a certified model if its budget does not
            suffice, or epsilon is not 1. `docs/guards.md` and `docs/certified.md` have the rules.
        ValueError
            If X, y or the weights are not valid input for this model.

        Warns
        -----
        ErasureWarning
            If the step is doubtful: it changes the log-odds of the rows' labels by more than 1 on
            average, or of one row far more than of the others (logistic regression), is longer than
            the parameters (net), or has a large multiple of the automatic eps; if the forget rows
            dominate the curvature, so that a step is unreliable; if their part of the stored
            curvature is smaller than their curvature at the present parameters; if the model was
            fitted with weights and `sample_weight` is missing; if the curvature is made of
            mini-batches, so that it must be computed again; once, at the first call after a refresh
            of the model is recommended; if a `damping` below the L2 penalty of a logistic
            regression makes the step more than 2.5 times too long; if there is no row of positive
            weight, for example because a filter matches no row.

        Notes
        -----
        Erasing no rows changes nothing, makes no record and gives a warning.

        Each erasure moves the parameters away from those of the stored curvature. In a stream of
        calls the curvature of a logistic regression is therefore conservative: a part of the
        curvature of each erased row stays in it, see `kept_curvature` of `ErasureRecord`. Erase
        many rows in one call if you can, and call `refresh` when `refresh_recommended_` is not
        empty.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(curvature="fisher").fit(scale(X), y)
        >>> clf.unlearn(scale(X)[:20], y[:20]).n_samples_remaining_
        549
        >>> clf.erasures_[-1].n_erased
        20
        """
        request = Request.of("unlearn", request_id)
        return self._carry_out((X, y, sample_weight), None, epsilon, request)

    def learn(self, X, y, epsilon=None, *, sample_weight=None, request_id=None):
        """Add training rows to the model, in place, in one step: the opposite of `unlearn`.

        The step is ``theta - eps * P sum_N grad l_i(theta)`` for added rows N of weight k. With
        leave-out, P is the inverse curvature with the added rows; without, it is the inverse
        curvature before the change, multiplied by ``n / (n + k)``. In either case the stored
        inverse is updated exactly. The call is atomic: after any error the model is unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_added, n_features)
            The rows to add.
        y : array-like of shape (n_added,)
            The labels of the added rows. They must have been seen at fit: a new class needs a model
            that is fitted anew.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the
            parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_added,), default=None
            The weights of the added rows.
        request_id : str, default=None
            The id of the request, such as a case number, for the record: 1 to 200 printable
            characters, without personal data.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If a label was not seen at fit; if the curvature is stale; if the rows overflow; if the
            sum of the rows and the stored curvature would lose the stored curvature in rounding; if
            `epsilon` is not valid; if a parameter of the objective was changed after the fit.
        ValueError
            If X, y or the weights are not valid input for this model.

        Warns
        -----
        ErasureWarning
            If the step is doubtful, as for `unlearn`; if the norm of a row is more than twice the
            largest norm of a training row; if a net changes the log-odds of the rows' labels by
            more than 0.3 of the mean absolute log-odds of the training rows' labels; if the model
            was fitted with weights and `sample_weight` is missing; if the curvature is made of
            mini-batches, so that it must be computed again; if there is no row of positive weight.

        Notes
        -----
        The record in `erasures_` holds ``n_added`` and ``weight_added``. Learning no rows changes
        nothing, makes no record and gives a warning.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> original = ErasableLogisticRegression(curvature="fisher").fit(X[20:], y[20:])
        >>> learned = ErasableLogisticRegression(curvature="fisher").fit(X[20:], y[20:])
        >>> learned.learn(X[:20], y[:20]).n_samples_remaining_
        569
        >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        >>> parameter_distance(original, learned, retrained) < 0.3
        True
        """
        request = Request.of("learn", request_id)
        return self._carry_out(None, (X, y, sample_weight), epsilon, request)

    def rectify(
        self, X_old, y_old, X_new, y_new, epsilon=None, *, sample_weight=None, request_id=None
    ):
        """Replace training rows by their corrected version, in place, in one step.

        It is `unlearn` for the old rows and `learn` for the new ones at once:
        ``theta + eps * P (sum_old grad l_i(theta) - sum_new grad l_i(theta))``. With leave-out, P
        is the inverse curvature of the rows after the change; without, it is the inverse curvature
        before the change, multiplied by the weight of all rows before it and divided by their
        weight after it. The call is atomic: after any error the model is unchanged.

        Parameters
        ----------
        X_old : {array-like, sparse matrix} of shape (n_rows, n_features)
            The rows as they were given to `fit`.
        y_old : array-like of shape (n_rows,)
            The labels that the rows had at `fit`.
        X_new, y_new : array-like
            The same rows with the correct features and labels, in the same order. The labels must
            have been seen at fit.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the
            parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_rows,), default=None
            The weights that the rows had at `fit`; the corrected rows get the same weights.
        request_id : str, default=None
            The id of the request, such as a case number, for the record: 1 to 200 printable
            characters, without personal data.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError, ValueError
            In the same cases as `unlearn` for the old rows and `learn` for the new rows; also if
            they differ in number.

        Warns
        -----
        ErasureWarning
            In the same cases as `unlearn`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> wrong = y.copy()
        >>> wrong[:10] = 1 - y[:10]
        >>> params = {"C": 0.01, "curvature": "fisher"}
        >>> original = ErasableLogisticRegression(**params).fit(X, wrong)
        >>> rectified = ErasableLogisticRegression(**params).fit(X, wrong)
        >>> retrained = ErasableLogisticRegression(**params).fit(X, y)
        >>> rectified = rectified.rectify(X[:10], wrong[:10], X[:10], y[:10])
        >>> parameter_distance(original, rectified, retrained) < 0.2
        True
        """
        old, new = old_and_new(X_old, y_old, X_new, y_new, sample_weight)
        return self._carry_out(old, new, epsilon, Request.of("rectify", request_id))

    @exclusive(itself)
    def _carry_out(self, forget, added, epsilon, request):
        """Erase and add rows, each (X, y, sample_weight) or None, and give the warnings."""
        erasure = self._requested(forget, added, epsilon, request)
        erasure.warn()
        carry_out([erasure])
        return self

    def to_plain(self):
        """Return the model as scikit-learn's own class, with the same predictions.

        Returns
        -------
        estimator
            A fitted model of the parent class, such as `LogisticRegression`. It holds copies of
            this model's fitted attributes, no curvature and no records.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> ErasableLogisticRegression(max_iter=500).fit(X, y).to_plain()
        LogisticRegression(max_iter=500)
        """
        check_is_fitted(self)
        plain = self._plain()
        self._copy_fitted(self, plain)
        return plain

    def _plain(self):
        """An unfitted model of the parent class with the same parameters."""
        names = self._parent._get_param_names()
        return self._parent(**{name: getattr(self, name) for name in names})

    @classmethod
    def _from_fitted(cls, fitted, given, X, y, sample_weight, params):
        """An erasable copy of a fitted model; ``params`` override the parameters ``given``."""
        model = cls(**{**given, **params})
        cls._copy_fitted(fitted, model)
        return model.fit_curvature(X, y, sample_weight)

    @classmethod
    def _copy_fitted(cls, source, target):
        """Copy the attributes that `fit` of the parent class sets."""
        names = cls._parent_fitted
        if names is None:
            skip = {*source.get_params(deep=False), *target.get_params(deep=False)}
            skip |= {*FITTED, "_skl_callbacks"}
            names = [name for name in vars(source) if name not in skip]
        for name in names:
            if name in vars(source):
                setattr(target, name, copy.deepcopy(vars(source)[name]))

    def _drop_curvature(self):
        """Delete the curvature of an earlier fit, so that the model has none if this fit fails."""
        for name in ("curvature_", "_erasure_state", "certificate_", "_perturbation"):
            vars(self).pop(name, None)

    def _fit_curvature_of(self, X, y, sample_weight, rows=None):
        """Compute the curvature on the training rows, or on some of them, and start the records."""
        X, codes, weight = check_rows(self, X, y, sample_weight, trusted=True)
        if rows is not None:
            X = X[rows]
            codes = codes[rows]
            weight = None if weight is None else weight[rows]
        self._set_curvature(X, codes, weight)
        self.erasures_ = []
        return self
