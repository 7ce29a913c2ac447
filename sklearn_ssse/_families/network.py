"""The family of multi-layer perceptrons: forward and backward pass in factored form, penalty, and what a fit leaves behind."""

import numpy as np
from scipy.special import expit, softmax

from sklearn_ssse._families.base import Batch, Family
from sklearn_ssse._gradients import CURVATURES, GRADIENT, Layer, Scores
from sklearn_ssse._kernels import cpu
from sklearn_ssse._utils.chunks import add_up, slices

# Derivatives as functions of the activation itself.
DERIVATIVES = {
    "identity": lambda a: 0.0 * a + 1.0,
    "logistic": lambda a: a * (1.0 - a),
    "tanh": lambda a: 1.0 - a * a,
    "relu": lambda a: (a > 0) * 1.0,
}


def pack_network(estimator):
    """Parameters of a fitted multi-layer perceptron as one float64 vector, in the layout of `_scores`."""
    layers = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    return np.concatenate([np.hstack([W.T, b[:, np.newaxis]]).ravel() for W, b in layers]).astype(
        np.float64
    )


class NetworkFamily(Family):
    """A multi-layer perceptron: binary, multi-class or multi-label.

    Parameters
    ----------
    estimator : MLPClassifier
        Fitted.
    """

    classes_may_vanish = True
    parameters = ("coefs_", "intercepts_")

    def __init__(self, estimator):
        self.theta = pack_network(estimator)
        self.shapes = [(W.shape[1], W.shape[0] + 1) for W in estimator.coefs_]
        self.n_parameters = self.theta.size
        self.n_outputs = self.shapes[-1][0]
        self.link = "softmax" if estimator.out_activation_ == "softmax" else "logistic"
        self.activation = estimator.activation
        self._estimator = estimator

    def rows_may_differ(self, state):
        """Whether the curvature may hold less of a sample than its rows of now: the parameters have moved, or it was held out."""
        return state.changed > 0 or (
            self._estimator.early_stopping and self._estimator.solver != "lbfgs"
        )

    def weights(self, theta):
        """Parameters of each layer as a matrix (n_outputs, n_inputs + 1), intercept last."""
        out, start = [], 0
        for n_outputs, width in self.shapes:
            out.append(theta[start : start + n_outputs * width].reshape(n_outputs, width))
            start += n_outputs * width
        return out

    def forward(self, X, theta, kernels=cpu):
        """Inputs of every layer, and the outputs before the link, (n_samples, n_outputs), as arrays of the kernels."""
        inputs, weights = [kernels.inputs(X.astype(np.float64, copy=False))], self.weights(theta)
        for i, W in enumerate(weights):
            W = kernels.asarray(W)
            z = inputs[-1] @ W[:, :-1].T + W[:, -1]
            if i < len(weights) - 1:
                inputs.append(kernels.activate(self.activation, z))
        return inputs, z

    def penalty(self, n_rows):
        """L2 penalty of each parameter in the sum of the losses of so many rows, (d,).

        lbfgs divides the penalty by the number of all rows, which on the scale of a sum does not depend on it. sgd and adam divide by
        the rows of each batch: the sum then grows with the number of batches, the short last one included.
        """
        est, out = self._estimator, np.zeros(self.n_parameters)
        strength = est.alpha if est.solver == "lbfgs" else est.alpha * _n_batches_share(est, n_rows)
        for part in self.weights(out):
            part[:, :-1] = strength
        return out

    def penalty_change(self, n_rows, k_rows):
        """What the penalty adds to the gradient when k of n rows leave, or -k come, (d,)."""
        if self._estimator.solver == "lbfgs" or k_rows == 0:
            return np.zeros(self.n_parameters)
        return (self.penalty(n_rows) - self.penalty(n_rows - k_rows)) * self.theta

    def batch(self, X, y, weight):
        """Rows of data: y holds positions in ``classes_``, (n_samples,), or the labels of a multi-label problem, (n_samples, n_labels)."""
        return NetworkBatch(self, X, y, weight)

    def attributes(self, theta):
        """Fitted attributes for the parameters ``theta``; the traces of training start anew, as before a fit."""
        est = self._estimator
        weights = self.weights(theta)
        out = {
            "coefs_": [
                np.array(W[:, :-1].T, dtype=old.dtype, order="C")
                for W, old in zip(weights, est.coefs_, strict=True)
            ],
            "intercepts_": [
                W[:, -1].astype(old.dtype) for W, old in zip(weights, est.intercepts_, strict=True)
            ],
        }
        out["loss_"] = np.nan
        held = vars(est)  # what the fit left, not what the parameters say now
        if "_best_coefs" in held:
            out["_best_coefs"] = [W.copy() for W in out["coefs_"]]
            out["_best_intercepts"] = [b.copy() for b in out["intercepts_"]]
        if "loss_curve_" in held:
            stopping = est.early_stopping
            out.update(
                loss_curve_=[],
                best_loss_=None if stopping else np.inf,
                validation_scores_=[] if stopping else None,
                best_validation_score_=-np.inf if stopping else None,
                t_=0,
                _no_improvement_count=0,
            )
        return out

    dropped = ("_optimizer", "_random_state")


