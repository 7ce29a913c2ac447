"""Erasure itself: rows that leave a model or join it, in one step."""

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure.changes import Erasure, carry_out
from sklearn_ssse._erasure.downdate_cap import shrunken
from sklearn_ssse._erasure.epsilon import NUMBERS, Multiple, check_epsilon
from sklearn_ssse._erasure.fit_curvature import CurvatureMixin
from sklearn_ssse._erasure.planning import make_step
from sklearn_ssse._erasure.records import ErasureRecord
from sklearn_ssse._erasure.validation import (
    check_fresh,
    check_margin,
    check_pairs,
    check_remaining,
    check_rows,
    is_multilabel,
    row_weights,
)
from sklearn_ssse.exceptions import ErasureError

NO_CURVATURE = (
    "This %(name)s instance is not fitted yet, or has no curvature. Call `fit`, or `fit_curvature` on a fitted model."
)


class ErasableMixin(CurvatureMixin):
    """Erasure for a classifier.

    ``_traces`` names what training left in the object and an erasure drops; ``_search_grid`` is where `TunedEpsilonCV` looks for eps.
    """

    _traces = ()
    _search_grid = NUMBERS

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
        carry_out([self._work_out((X_old, y_old, sample_weight), (X_new, y_new, sample_weight), epsilon)])
        return self

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
            if batch.n_samples and family.rows_may_differ(old):
                held, removal = shrunken(whole, scores.collect())
            else:
                removal = whole.removal(scores)
            shrink = held is not scores
            margin, leverage = removal.margin, removal.leverage.max(initial=0.0)
            if batch.n_samples:
                check_margin(margin, whole.condition, batch.n_samples, self.damping_)
        leave_out = self._leave_out(old)
        step = make_step(
            batch, scores, inverse, removal if leave_out else None, old, new, arriving if arriving.n_samples else None
        )
        if isinstance(epsilon, Multiple):
            changed = batch.n_samples + arriving.n_samples
            epsilon = epsilon.factor * (old.calibration.epsilon(step) if changed else 1 / old.calibration.random)
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
                weighted=old.weighted
                or (come is not None and come[2] is not None and bool((np.asarray(come[2]) != 1).any())),
            ),
            moved=bool(moved),
            unweighted=old.weighted and any(rows is not None and rows[2] is None for rows in (gone, come)),
        )

    def _batch(self, family, state, rows, moved=None):
        """Rows of positive weight, class weights included, at the present parameters, their columns moved; none of None."""
        if rows is None:
            shape = (0, state.class_counts.size) if is_multilabel(self) else 0
            return family.batch(np.zeros((0, self.n_features_in_)), np.zeros(shape, dtype=np.int64), np.zeros(0))
        X, codes, weight = check_rows(self, *rows, ensure_min_samples=0)
        X = moved.rows(X) if moved else X
        weight = row_weights(codes, weight, state.class_weight)
        if not weight.all():
            X, codes, weight = X[weight > 0], codes[weight > 0], weight[weight > 0]
        return family.batch(X, codes, weight)


def _collected(scores):
    """Curvature rows in memory where they are few."""
    return scores.collect() if scores.n_rows <= scores.n_parameters else scores


def _finite(values):
    """Whether arrays and lists of arrays are finite."""
    return all(_finite(value) if isinstance(value, list) else np.isfinite(value).all() for value in values)
