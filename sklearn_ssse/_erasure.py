"""Erasure itself: curvature after fit, the step, and the record of what was done; learning rows is the same step, backwards."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._checks import (
    check_dense,
    check_epsilon,
    check_fresh,
    check_margin,
    check_pairs,
    check_remaining,
    check_rows,
    is_multilabel,
    members,
)
from sklearn_ssse._compat import CallbackSupportMixin, Interval, StrOptions, with_callbacks
from sklearn_ssse._files import checked, stamped
from sklearn_ssse._inverse import INVERSES, INVERSIONS, choose_structure, sizes
from sklearn_ssse._kernels import BACKENDS, choose_backend, load
from sklearn_ssse._plan import Erasure, carry_out
from sklearn_ssse._progress import SILENT, begun
from sklearn_ssse._records import ErasureRecord, ErasureState
from sklearn_ssse._residuals import CURVATURES
from sklearn_ssse._step import make_step, shrunken
from sklearn_ssse.exceptions import ErasureError

# Estimated condition number beyond which some direction counts as flat and wants a larger ridge.
FLAT_CONDITION = 1e9
# Multiplications from which on building the curvature is long work, told to callbacks.
LONG_WORK = 1e7

NO_CURVATURE = (
    "This %(name)s instance is not fitted yet, or has no curvature. Call `fit`, or `fit_curvature` on a fitted model."
)
# What a fit of ours leaves in the object beside what the parent's leaves.
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
PARAMETER_CONSTRAINTS = {
    "curvature": [StrOptions(set(CURVATURES))],
    "structure": [StrOptions({"auto", *INVERSES})],
    "block_size": [Interval(Integral, 1, None, closed="left"), None],
    "rank": [Interval(Integral, 1, None, closed="left"), None],
    "fisher_batch_size": [Interval(Integral, 1, None, closed="left")],
    "damping": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "leave_out": ["boolean", StrOptions({"auto"})],
    "inversion": [StrOptions({"auto", *INVERSIONS})],
    "backend": [StrOptions({"auto", *BACKENDS})],
    "device": [str, None],
    "unlearn_epsilon": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
}


class ErasableMixin(CallbackSupportMixin):
    """Erasure for a classifier whose model family answers the questions of `_families`.

    Attribute ``_traces`` names what training left in the object and an erasure drops. Estimators provide four
    hooks: ``_family()``; ``_plain()``, an unfitted model of the parent class;
    ``_automatic_ridges(batch)``, the ridges of ``damping="auto"`` to be tried in turn until the inverse is well conditioned;
    ``_calibrate(batch, inverse, state)``, an object with a method ``epsilon`` of a `Step` and 1 / eps of random rows as ``random``; or
    None, where that takes long and ``unlearn_epsilon`` is a number.
    """

    _traces = ()

    def fit_curvature(self, X, y, sample_weight=None):
        """Compute the curvature of the fitted model anew, at its present parameters.

        After many erasures the stored inverse, evaluated at the parameters of the fit, grows stale; this makes it fresh. The
        parameters do not change. Class weights stay as they were frozen at fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows that the model rests on now: the training rows without the erased ones.
        y : array-like of shape (n_samples,)
            Their labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights, if the model was fitted with weights.

        Returns
        -------
        self : object

        Raises
        ------
        ErasureError
            If a label was not seen at fit, or the curvature is singular.
        """
        check_is_fitted(self)
        self._validate_params()
        old = getattr(self, "_erasure_state", None)
        self._set_curvature(*check_rows(self, X, y, sample_weight), old and old.class_weight)
        self.erasures_ = list(getattr(self, "erasures_", []))
        return self

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
        epsilon : float, default=None
            Step size eps > 0. None takes the parameter `unlearn_epsilon`.
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
        carry_out([self._work_out((X, y, sample_weight), epsilon=epsilon)])
        return self

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
        return self._work_out((X, y, sample_weight), epsilon=epsilon).record

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
        epsilon : float, default=None
            Step size eps > 0. None takes the parameter `unlearn_epsilon`.
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
        carry_out([self._work_out(come=(X, y, sample_weight), epsilon=epsilon)])
        return self

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
        epsilon : float, default=None
            Step size eps > 0. None takes the parameter `unlearn_epsilon`.
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
        carry_out([self._work_out((X_old, y_old, sample_weight), (X_new, y_new, sample_weight), epsilon)])
        return self

    @property
    def fisher_inverse_(self):
        """Inverse of the damped curvature on the paper's scale, ``(F + lambda I)^-1``, F a mean over rows: (d, d).

        Of a structure other than "full", its dense form. Raises an `ErasureError` if (d, d) numbers do not fit into memory.
        """
        check_is_fitted(self, "curvature_")
        check_dense(self.curvature_.n_parameters)
        return self._erasure_state.mass * self.curvature_.to_dense()

    def __getstate__(self):
        return stamped(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(checked(state))

    @with_callbacks
    def _set_curvature(self, X, codes, weight, class_weight=None):
        """Build everything that erasure needs, then store it."""
        weighted = weight is not None
        weight = np.ones(len(codes)) if weight is None else weight
        class_weight = self._frozen_class_weight(codes, weight) if class_weight is None else class_weight
        weight = weight if class_weight is None else weight * class_weight[codes]
        mass, own = float(weight.sum()), members(codes, len(self.classes_))
        mixed = self.fisher_batch_size > 1
        if mixed and self.leave_out is True:
            raise ErasureError(
                f"Leave-out takes single rows out of the curvature, got fisher_batch_size={self.fisher_batch_size}, which mixes them. "
                "Use fisher_batch_size=1 or leave_out=False."
            )
        family = self._family()
        options = {"block_size": self.block_size, "rank": self.rank, "inversion": self.inversion}
        structure, options = choose_structure(INVERSES, self.structure, family.shapes, options)
        operations = INVERSES[structure].bytes_needed(family.shapes, **sizes(options)) / 8 * len(codes)
        backend = choose_backend(self.backend, operations)
        if self.device is not None and backend != "torch":
            raise ErasureError(
                f"device belongs to backend 'torch', got device={self.device!r} with backend {backend!r}. Leave it out."
            )
        options["kernels"] = load(backend, self.device)
        batch = family.batch(X, codes, weight).on(options["kernels"])
        state = ErasureState(
            curvature=self.curvature,
            n_rows=int((weight > 0).sum()),
            mass=mass,
            class_counts=own[weight > 0].sum(axis=0).astype(np.int64),
            class_mass=weight @ own,
            class_weight=class_weight,
            fit_mass=mass,
            weighted=weighted,
            mixed=mixed,
            calibration=None,
        )
        long = operations >= LONG_WORK
        with begun(self, self._init_callback_context("curvature", max_subtasks=2) if long else None) as progress:
            with progress.task("inverse", None) as batch.progress:
                inverse = self._invert(batch, INVERSES[structure], options, mass)
            batch.progress = SILENT
            with progress.task("calibration"):
                state = replace(state, calibration=self._calibrate(batch, inverse, state))
        self.curvature_ = inverse
        self.structure_ = structure
        self.inversion_ = inverse.inversion
        self.backend_ = backend
        self.damping_ = inverse.ridge / mass if self.damping == "auto" else float(self.damping)
        epsilon = self.unlearn_epsilon
        self.unlearn_epsilon_ = 1 / state.calibration.random if epsilon == "auto" else float(epsilon)
        self.n_samples_remaining_ = state.n_rows
        self._erasure_state = state

    def _invert(self, batch, structure, options, mass):
        scores = batch.scores(self.curvature, self.fisher_batch_size)
        if self.damping != "auto":
            ridge = np.full(batch.n_parameters, mass * self.damping)
            return structure.build(scores, ridge, **options)
        *first, last = self._automatic_ridges(batch)
        for ridge in first:
            try:
                inverse = structure.build(scores, ridge, **options)
            except ErasureError:
                continue
            if inverse.condition < FLAT_CONDITION or ridge is first[-1]:
                return inverse
        return structure.build(scores, last, **options)

    def _frozen_class_weight(self, codes, weight):
        """Weight of each class, or None for a model that knows none."""
        return None

    def _work_out(self, gone=None, come=None, epsilon=None, moved=None):
        """The `Erasure` of rows that leave, and of rows that come: each X, y and sample_weight, or None. Nothing changes.

        The rows come as at fit; those that remain come as they have `Moved` from now on.
        """
        check_is_fitted(self, "curvature_", msg=NO_CURVATURE)
        old, inverse, family = self._erasure_state, self.curvature_, self._family()
        check_fresh(old)
        epsilon = self.unlearn_epsilon if epsilon is None else epsilon
        epsilon = check_epsilon(epsilon, calibrated=old.calibration is not None)
        if moved:
            family, inverse = family.moved(moved, old.n_rows), inverse.moved(moved, family.shapes)
        batch, arriving = (self._batch(family, old, rows, moved) for rows in (gone, come))
        new = check_remaining(
            old,
            self.classes_,
            batch.y,
            batch.weight,
            arriving=(arriving.y, arriving.weight),
            may_vanish=family.classes_may_vanish,
        )
        scores = _collected(batch.scores(old.curvature))
        removal, margin, leverage, shrink = None, np.nan, np.nan, False
        if not old.mixed:
            # Rows come first: what is left after others have gone is better determined then.
            whole = inverse.update(_collected(arriving.scores(old.curvature))) if arriving.n_samples else inverse
            held = scores
            if family.rows_may_differ(old):
                held, removal = shrunken(whole, scores.collect())
            else:
                removal = whole.removal(scores)
            shrink = held is not scores
            margin, leverage = removal.margin, removal.leverage.max(initial=0.0)
            check_margin(margin, whole.condition, batch.n_samples, self.damping_)
        leave_out = self._leave_out(old)
        step = make_step(
            batch, scores, inverse, removal if leave_out else None, old, new, arriving if arriving.n_samples else None
        )
        if epsilon == "auto":
            changed = batch.n_samples + arriving.n_samples
            epsilon = old.calibration.epsilon(step) if changed else 1 / old.calibration.random
        leave_out, damped, step = step.leave_out, step.damped, epsilon * step.direction
        attributes = family.attributes(family.theta + step)
        if not (np.isfinite(step @ step) and _finite(attributes[name] for name in family.parameters)):
            raise ErasureError(
                f"The step must be finite, got overflow at epsilon {epsilon:.3g}. Lower `epsilon` or raise `damping`."
            )
        record = ErasureRecord(
            n_erased=batch.n_samples,
            n_remaining=new.n_rows,
            weight_erased=float(batch.weight.sum()),
            epsilon=float(epsilon),
            curvature=old.curvature,
            structure=self.structure_,
            leave_out=leave_out,
            damped=damped,
            shrunken=shrink,
            margin=float(margin),
            max_leverage=float(leverage),
            relative_shift=float(np.linalg.norm(step) / (np.linalg.norm(family.theta) or 1.0)),
            erased_fraction=float(new.changed / new.fit_mass),
            n_added=arriving.n_samples,
            weight_added=float(arriving.weight.sum()),
        )
        return Erasure(
            model=self,
            record=record,
            attributes=attributes,
            curvature=removal.inverse if removal else lambda: inverse,
            state=replace(
                new,
                stale="of mini-batches of the rows before the last change" if new.mixed else "",
                weighted=old.weighted or (come is not None and come[2] is not None),
            ),
            unweighted=old.weighted and any(rows is not None and rows[2] is None for rows in (gone, come)),
        )

    def _batch(self, family, state, rows, moved=None):
        """Rows of positive weight, class weights included, at the present parameters, their columns moved; none of None."""
        if rows is None:
            shape = (0, state.class_counts.size) if is_multilabel(self) else 0
            return family.batch(np.zeros((0, self.n_features_in_)), np.zeros(shape, dtype=np.int64), np.zeros(0))
        X, codes, weight = check_rows(self, *rows, ensure_min_samples=0)
        X = moved.rows(X) if moved else X
        weight = np.ones(len(codes)) if weight is None else weight
        if not weight.all():
            X, codes, weight = X[weight > 0], codes[weight > 0], weight[weight > 0]
        weight = weight if state.class_weight is None else weight * state.class_weight[codes]
        return family.batch(X, codes, weight)

    def _leave_out(self, state):
        if self.leave_out == "auto":
            return state.curvature == "fisher" and not state.mixed
        if self.leave_out and state.mixed:
            raise ErasureError(
                "Leave-out takes single rows out of the curvature, got a curvature of mini-batches. Set leave_out=False, or "
                "fisher_batch_size=1 and call `fit_curvature`."
            )
        return bool(self.leave_out)


def _collected(scores):
    """Curvature rows in memory where they are few."""
    return scores.collect() if scores.n_rows <= scores.n_parameters else scores


def _finite(values):
    """Whether arrays and lists of arrays are finite."""
    return all(_finite(value) if isinstance(value, list) else np.isfinite(value).all() for value in values)