def _n_batches_share(estimator, n_rows):
    """``n`` times the mean over the batches of an epoch of ``1 / |batch|``."""
    if n_rows <= 0:
        return 0.0
    size = _batch_size(estimator, n_rows)
    whole, rest = divmod(n_rows, size)
    return n_rows * (whole / size + (1 / rest if rest else 0.0)) / (whole + bool(rest))


def _batch_size(estimator, n_rows):
    return min(200 if estimator.batch_size == "auto" else max(1, estimator.batch_size), n_rows)


class NetworkBatch(Batch):
    """Rows of data; every chunk makes its own forward and backward pass."""

    def __init__(self, family, X, y, weight, kernels=cpu):
        self.family = family
        self.X, self.y, self.weight = X, y, weight
        self.kernels = kernels
        self.n_samples = X.shape[0]
        self.n_parameters = family.n_parameters
        self.shapes = family.shapes
        numbers = sum(n_outputs + width for n_outputs, width in self.shapes)
        self.chunk_size = int(np.clip(kernels.chunk_bytes // (8 * numbers), 64, 8192))

    def take(self, index):
        return NetworkBatch(self.family, self.X[index], self.y[index], self.weight[index])

    def on(self, kernels):
        return NetworkBatch(self.family, self.X, self.y, self.weight, kernels)

    def layers(self, rows, curvature):
        family, kernels = self.family, self.kernels
        inputs, z = family.forward(self.X[rows], family.theta, kernels)
        z = kernels.to_numpy(z)
        proba = softmax(z, axis=1) if family.link == "softmax" else expit(z)
        delta = CURVATURES[curvature].seed(proba, self.targets(rows), family.link)
        delta = kernels.asarray(delta * np.sqrt(self.weight[rows])[:, np.newaxis, np.newaxis])
        layers, weights = [], family.weights(family.theta)
        for i in reversed(range(len(weights))):
            layers.append(
                Layer(inputs[i], delta, True, family.link == "softmax" and i == len(weights) - 1)
            )
            if i:
                derivative = DERIVATIVES[family.activation](inputs[i])
                delta = (delta @ kernels.asarray(weights[i])[:, :-1]) * derivative[:, np.newaxis, :]
        return layers[::-1]

    def gradients(self, groups):
        """Weighted sums of the gradients of the loss, (d, m), for weights of the rows in m groups, (n_samples, m)."""
        if self.n_samples == 0:
            return np.zeros((self.n_parameters, groups.shape[1]))
        root = np.sqrt(self.weight)[:, np.newaxis]
        return add_up(
            Scores(self.layers(rows, GRADIENT)).rmatvec(root[rows] * groups[rows])
            for rows in slices(self.n_samples, self.chunk_size)
        )

    def log_odds(self, theta):
        """Of the rows' own labels at the parameters theta: of the class, or of each label as it is, present or not.

        Returns
        -------
        log_odds : ndarray of shape (n_samples, n_outputs or 1)
        predicted : ndarray of bool
            Whether that is what the model predicts.
        """
        family = self.family
        z = family.forward(self.X, theta)[1]
        if family.link == "logistic":
            z = np.where(self.targets() > 0, z, -z)
            return z, z > 0
        own = np.take_along_axis(z, self.y[:, np.newaxis], axis=1)
        others = np.where(np.arange(z.shape[1]) == self.y[:, np.newaxis], -np.inf, z)
        top = others.max(axis=1, keepdims=True)
        return own - top - np.log(np.exp(others - top).sum(axis=1, keepdims=True)), own > top
