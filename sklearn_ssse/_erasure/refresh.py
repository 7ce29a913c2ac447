"""The refresh of a model: it is trained from its present parameters on the retained rows."""

from copy import deepcopy

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import Change, carry_out
from sklearn_ssse._erasure.fit_curvature import CurvatureMixin
from sklearn_ssse._erasure.objective import FIXED_AT_REFRESH, check_objective
from sklearn_ssse._erasure.planning import NO_CURVATURE
from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse._erasure.validation import check_rows, class_indicator
from sklearn_ssse._utils.locks import exclusive, itself
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError


class RefreshMixin(CurvatureMixin):
    """A classifier with the verb `refresh`.

    An estimator sets ``_parent``, the scikit-learn class that it extends. It may override
    ``_train_further(given, checked)``, which trains it, in place, from its present parameters.
    """

    _parent: type | None = None

    @exclusive(itself)
    def refresh(self, X, y, sample_weight=None):
        """Train the model on the retained rows from its present parameters, in place.

        Each erasure is an approximation, and it makes the curvature less accurate for the next one.
        A refresh removes both errors. Use it when the retained rows are at hand, and
        `fit_curvature` to compute the curvature alone.

        - Logistic regression reaches the minimum of its objective on these rows, which is the model
          that training again would reach: by Newton steps with the exact Hessian, until
          scikit-learn's own criterion holds (the largest derivative of the mean objective is at
          most `tol`) and the next step is a millionth of the effect of one row. This takes a
          few passes over the rows. With more than 4000 parameters, or if the Hessian does not fit
          into memory, scikit-learn's solver is used instead, with a warm start and a thousandth of
          `tol`; `liblinear` has no warm start and begins anew.
        - A network is trained further by scikit-learn's own `fit` with ``warm_start=True``, for at
          most `max_iter` iterations. Early stopping is off, because a row that was held out now may
          have been trained on before: all rows are trained on, for at most as many epochs as the
          last training took.

        Parameters that were changed after the fit, such as `C`, `solver`, `class_weight` or
        `alpha`, have their new values from then on. The curvature, the damping and the calibration
        of eps are then computed anew, and class weights of 'balanced', too. `erasures_` does not
        change. The call is atomic: after any error, or if it is interrupted, the model is
        unchanged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_remaining_, n_features)
            The retained rows: the training rows without the erased rows and with the added rows.
            Rows that were held out for early stopping are not among them; to train on these, too,
            call `fit_curvature` on all rows first.
        y : array-like of shape (n_samples_remaining_,)
            The labels of the retained rows.
        sample_weight : array-like of shape (n_samples_remaining_,), default=None
            The weights of the retained rows, if the model was fitted with weights. Rows of weight 0
            are not counted.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If the number of rows, or of rows of a class, is not the number that the model holds; if
            a label was not seen at fit; if the curvature is singular in spite of its damping; if
            the inverse does not fit into memory; if `activation` or `hidden_layer_sizes` of a
            network was changed after the fit.
        ValueError
            If X, y or the weights are not valid input for this model.
        sklearn.exceptions.NotFittedError
            If the model has no curvature.

        Warns
        -----
        ErasureWarning
            If the model was fitted with weights and `sample_weight` is missing; if a logistic
            regression is still far from the minimum.
        ConvergenceWarning
            If training stopped before its criterion held.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression, parameter_distance
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> exact = {"solver": "newton-cholesky", "tol": 1e-10}
        >>> original = ErasableLogisticRegression(**exact).fit(X, y)
        >>> refreshed = ErasableLogisticRegression().fit(X, y).unlearn(X[:40], y[:40])
        >>> refreshed = refreshed.refresh(X[40:], y[40:])
        >>> retrained = ErasableLogisticRegression(**exact).fit(X[40:], y[40:])
        >>> parameter_distance(original, refreshed, retrained) < 1e-3
        True
        """
        carry_out([], [self._refreshed(X, y, sample_weight)])
        return self

    def _refreshed(self, X, y, sample_weight=None):
        """The `Change` to the refreshed model; this model does not change."""
        check_is_fitted(self, "curvature_", msg=NO_CURVATURE)
        self._validate_params()
        check_objective(self, FIXED_AT_REFRESH)
        self._family()  # refuses a penalty without a Hessian, and a network of other sizes
        state = self._erasure_state
        checked = check_rows(self, X, y, sample_weight)
        _check_counts(state, self.classes_, *checked[1:])
        if state.weighted and sample_weight is None:
            warn(
                "The retained rows need weights, as the model was fitted with sample_weight, got "
                "none: each row was given weight 1. Pass the weights of the retained rows."
            )
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin._train_further((X, y, sample_weight), checked)
        vars(twin)["_erasure_state"] = replace_fields(state, {"refreshes": state.refreshes + 1})
        twin._set_curvature(*checked)
        dropped = tuple(vars(self).keys() - vars(twin).keys())
        return Change(self, vars(twin), dropped)

    def _train_further(self, given, checked):
        """Train from the present parameters, in place.

        Parameters
        ----------
        given : tuple (X, y, sample_weight)
            The rows as the user passed them, which the parent's `fit` takes.
        checked : tuple (X, codes, sample_weight)
            The same rows after `check_rows`.
        """
        self._fit_parent(given)

    def _fit_parent(self, given, **params):
        """The parent's `fit` with some parameters replaced, with a warm start if it has one.

        A generator of random numbers in `random_state` is copied: if training fails, it is as it
        was.
        """
        names = self._parent._get_param_names()
        if "warm_start" in names:
            params["warm_start"] = True
        if "random_state" in names:
            params["random_state"] = deepcopy(self.random_state)
        before = {name: getattr(self, name) for name in params}
        vars(self).update(params)
        self._parent.fit(self, *given)
        vars(self).update(before)


def _check_counts(state, classes, codes, weight):
    """Refuse rows whose number, in all or of a class, is not the number that the model holds."""
    codes = codes if weight is None else codes[weight > 0]
    counts = class_indicator(codes, len(classes)).sum(axis=0)
    differs = counts != state.class_counts
    if len(codes) != state.n_rows:
        must = f"be the {state.n_rows} rows of positive weight that the model holds"
        got = len(codes)
    elif differs.any():
        c = int(np.argmax(differs))
        must = f"have {state.class_counts[c]} rows of class {classes[c]!s}, as the model holds"
        got = int(counts[c])
    else:
        return
    raise ErasureError(
        f"The retained rows must {must}, got {got}. Pass the training rows without the erased rows "
        "and the rows held out for early stopping, and with the added rows."
    )
