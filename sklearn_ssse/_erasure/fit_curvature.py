"""The curvature of a fitted model: computed after fit, and stored in the model."""

from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.bounds import NoBounds
from sklearn_ssse._erasure.bounds_at_fit import bounds_at_fit, reason_for_none
from sklearn_ssse._erasure.budget import budget_of, over_budget
from sklearn_ssse._erasure.certificate import check_trained_with
from sklearn_ssse._erasure.changes import assign_together
from sklearn_ssse._erasure.epsilon import usual_epsilon
from sklearn_ssse._erasure.guards import check_dense
from sklearn_ssse._erasure.objective import FIXED_AT_CURVATURE, check_objective
from sklearn_ssse._erasure.path import Path
from sklearn_ssse._erasure.penalty_damping import penalty_ridges
from sklearn_ssse._erasure.records import ErasureState
from sklearn_ssse._erasure.row_limits import RowLimits
from sklearn_ssse._erasure.shares import diagonal_weights, expected_square
from sklearn_ssse._erasure.tracking import tracked_rows
from sklearn_ssse._erasure.validation import check_rows, class_indicator, row_weights
from sklearn_ssse._families import objective_of
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._inverse import INVERSES, choose_structure, sizes
from sklearn_ssse._kernels import choose_backend, load
from sklearn_ssse._saved_format import checked, stamped, with_new_parameters
from sklearn_ssse._utils.compat import CallbackSupportMixin, with_callbacks
from sklearn_ssse._utils.locks import exclusive, itself
from sklearn_ssse._utils.progress import SILENT, begun
from sklearn_ssse._utils.warnings import warn
from sklearn_ssse.exceptions import ErasureError

# Estimated condition number above which the curvature has a flat direction and needs more ridge.
FLAT_CONDITION = 1e9
# Estimated condition number above which all automatic ridges but the last one are too small: an
# erasure would need a margin of more than .2.
LARGEST_CONDITION = 1e12
# Number of multiplications from which a build reports its progress to callbacks.
LONG_WORK = 1e7

# Attributes that `fit` sets in addition to the fitted attributes of the parent class.
FITTED = (
    "curvature_",
    "structure_",
    "inversion_",
    "backend_",
    "damping_",
    "unlearn_epsilon_",
    "n_samples_remaining_",
    "erasures_",
    "_erasure_state",
)


