"""Retraining from the start and from the present parameters: exact, at the cost of training."""

from comparators.base import Comparator


class Retraining(Comparator):
    """Newton steps from 0 on the retained rows: the truth that others are compared with.

    Parameters
    ----------
    tol : float, default=1e-10
        See `Objective.minimise`.
    """

    name = "retraining"
    reference = "-"
    needs_rows = "all"

    def __init__(self, tol=1e-10):
        self.tol = tol

    def _prepare(self):
        pass

    def _erase(self, index):
        self.theta, self.n_steps = self.objective.minimise(
            self.retained_after(index), self._start(), self.tol
        )

    def _start(self):
        """Parameters to start from; None: 0."""
        return


class WarmStart(Retraining):
    """Newton steps on the retained rows from the present parameters, to the same tolerance."""

    name = "warm start"

    def _start(self):
        return self.theta
