"""The verbs of an erasable estimator, and how it is made from a plain model and becomes one."""

import copy

from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import carry_out
from sklearn_ssse._erasure.epsilon import ABSOLUTE_GRID
from sklearn_ssse._erasure.fit_curvature import FITTED, CurvatureMixin
from sklearn_ssse._erasure.planning import plan_erasure
from sklearn_ssse._erasure.validation import check_pairs, check_rows


class ErasableMixin(CurvatureMixin):
    """The verbs of a classifier that training rows can be erased from.

    An estimator sets

    - ``_parent``, the scikit-learn class that it extends;
    - ``_parent_fitted``, names of the fitted attributes of that class, or None for all;
    - ``_traces``, names of the attributes that training left and an erasure deletes;
    - ``_search_grid``, the grid in which `TunedEpsilonCV` looks for eps.
    """

    _parent = None
    _parent_fitted = None
    _traces = ()
    _search_grid = ABSOLUTE_GRID

    def unlearn(self, X, y, epsilon=None, *, sample_weight=None):
        """Erase training rows from the model, in place, in one step.

        Equation (4) of the method, ``theta + eps / (n - k) F^-1 sum_S grad l_i(theta)``, or with leave-out equation (1),
        whose curvature is the one without the rows. The stored inverse is downdated exactly in either case. The call is
        atomic: after any error the model is as it was.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_erased, n_features)
            The rows to erase, as they were given to `fit`. Whether a row was there cannot be known.
        y : array-like of shape (n_erased,)
            The labels that the rows had at `fit`.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_erased,), default=None
            The weights that the rows had at `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If the rows are more than remain, the last ones of a class, or of an unseen class; if the curvature without them
            would be singular; if `epsilon` is not a positive number.
        ValueError
            If X, y or the weights are not valid input for this model.

        Warns
        -----
        ErasureWarning
            If the rows dominate the curvature, so that a leave-out step is unreliable and was damped; if the model was fitted
            with weights and `sample_weight` is missing.

        Notes
        -----
        Erasing no rows changes nothing and leaves no record.
        """
        return self._carry_out((X, y, sample_weight), epsilon=epsilon)

    def preview_unlearn(self, X, y, epsilon=None, *, sample_weight=None):
        """What `unlearn` would do with the same arguments; changes nothing.

        Parameters
        ----------
        X, y, epsilon, sample_weight
            See `unlearn`.

        Returns
        -------
        ErasureRecord
            The record that `unlearn` would leave in `erasures_`.

        Raises
        ------
        ErasureError, ValueError
            As `unlearn` would.
        """
        return self._plan_erasure((X, y, sample_weight), epsilon=epsilon).record

    def learn(self, X, y, epsilon=None, *, sample_weight=None):
        """Add training rows to the model, in place, in one step: the mirror image of `unlearn`.

        The step is ``theta - eps * P sum_N grad l_i(theta)`` over the new rows N, P the inverse curvature with them (leave-out), or
        ``n / (n + k)`` times that without them. The stored inverse is updated exactly in either case. The call is atomic.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_added, n_features)
            The rows to add.
        y : array-like of shape (n_added,)
            Their labels, of classes seen at fit: a new class needs a model that is fitted anew.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_added,), default=None
            Their weights.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If a label was not seen at fit; if the curvature is not that of the model as it is; if `epsilon` is not a positive number.
        ValueError
            If X, y or the weights are not valid input for this model.

        Warns
        -----
        ErasureWarning
            If the model was fitted with weights and `sample_weight` is missing.

        Notes
        -----
        The record in `erasures_` has ``n_added`` and ``weight_added``. Learning no rows changes nothing and leaves no record.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> original, learned = (ErasableLogisticRegression(curvature="fisher").fit(X[20:], y[20:]) for _ in range(2))
        >>> learned.learn(X[:20], y[:20]).n_samples_remaining_
        569
        >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        >>> parameter_distance(original, learned, retrained) < 0.3
        True
        """
        return self._carry_out(added=(X, y, sample_weight), epsilon=epsilon)

    def rectify(self, X_old, y_old, X_new, y_new, epsilon=None, *, sample_weight=None):
        """Replace training rows by their corrected version, in place, in one step: `unlearn` and `learn` at once.

        The step is ``theta + eps * P (sum_old grad l_i(theta) - sum_new grad l_i(theta))``, P the inverse curvature without the old rows
        and with the new ones (leave-out), or n before by n after times that of before. The call is atomic.

        Parameters
        ----------
        X_old : {array-like, sparse matrix} of shape (n_rows, n_features)
            The rows as they were given to `fit`.
        y_old : array-like of shape (n_rows,)
            The labels that they had at `fit`.
        X_new, y_new
            The same rows with right features and labels, in the same order. The labels must be of classes seen at fit.
        epsilon : float or str, default=None
            Step size eps > 0, 'auto' or a multiple of it such as '0.5*auto'. None takes the parameter `unlearn_epsilon`.
        sample_weight : array-like of shape (n_rows,), default=None
            The weights that the rows had at `fit`, and keep.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError, ValueError
            As `unlearn` would for the old rows and `learn` for the new ones; if they differ in number.

        Warns
        -----
        ErasureWarning
            As `unlearn` would.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X, wrong = scale(X), y.copy()
        >>> wrong[:10] = 1 - y[:10]
        >>> original, rectified = (ErasableLogisticRegression(curvature="fisher").fit(X, wrong) for _ in range(2))
        >>> retrained = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        >>> rectified = rectified.rectify(X[:10], wrong[:10], X[:10], y[:10])
        >>> parameter_distance(original, rectified, retrained) < 0.9
        True
        """
        check_pairs(X_old, X_new)
        forget = (X_old, y_old, sample_weight)
        added = (X_new, y_new, sample_weight)
        return self._carry_out(forget, added, epsilon)

    def _plan_erasure(self, forget=None, added=None, epsilon=None, column_map=None):
        """See `planning.plan_erasure`."""
        return plan_erasure(self, forget, added, epsilon, column_map)

    def _carry_out(self, forget=None, added=None, epsilon=None):
        """Erase rows and add rows, each X, y and sample_weight."""
        erasure = self._plan_erasure(forget, added, epsilon)
        erasure.warn()
        carry_out([erasure])
        return self

    def to_plain(self):
        """The model as scikit-learn's own class: same predictions, no curvature inside.

        Returns
        -------
        estimator
            A fitted model of the parent class, such as `LogisticRegression`. It holds copies of
            this model's parameters and nothing else of it.

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
        own = self.get_params(deep=False)
        names = self._parent._get_param_names()
        return self._parent(**{name: own[name] for name in names if name in own})

    @classmethod
    def _from_fitted(cls, fitted, given, X, y, sample_weight, params):
        """An erasable twin of a fitted model with the parameters ``given``, overruled by ``params``."""
        names = set(cls._get_param_names())
        own = {name: value for name, value in given.items() if name in names}
        model = cls(**{**own, **params})
        cls._copy_fitted(fitted, model)
        return model.fit_curvature(X, y, sample_weight)

    @classmethod
    def _copy_fitted(cls, source, target):
        """Copy the attributes that `fit` of the parent class leaves in an object."""
        names = cls._parent_fitted
        if names is None:
            params = {*source.get_params(deep=False), *target.get_params(deep=False)}
            names = vars(source).keys() - params - {*FITTED, "_skl_callbacks"}
        for name in names:
            if name in vars(source):
                setattr(target, name, copy.deepcopy(vars(source)[name]))

    def _drop_curvature(self):
        """Delete the curvature of an earlier fit, so that a fit that fails leaves none."""
        for name in ("curvature_", "_erasure_state"):
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
