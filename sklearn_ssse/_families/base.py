"""Fitted models and rows of data: the code that all model families share."""

from copy import copy
from functools import singledispatch

import numpy as np

from sklearn_ssse._families.affine import map_first_layer
from sklearn_ssse._gradients import CURVATURES, GRADIENT, Scores, ScoreStream, SignedStream
from sklearn_ssse._utils.progress import SILENT
from sklearn_ssse.exceptions import ErasureError


@singledispatch
def pack(estimator):
    """Parameters of a fitted classifier as one float64 vector, (d,), in the layout of its family.

    A family registers its function for the plain class. The default reads a linear classifier.
    """


class Family:
    """Parameters ``theta`` of a fitted model, in layers of ``shapes``.

    Subclasses hold its fitted attributes and its penalty. A third party's family implements

    - the attributes ``theta``, ``shapes``, ``n_parameters``, ``n_outputs``, ``link``;
    - ``parameters``, names of the fitted attributes that hold theta;
    - ``classes_may_vanish``, whether the last rows of a class can be erased;
    - ``rows_may_differ(state)``, ``penalty(n_rows)``, ``penalty_change(n_rows, k_rows)``;
    - ``batch(X, y, weight)``, a `Batch`, and ``attributes(theta)``, the fitted attributes.

    Attributes
    ----------
    is_convex : bool
        Whether the objective has one minimum, so that a stream of erasures can be checked against
        it.
    penalty_gradient_offset : float or ndarray of shape (d,)
        Gradient of the penalty that a change of the columns adds to the erased gradient, as theta
        no longer minimises the penalised objective after the change. 0 without a change.
    perturbation : float or ndarray of shape (d,)
        The secret b of the additional term ``b^T theta`` of the objective; 0 without `certify`.
    kept_by : tuple of str
        Statistics of the training rows inside the model that an erasure does not change.
    """

    is_convex = True
    penalty_gradient_offset = 0.0
    perturbation = 0.0
    kept_by: tuple[str, ...] = ()

    def no_rows(self, model):
        """An array of no rows, in the form of the rows that the model takes."""
        return np.zeros((0, model.n_features_in_))

    def attributes_of(self, estimator):
        """Fitted attributes of this family's estimator with the parameters of another estimator."""
        return self.attributes(pack(estimator))

    def bound_of_outputs(self, attributes, largest):
        """Bound of the outputs before the link, and the largest number of their type.

        Parameters
        ----------
        attributes : dict
            Fitted attributes, as ``attributes(theta)`` returns them.
        largest : float
            Largest absolute value of an input.

        Returns
        -------
        bound, limit : float
            Predictions overflow only if ``bound > limit``. A third party's family has no bound.
        """
        return 0.0, np.inf

    def stored(self, theta):
        """The parameters theta, (d,), with the precision of the fitted attributes, as float64."""
        return theta

    def with_columns(self, column_map, n_rows):
        """The same model for changed columns: the prediction of every row is the same.

        Parameters
        ----------
        column_map : AffineColumns
        n_rows : int
            Number of rows that the model was fitted to and still holds.
        """
        out = copy(self)
        penalty = self.penalty(n_rows)
        out.theta = map_first_layer(self.theta, self.shapes, column_map.parameters)
        before = map_first_layer(penalty * self.theta, self.shapes, column_map.gradients)
        out.penalty_gradient_offset = before - penalty * out.theta
        return out


class Batch:
    """Rows X, labels y and weights, with the model of a ``family``.

    Subclasses implement ``take(index)``, ``layers(rows, curvature)``, the forward and backward
    pass, ``gradients(groups)``, weighted sums of the gradients of the loss, and ``log_odds(theta)``
    of the true labels.

    Attributes
    ----------
    progress : Progress
        Receives a report of each pass over the rows.
    """

    progress = SILENT

    def on(self, kernels):
        """The batch with passes that use the kernels; a linear batch is returned unchanged."""
        return self

    def rows_per_sample(self, curvature):
        """Number of curvature rows of a sample."""
        return CURVATURES[curvature].rows_per_sample(self.family.n_outputs)

    def gradient_squares(self):
        """Squared norm of each row's gradient at the outputs, times its weight, (n_samples,)."""
        return Scores(self.layers(slice(None), GRADIENT)).output_squares()

    def objective_gradient(self):
        """Gradient of the penalised objective on the scale of a sum over rows, (d,)."""
        everything = np.ones((self.n_samples, 1))
        family = self.family
        own = family.penalty(self.n_samples) * family.theta + family.perturbation
        return self.gradients(everything)[:, 0] + own

    def targets(self, rows=slice(None)):
        """Labels of each output, (n_samples, n_outputs): one-hot, or a multi-label indicator."""
        y = self.y[rows]
        if y.ndim == 2:
            return y.astype(np.float64)
        if self.family.link == "logistic":
            return y[:, np.newaxis].astype(np.float64)
        return np.eye(self.family.n_outputs)[y]

    def scores(self, curvature, batch_size=1):
        """The curvature rows; for ``batch_size`` > 1 one signed sum for each mini-batch."""
        if batch_size == 1:
            return ScoreStream(self, curvature)
        return SignedStream(self, curvature, batch_size)


@singledispatch
def objective_of(estimator):
    """Parameters of a classifier that determine its objective and its predictions, as a dict.

    A family registers its function for the plain class. A parameter that has no effect beside the
    others is left out, and values of the same effect are the same, so that two dicts are equal if
    and only if the objectives are.
    """
    return {}


@singledispatch
def arrays_of(value):
    """The arrays of a fitted attribute that holds parameters: a list of arrays, or one array.

    A family whose attribute is another object registers its function.
    """
    return value if isinstance(value, list) else [value]


def check_outputs_finite(z):
    """Refuse outputs of a model before the link, (n_samples, n_outputs), that are not finite."""
    if not np.isfinite(z).all():
        raise ErasureError(
            "The outputs of the model must be finite for the rows, got overflow. Check the rows "
            "for values that are far too large; scale them as at fit."
        )


def softmax_log_odds(z, y):
    """Log-odds of the class y of rows with outputs z, and whether the class is predicted.

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_classes)
    y : ndarray of int of shape (n_samples,)

    Returns
    -------
    log_odds : ndarray of shape (n_samples, 1)
    predicted : ndarray of bool of shape (n_samples, 1)
    """
    own = np.take_along_axis(z, y[:, np.newaxis], axis=1)
    others = np.where(np.arange(z.shape[1]) == y[:, np.newaxis], -np.inf, z)
    top = others.max(axis=1, keepdims=True)
    rest = np.log(np.exp(others - top).sum(axis=1, keepdims=True))
    return own - top - rest, own > top