class CurvatureMixin(CallbackSupportMixin):
    """A classifier with the inverse of its Fisher information.

    An estimator implements

    - ``_family()``, the `Family` of the fitted model;
    - ``_automatic_ridges(batch)``, the ridges of ``damping="auto"``, each of shape (d,), which are
      tried in turn until the inverse is well conditioned;
    - ``_calibrate(batch, inverse, state)``, an object with a method ``epsilon(step)`` and an
      attribute ``random``, 1 / eps for random rows; or None if ``unlearn_epsilon`` is a number.

    It may implement ``_penalty_ridges(batch)``, the ridges of ``damping="penalty"`` in the same
    form, and ``_left_by_training(batch, inverse)``: the gradient of the penalised objective that an
    erasure removes, (d,), or None; a warning, or an empty str; and the gradient itself.
    ``_inverses`` are the structures that it takes.
    """

    _inverses = INVERSES

    @exclusive(itself)
    def fit_curvature(self, X, y, sample_weight=None):
        """Compute the curvature of the fitted model anew, at its present parameters.

        The stored inverse was computed at the parameters of the fit. Each erasure changes the
        parameters, so that the inverse becomes less accurate. This method computes it at the
        present parameters, which do not change. The class weights of `fit` are kept. A change of
        the penalty, such as ``set_params(C=10)``, holds from then on. `refresh` also trains the
        model on the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The retained rows: the training rows without the erased rows and with the added rows.
        y : array-like of shape (n_samples,)
            The labels of the retained rows.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights of the retained rows, if the model was fitted with weights.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If a label was not seen at fit; if the curvature is singular in spite of its damping, or
            overflows; if the inverse does not fit into memory; if `fit_intercept`, or `activation`
            or `hidden_layer_sizes` of a network, was changed after the fit.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Warns
        -----
        ErasureWarning
            If a logistic regression is far from the minimum of its objective on these rows, and
            erasures cannot remove the gradient that is left there: many rows were erased or added
            since the last fit, these are other rows, or training stopped long before the minimum.
            `refresh` removes it.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = ErasableLogisticRegression(max_iter=500).fit(X, y).unlearn(X[:10], y[:10])
        >>> clf.preview_unlearn(X[10:11], y[10:11]).erased_fraction > 1 / 140
        True
        >>> clf = clf.fit_curvature(X[10:], y[10:])
        >>> clf.preview_unlearn(X[10:11], y[10:11]).erased_fraction == 1 / 140
        True
        """
        check_is_fitted(self)
        self._validate_params()
        check_objective(self, FIXED_AT_CURVATURE)
        old = getattr(self, "_erasure_state", None)
        self._set_curvature(*check_rows(self, X, y, sample_weight), old and old.class_weight)
        self.erasures_ = list(getattr(self, "erasures_", []))
        return self

    @property
    def refresh_recommended_(self):
        """The reason for which a refresh of the model is recommended, in words; empty if none.

        A stream of erasures makes the stored curvature less accurate. A refresh is recommended if
        more than 10 % of the rows were erased or added since the curvature was computed (25 % with
        steps of second order), more than 25 % of a class or 30 % of the curvature was erased, if
        the erased rows had more influence than a random 18 % of the rows (30 %), or if a step of
        second order was not reliable, see `docs/method.md`.

        Returns
        -------
        str

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        check_is_fitted(self, "curvature_")
        state = self._erasure_state
        return state.path.recommended or over_budget(self, state.bounds)

    @property
    def erasure_budget_(self):
        """The bounds of all erasures since the curvature was computed, see `docs/bounds.md`.

        Returns
        -------
        ErasureBudget
            A named tuple: `gradient`, a bound of the norm of the gradient that is left on the
            retained rows, on the scale of a sum over rows; `parameters`, a bound of the distance to
            the retrained model in standard errors; `limit`, beyond which a refresh is recommended;
            and `reason`, if there is no bound. `refresh` empties the sums.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the model is not fitted.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from sklearn_ssse import ErasableLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = ErasableLogisticRegression(C=0.01, curvature="fisher").fit(scale(X), y)
        >>> clf.unlearn(scale(X)[:5], y[:5]).erasure_budget_.parameters < 0.1
        True
        """
        check_is_fitted(self, "curvature_")
        return self._erasure_state.bounds.budget(budget_of(self))

    @property
    def fisher_inverse_(self):
        """Inverse of the damped curvature on the paper's scale, ``(F + lambda I)^-1``, (d, d).

        F is a mean over rows. For a structure other than 'full' this is the dense form of the
        stored inverse.

        Returns
        -------
        ndarray of shape (d, d)

        Raises
        ------
        ErasureError
            If (d, d) numbers do not fit into memory.
        sklearn.exceptions.NotFittedError
            If the model is not fitted.
        """
        check_is_fitted(self, "curvature_")
        check_dense(self.curvature_.n_parameters)
        return self._erasure_state.mass * self.curvature_.to_dense()

    def __getstate__(self):
        return stamped(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(with_new_parameters(checked(state), type(self)))

    @with_callbacks
    def _set_curvature(self, X, codes, weight, class_weight=None):
        """Compute the inverse and the calibration of eps, then store them."""
        check_trained_with(self)
        state = self._new_state(codes, weight, class_weight)
        tracked = tracked_rows(self, X, codes, weight)
        weight = row_weights(codes, weight, state.class_weight)
        family = self._family()
        structure, options, operations = self._choose_structure(family, len(codes))
        backend = self._choose_backend(operations)
        kernels = load(backend, self._device())
        options["kernels"] = kernels
        batch = family.batch(X, codes, weight).on(kernels)
        context = None
        if operations >= LONG_WORK:
            context = self._init_callback_context("curvature", max_subtasks=2)
        with begun(self, context) as progress:
            with progress.task("inverse", None) as batch.progress:
                scores = batch.scores(self.curvature, self.fisher_batch_size)
                no_bounds = reason_for_none(self, structure, state)
                scores = scores if no_bounds else scores.keeping_gram()
                kind = self._inverses[structure]
                inverse = self._invert(batch, scores, kind, options, state.mass)
            batch.progress = SILENT
            with progress.task("calibration"):
                calibration = self._calibrate(batch, inverse, state)
                residual, warning, gradient = self._left_by_training(batch, inverse)
                second_order = self._second_order(batch, inverse, state)
                bounds = NoBounds(no_bounds)
                if not no_bounds:
                    left = gradient if residual is None else gradient - residual
                    has_third = second_order is not None
                    bounds = bounds_at_fit(self, batch, inverse, scores.kept_gram, left, has_third)
                state = replace(
                    state,
                    calibration=calibration,
                    residual=residual,
                    diagonal_weights=diagonal_weights(inverse),
                    expected_square=expected_square(batch, inverse) or np.inf,
                    path=Path(second_order=second_order),
                    limits=RowLimits.of(batch),
                    order=1 if second_order is None else 2,
                    bounds=bounds,
                    tracked=tracked,
                )
        if warning:
            warn(warning)
        by_parameter = isinstance(self.damping, str)
        attributes = {
            "curvature_": inverse,
            "structure_": structure,
            "inversion_": inverse.inversion,
            "backend_": backend,
            "damping_": inverse.ridge / state.mass if by_parameter else float(self.damping),
            "unlearn_epsilon_": usual_epsilon(self.unlearn_epsilon, state.calibration),
            "n_samples_remaining_": state.n_rows,
            "_erasure_state": state,
        }
        assign_together([(self, {**vars(self), **attributes})])

    def _new_state(self, codes, weight, class_weight):
        """The `ErasureState` of the rows, before the calibration of eps."""
        minibatch = self.fisher_batch_size > 1
        if minibatch and self.leave_out is True:
            raise ErasureError(
                f"Leave-out needs fisher_batch_size=1, got {self.fisher_batch_size}: single rows "
                "cannot leave a curvature of mini-batches. Use fisher_batch_size=1 or "
                "leave_out=False."
            )
        weighted = weight is not None
        if class_weight is None:
            class_weight = self._frozen_class_weight(codes, weight)
        weight = row_weights(codes, weight, class_weight)
        mass = float(weight.sum())
        own = class_indicator(codes, len(self.classes_))
        return ErasureState(
            curvature=self.curvature,
            n_rows=int((weight > 0).sum()),
            mass=mass,
            class_counts=own[weight > 0].sum(axis=0).astype(np.int64),
            class_mass=weight @ own,
            class_weight=class_weight,
            fit_mass=mass,
            fit_class_mass=weight @ own,
            weighted=weighted,
            minibatch=minibatch,
            calibration=None,
            objective=objective_of(self),
            refreshes=getattr(vars(self).get("_erasure_state"), "refreshes", 0),
        )

    def _choose_structure(self, family, n_samples):
        """Name of the structure, its options, and the number of multiplications of its build."""
        given = {"block_size": self.block_size, "rank": self.rank, "inversion": self.inversion}
        per_sample = CURVATURES[self.curvature].rows_per_sample(family.n_outputs)
        n_rows = -(-n_samples // self.fisher_batch_size) * per_sample
        name, options = choose_structure(
            self._inverses, self.structure, family.shapes, given, n_rows
        )
        kind = self._inverses[name]
        numbers = kind.bytes_needed(family.shapes, **sizes(kind, options, n_rows)) / 8
        return name, options, numbers * n_samples

    def _device(self):
        """The device of the backend."""
        return self.device

    def _choose_backend(self, operations):
        """Name of the backend for a build of this number of multiplications."""
        backend = choose_backend(self.backend, operations)
        if self.device is not None and backend != "torch":
            raise ErasureError(
                f"device must be given with backend 'torch' only, got device={self.device!r} with "
                f"backend {backend!r}. Use backend='torch', or omit device."
            )
        return backend

    def _invert(self, batch, scores, structure, options, mass):
        """The inverse; if `damping` is a name, with the first ridge that conditions it well."""
        if not isinstance(self.damping, str):
            ridge = np.full(batch.n_parameters, mass * self.damping)
            return structure.build(scores, ridge, **options)
        build = partial(structure.build, scores, **options)
        ridges = {"auto": self._automatic_ridges, "penalty": self._penalty_ridges}[self.damping]
        return first_well_conditioned(build, ridges(batch))

    def _penalty_ridges(self, batch):
        """The ridges of ``damping="penalty"``, each of shape (d,), to try in turn."""
        return penalty_ridges(batch)

    def _left_by_training(self, batch, inverse):
        """The gradient that training left, here taken as zero, and no warning."""
        return None, "", None

    def _second_order(self, batch, inverse, state):
        """The `SecondOrder` of the training rows; None if steps are of first order."""
        return None

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class, or None for a model without class weights."""
        return None

    def _leave_out(self, state):
        """Whether a step uses the curvature of the rows after the change."""
        if self.leave_out == "auto":
            return CURVATURES[state.curvature].leave_out and not state.minibatch
        if self.leave_out and state.minibatch:
            raise ErasureError(
                "Leave-out needs a curvature of single rows, got a curvature of mini-batches. Set "
                "leave_out=False, or set fisher_batch_size=1 and call `fit_curvature`."
            )
        return bool(self.leave_out)


def first_well_conditioned(build, ridges):
    """The inverse with the first ridge that makes it well conditioned.

    Parameters
    ----------
    build : callable
        Builds the inverse with a ridge, or raises `ErasureError`.
    ridges : list
        The last one is for a curvature that none of the others makes positive definite.

    Returns
    -------
    AbstractInverse
    """
    *first, last = ridges
    for ridge in first:
        try:
            inverse = build(ridge)
        except ErasureError:
            continue
        largest = FLAT_CONDITION if ridge is not first[-1] else LARGEST_CONDITION
        if inverse.condition < largest:
            return inverse
    return build(last)
