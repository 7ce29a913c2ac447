"""The rows that a call erases and adds, checked before the step and by the size of the step."""

from typing import Any, NamedTuple

from sklearn_ssse._erasure.row_limits import RowLimits, check_label_odds, check_norms, norms_of_rows
from sklearn_ssse._erasure.shares import TINY
from sklearn_ssse._erasure.step_size import (
    StepSize,
    check_size,
    check_size_late,
    doubts_of_added_labels,
    doubts_of_added_norms,
    doubts_of_forget_labels,
    doubts_of_net,
    doubts_of_step,
)


class ChangedRows(NamedTuple):
    """The forget rows and the added rows, with the log-odds of their labels before the step.

    Attributes
    ----------
    batch, added : Batch
    log_odds : list of two ndarray of shape (n_rows, n_outputs)
        Of the forget rows and of the added rows.
    limits : RowLimits
        Of the training rows after the change.
    added_norm : float
        Largest norm of an added row, as a multiple of the largest norm of a training row.
    """

    batch: Any
    added: Any
    log_odds: list
    limits: RowLimits
    added_norm: float

    @classmethod
    def checked(cls, batch, added, before, inverse):
        """The rows, or an error if forget rows were not among the training rows."""
        theta = batch.family.theta
        limits = before.limits
        log_odds = [None, None]
        added_norm = 0.0
        if batch.n_samples:
            check_norms(batch, limits)
            log_odds[0] = batch.log_odds(theta)[0]
            check_label_odds(batch, log_odds[0], before, inverse)
        if added.n_samples:
            norms = norms_of_rows(added.X)
            log_odds[1] = added.log_odds(theta)[0]
            added_norm = norms.max() / max(limits.largest_norm, TINY)
            limits = limits.with_added(norms, log_odds[1])
        return cls(batch, added, log_odds, limits, float(added_norm))

    def sizes(self, moved):
        """The `StepSize` of a step to parameters ``moved``, for the forget and the added rows."""
        out = []
        for rows, log_odds in zip((self.batch, self.added), self.log_odds, strict=True):
            after = None if log_odds is None else rows.log_odds(moved)[0]
            out.append(StepSize.of(log_odds, after, rows.weight))
        return out

    def judged(self, moved, before, after, step, inverse):
        """The `StepSize` of a step, and doubts about it; an error for a step that ruins the model.

        Parameters
        ----------
        moved : ndarray of shape (d,)
            The parameters after the step.
        before, after : ErasureState
        step : tuple of float
            The length of the step as a multiple of the norm of the parameters, eps as a multiple of
            the automatic one, and eps.
        inverse : AbstractInverse
            The stored inverse.

        Returns
        -------
        size : StepSize
        doubts : tuple of str
        """
        length, multiple, epsilon = step
        forget, added = self.sizes(moved)
        size = forget.joined(added)
        # An added row may have any label: its log-odds may change by any amount.
        check_size(forget, before.limits, epsilon)
        doubts = doubts_of_added_norms(self.added_norm)
        if not self.batch.family.is_convex:
            doubts += doubts_of_forget_labels(forget, before, after)
            doubts += doubts_of_added_labels(added, before.limits)
            return size, (*doubts, *doubts_of_net(length, multiple, epsilon))
        if before.path.recommended:
            check_size_late(forget)
        return size, (*doubts, *doubts_of_step(size, multiple, epsilon, is_whole=inverse.is_matrix))
