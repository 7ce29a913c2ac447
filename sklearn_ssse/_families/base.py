"""Models, and rows of data under a model: what does not depend on the family."""

from copy import copy

import numpy as np

from sklearn_ssse._families.affine import moved_layer
from sklearn_ssse._gradients.curvatures import CURVATURES, gradient
from sklearn_ssse._gradients.streams import ScoreStream, SignedStream
from sklearn_ssse._utils.progress import SILENT


class Family:
    """A model's parameters ``theta`` in layers of ``shapes``; subclasses know its fitted attributes and its penalty.

    Attribute ``carried`` is what a change of the columns adds to the erased gradient: theta does not minimise the penalised objective any
    more. 0 for a model as it was fitted.
    """

    carried = 0.0

    def moved(self, moved, n_rows):
        """The same model for columns that have `Moved`: every row is predicted as before.

        Parameters
        ----------
        moved : Moved
        n_rows : int
            The rows that the model rests on.
        """
        out = copy(self)
        penalty = self.penalty(n_rows)
        out.theta = moved_layer(self.theta, self.shapes, moved.parameters)
        out.carried = moved_layer(penalty * self.theta, self.shapes, moved.gradients) - penalty * out.theta
        return out


class Batch:
    """Rows X, labels y and weights under a ``family``; subclasses run its forward and backward pass in ``layers(rows, curvature)``.

    Attribute ``progress`` is told of every pass over the rows.
    """

    progress = SILENT

    def on(self, kernels):
        """The batch with its passes made by the kernels; itself where a pass is one product."""
        return self

    def rows_per_sample(self, curvature):
        return 1 if CURVATURES[curvature] is gradient else self.family.n_outputs

    def targets(self, rows=slice(None)):
        """Labels by output, (n_samples, n_outputs): one-hot, or those of a multi-label problem as they are."""
        y = self.y[rows]
        if y.ndim == 2:
            return y.astype(np.float64)
        if self.family.link == "logistic":
            return y[:, np.newaxis].astype(np.float64)
        return np.eye(self.family.n_outputs)[y]

    def scores(self, curvature, batch_size=1):
        """The curvature rows of the batch; with ``batch_size`` > 1 signed sums of so many."""
        return ScoreStream(self, curvature) if batch_size == 1 else SignedStream(self, curvature, batch_size)
