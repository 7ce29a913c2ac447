"""The family of linear classifiers: the only file that uses the values of ``coef_``.

It packs the fitted parameters into one vector theta, whose layout `_gradients.scores` describes,
runs the forward and backward pass at theta, and holds the L2 penalty of every parameter on the
scale of a sum over samples. It never calls ``predict_proba``, which would warn about feature names.
"""

from copy import copy

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from sklearn_ssse._families.base import (
    Batch,
    Family,
    check_outputs_finite,
    objective_of,
    pack,
    softmax_log_odds,
)
from sklearn_ssse._gradients import CURVATURES, Layer, ThirdOrder, gradient, third_derivatives
from sklearn_ssse._utils.chunks import add_up, slices

# Bytes of one chunk of rows, which should fit into the processor's cache.
CHUNK_BYTES = 2**22


@pack.register(object)
def pack_linear(estimator):
    """Parameters of a fitted linear classifier as one float64 vector, (d,)."""
    coef = estimator.coef_
    coef = coef.toarray() if sparse.issparse(coef) else np.asarray(coef)
    if estimator.fit_intercept:
        coef = np.hstack([coef, np.asarray(estimator.intercept_)[:, np.newaxis]])
    return coef.astype(np.float64).ravel()


@objective_of.register(LogisticRegression)
def objective_of_linear(estimator):
    """See `objective_of`: liblinear alone penalises the intercept."""
    out = {
        "C": float(estimator.C),
        "l1_ratio": estimator.l1_ratio or 0.0,
        "fit_intercept": bool(estimator.fit_intercept),
    }
    if out["fit_intercept"]:
        penalised = estimator.solver == "liblinear"
        out["solver"] = "liblinear" if penalised else "not liblinear"
        if penalised:
            out["intercept_scaling"] = float(estimator.intercept_scaling)
    return out


def pack_outputs(models):
    """Parameters of binary linear classifiers with the same columns, (n_models, d)."""
    coef = np.concatenate([model.coef_ for model in models])
    if models[0].fit_intercept:
        coef = np.hstack([coef, np.array([model.intercept_ for model in models])])
    return coef.astype(np.float64, copy=False)


def unpack_outputs(models, theta):
    """`LinearFamily.attributes` of each packed model; None if a parameter is not finite."""
    bias = models[0].fit_intercept
    n_features = models[0].coef_.shape[1]
    with np.errstate(over="ignore"):  # of float32
        coef = theta[:, :n_features].astype(models[0].coef_.dtype, copy=False)
        dtype = np.asarray(models[0].intercept_).dtype
        intercept = theta[:, n_features:].astype(dtype, copy=False)
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        return None
    # Copies, because a view of theta would keep the parameters of all models in memory.
    return [
        {
            "coef_": coef[j : j + 1].copy(),
            "intercept_": intercept[j].copy() if bias else model.intercept_,
        }
        for j, model in enumerate(models)
    ]


