"""The curvature of a fitted model: built after fit, and kept."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.epsilon import MultiplesOfAuto, usual_epsilon
from sklearn_ssse._erasure.records import ErasureState
from sklearn_ssse._erasure.validation import check_dense, check_rows, members, row_weights
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._inverse import INVERSES, INVERSIONS, choose_structure, sizes
from sklearn_ssse._kernels import BACKENDS, choose_backend, load
from sklearn_ssse._saved_format import checked, stamped
from sklearn_ssse._utils.compat import CallbackSupportMixin, Interval, StrOptions, with_callbacks
from sklearn_ssse._utils.progress import SILENT, begun
from sklearn_ssse.exceptions import ErasureError

# Estimated condition number beyond which some direction counts as flat and wants a larger ridge.
FLAT_CONDITION = 1e9
# Multiplications from which on building the curvature is long work, told to callbacks.
LONG_WORK = 1e7

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
    "unlearn_epsilon": [Interval(Real, 0, None, closed="neither"), MultiplesOfAuto()],
}


class CurvatureMixin(CallbackSupportMixin):
    """A classifier with the inverse of its Fisher information, whose model family answers the questions of `_families`.

    Estimators provide four hooks: ``_family()``; ``_plain()``, an unfitted model of the parent class;
    ``_automatic_ridges(batch)``, the ridges of ``damping="auto"`` to be tried in turn until the inverse is well conditioned;
    ``_calibrate(batch, inverse, state)``, an object with a method ``epsilon`` of a `Step` and 1 / eps of random rows as ``random``; or
    None, where that takes long and ``unlearn_epsilon`` is a number.
    """

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
        class_weight = (
            self._frozen_class_weight(codes, weight) if class_weight is None else class_weight
        )
        weight = row_weights(codes, weight, class_weight)
        mass, own = float(weight.sum()), members(codes, len(self.classes_))
        minibatch = self.fisher_batch_size > 1
        if minibatch and self.leave_out is True:
            raise ErasureError(
                f"Leave-out takes single rows out of the curvature, got fisher_batch_size={self.fisher_batch_size}, which mixes them. "
                "Use fisher_batch_size=1 or leave_out=False."
            )
        family = self._family()
        options = {"block_size": self.block_size, "rank": self.rank, "inversion": self.inversion}
        structure, options = choose_structure(INVERSES, self.structure, family.shapes, options)
        operations = (
            INVERSES[structure].bytes_needed(family.shapes, **sizes(options)) / 8 * len(codes)
        )
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
            minibatch=minibatch,
            calibration=None,
        )
        long = operations >= LONG_WORK
        with begun(
            self, self._init_callback_context("curvature", max_subtasks=2) if long else None
        ) as progress:
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
        self.unlearn_epsilon_ = usual_epsilon(self.unlearn_epsilon, state.calibration)
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

    def _leave_out(self, state):
        if self.leave_out == "auto":
            return CURVATURES[state.curvature].leave_out and not state.minibatch
        if self.leave_out and state.minibatch:
            raise ErasureError(
                "Leave-out takes single rows out of the curvature, got a curvature of mini-batches. Set leave_out=False, or "
                "fisher_batch_size=1 and call `fit_curvature`."
            )
        return bool(self.leave_out)