class LinearFamily(Family):
    """Logistic regression, binary or multinomial.

    Parameters
    ----------
    estimator : LogisticRegression
        Fitted.
    """

    classes_may_vanish = False
    parameters = ("coef_", "intercept_")

    def __init__(self, estimator):
        self.theta = pack_linear(estimator)
        self.bias = estimator.fit_intercept
        self.n_outputs = estimator.coef_.shape[0]
        self.shape = (self.n_outputs, self.theta.size // self.n_outputs)
        self.shapes = [self.shape]
        self.n_parameters = self.theta.size
        self.link = "logistic" if self.n_outputs == 1 else "softmax"
        self.perturbation = vars(estimator).get("_perturbation", 0.0)
        self._estimator = estimator

    def rows_may_differ(self, state):
        """Whether to cap the downdate of a row: no, `check_margin` refuses the erasure instead."""
        return False

    @property
    def has_flat_direction(self):
        """True if adding a constant to every output changes no prediction."""
        return self.link == "softmax"

    def penalty(self, n_rows=None):
        """Penalty of each parameter in ``sum_i w_i l_i + 1/2 sum_j penalty_j theta_j^2``, (d,)."""
        est = self._estimator
        strength = 1.0 / est.C  # 0 for C=inf
        out = np.full(self.shape, strength)
        if self.bias:
            out[:, -1] = strength / est.intercept_scaling**2 if est.solver == "liblinear" else 0.0
        return out.ravel()

    def penalty_change(self, n_rows, k_rows):
        """Change of the penalty's gradient by k erased rows: 0, as C fixes the penalty of a sum."""
        return 0.0

    def average_over_outputs(self, values):
        """Replace the values (d,) of each input by their mean over the outputs."""
        values = values.reshape(self.shape)
        return np.broadcast_to(values.mean(axis=0), self.shape).ravel()

    def centred(self, theta):
        """The parameters (d,) without the part along the flat direction, which has no penalty."""
        if not self.has_flat_direction:
            return theta
        return theta - np.where(self.penalty() > 0, 0.0, self.average_over_outputs(theta))

    def batch(self, X, y, weight):
        """A `LinearBatch` of rows.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        y : ndarray of int of shape (n_samples,)
            Positions in ``classes_``.
        weight : ndarray of shape (n_samples,)
        """
        return LinearBatch(self, X, y, weight)

    def bound_of_outputs(self, attributes, largest):
        """See `Family.bound_of_outputs`."""
        coef = attributes["coef_"]
        with np.errstate(over="ignore"):
            bound = np.abs(coef).sum(axis=1, dtype=np.float64).max() * largest
            bound += np.abs(attributes["intercept_"]).max()
        return float(bound), float(np.finfo(coef.dtype).max)

    def stored(self, theta):
        """See `Family.stored`."""
        return theta.astype(self._estimator.coef_.dtype).astype(np.float64)

    def attributes(self, theta):
        """Fitted attributes for the parameters ``theta``: new arrays of the same types."""
        theta = theta.reshape(self.shape)
        est = self._estimator
        if not self.bias:
            return {"coef_": theta.astype(est.coef_.dtype), "intercept_": est.intercept_}
        return {
            "coef_": theta[:, :-1].astype(est.coef_.dtype, order="C"),
            "intercept_": theta[:, -1].astype(est.intercept_.dtype),
        }


class LinearBatch(Batch):
    """Rows of data with the probabilities that the model predicts, (n_samples, n_outputs)."""

    def __init__(self, family, X, y, weight, proba=None):
        self.family = family
        self.X = X
        self.y = y
        self.weight = weight
        self.n_samples = X.shape[0]
        self.n_parameters = family.n_parameters
        self.shapes = family.shapes
        width = family.shape[1]
        self.chunk_size = int(np.clip(CHUNK_BYTES // (8 * width), 64, 8192))
        self.proba = self._forward() if proba is None else proba

    def _forward(self):
        """Probabilities of all rows, (n_samples, n_outputs), chunk by chunk."""
        proba = np.empty((self.n_samples, self.family.n_outputs))
        for rows in slices(self.n_samples, self.chunk_size):
            proba[rows] = self._probabilities(self._logits(self.family.theta, rows))
        return proba

    def at(self, theta):
        """The same rows at other parameters theta, (d,)."""
        family = copy(self.family)
        family.theta = theta
        out = LinearBatch(family, self.X, self.y, self.weight)
        out.progress = self.progress
        return out

    def _logits(self, theta, rows=slice(None)):
        W = theta.reshape(self.family.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self.X[rows] @ W[:, : self.X.shape[1]].T
        check_outputs_finite(logits)
        return logits + W[:, -1] if self.family.bias else logits

    def _probabilities(self, logits):
        return expit(logits) if self.family.link == "logistic" else softmax(logits, axis=1)

    def slope(self, direction):
        """Derivative of the loss of the rows along a direction (d,), as a function of the length.

        Returns
        -------
        callable
            ``u -> d/du sum_i w_i l_i(theta + u direction)``.
        """
        start = self._logits(self.family.theta)
        change = self._logits(direction)
        targets = self.targets()
        weighted = self.weight[:, np.newaxis] * change

        def at(length):
            proba = self._probabilities(start + length * change)
            return float(np.sum((proba - targets) * weighted))

        return at

    def log_odds(self, theta):
        """Log-odds of the true class of each row at the parameters theta.

        Returns
        -------
        log_odds : ndarray of shape (n_samples, 1)
        predicted : ndarray of bool of shape (n_samples, 1)
            Whether the model predicts the true class.
        """
        z = self._logits(theta)
        if self.family.link == "logistic":
            z = np.where(self.targets() > 0, z, -z)
            return z, z > 0
        return softmax_log_odds(z, self.y)

    def gradient_squares(self):
        """See `Batch.gradient_squares`; faster, as the probabilities are known."""
        gradients = self.proba - self.targets()
        return self.weight * np.einsum("ij,ij->i", gradients, gradients)

    def third_order(self):
        """The `ThirdOrder` of the rows."""
        kappa = third_derivatives(self.proba, self.family.link) * self.weight[:, np.newaxis]
        return ThirdOrder.of_rows(self.inputs(), kappa, self.family.bias)

    def take(self, index):
        """The batch of some of the rows, without a second forward pass."""
        return LinearBatch(
            self.family, self.X[index], self.y[index], self.weight[index], self.proba[index]
        )

    def reweight(self, weight):
        """The same rows with other sample weights."""
        return LinearBatch(self.family, self.X, self.y, weight, self.proba)

    def inputs(self, rows=slice(None)):
        """Rows of X as float64, (n_rows, n_features); CSR remains CSR."""
        return self.X[rows].astype(np.float64, copy=False)

    def layers(self, rows, curvature):
        """The factors of the curvature rows: one `Layer`."""
        deltas = (
            self._seeds(rows, curvature) * np.sqrt(self.weight[rows])[:, np.newaxis, np.newaxis]
        )
        return [Layer(self.inputs(rows), deltas, self.family.bias, self.family.link == "softmax")]

    def _seeds(self, rows, curvature):
        """Derivatives at the outputs, (n_rows, rows_per_sample, n_outputs)."""
        return CURVATURES[curvature].seed(self.proba[rows], self.targets(rows), self.family.link)

    def gradients(self, groups):
        """Weighted sums of the gradients of the loss.

        Parameters
        ----------
        groups : ndarray of shape (n_samples, m)
            Weight of each row in each of m sums, multiplied by its sample weight.

        Returns
        -------
        ndarray of shape (d, m)
        """
        n_features = self.X.shape[1]
        m = groups.shape[1]

        def part(rows):
            delta = gradient(self.proba[rows], self.targets(rows), self.family.link)[:, 0]
            delta = delta * self.weight[rows, np.newaxis]
            U = delta[:, :, np.newaxis] * groups[rows, np.newaxis, :]
            block = np.empty((*self.family.shape, m))
            flat = np.asarray(self.inputs(rows).T @ U.reshape(len(delta), U.shape[1] * m))
            block[:, :n_features] = flat.reshape(n_features, self.family.n_outputs, m).transpose(
                1, 0, 2
            )
            if self.family.bias:
                block[:, -1] = U.sum(axis=0)
            return block.reshape(self.n_parameters, m)

        if self.n_samples == 0:
            return np.zeros((self.n_parameters, m))
        return add_up(part(rows) for rows in slices(self.n_samples, self.chunk_size))

    def objective(self):
        """The penalised objective on the scale of a sum over rows; infinite if a loss overflows."""
        if self.family.link == "logistic":
            own = np.where(self.y > 0, self.proba[:, 0], 1.0 - self.proba[:, 0])
        else:
            own = self.proba[np.arange(self.n_samples), self.y]
        some = self.weight > 0  # a weight of 0 times an infinite loss is no number
        with np.errstate(divide="ignore"):
            loss = -np.log(own[some])
        squares = np.square(self.family.theta)
        linear = np.sum(self.family.perturbation * self.family.theta)
        return float(self.weight[some] @ loss + self.family.penalty() @ squares / 2 + linear)

    def trace(self, curvature):
        """Trace of ``R^T R``, the curvature without its ridge; infinite or nan if it overflows."""

        def part(rows):
            x = self.inputs(rows)
            if sparse.issparse(x):
                norms = np.asarray(x.multiply(x).sum(axis=1)).ravel()
            else:
                norms = np.einsum("ij,ij->i", x, x)
            seeds = self._seeds(rows, curvature)
            squares = np.einsum("icj,icj->i", seeds, seeds)
            with np.errstate(over="ignore", invalid="ignore"):
                return float(squares @ (self.weight[rows] * (norms + self.family.bias)))

        return add_up(part(rows) for rows in slices(self.n_samples, self.chunk_size))
