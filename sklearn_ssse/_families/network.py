"""The family of multi-layer perceptrons: the only file that uses ``coefs_`` and ``intercepts_``.

It packs the fitted parameters, runs the forward and backward pass in factored form, and holds the
L2 penalty and the names of the attributes that hold traces of the training rows.
"""

import numpy as np
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier

from sklearn_ssse._families.base import (
    Batch,
    Family,
    check_outputs_finite,
    objective_of,
    pack,
    softmax_log_odds,
)
from sklearn_ssse._gradients import CURVATURES, GRADIENT, Layer, Scores
from sklearn_ssse._kernels import cpu
from sklearn_ssse._utils.chunks import add_up, slices
from sklearn_ssse.exceptions import ErasureError

# Derivative of each activation function, as a function of its value.
DERIVATIVES = {
    "identity": lambda a: 0.0 * a + 1.0,
    "logistic": lambda a: a * (1.0 - a),
    "tanh": lambda a: 1.0 - a * a,
    "relu": lambda a: (a > 0) * 1.0,
}


@pack.register(MLPClassifier)
def pack_network(estimator):
    """Parameters of a fitted multi-layer perceptron as one float64 vector, (d,)."""
    layers = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    parts = [np.hstack([W.T, b[:, np.newaxis]]).ravel() for W, b in layers]
    return np.concatenate(parts).astype(np.float64)


@objective_of.register(MLPClassifier)
def objective_of_network(estimator):
    """See `objective_of`: only sgd and adam use batches and early stopping."""
    out = {
        "activation": estimator.activation,
        "alpha": float(estimator.alpha),
        "solver": "lbfgs" if estimator.solver == "lbfgs" else "sgd or adam",
    }
    if out["solver"] != "lbfgs":
        out["batch_size"] = _batch_size(estimator)
        out["early_stopping"] = bool(estimator.early_stopping)
    return out


class NetworkFamily(Family):
    """A multi-layer perceptron: binary, multi-class or multi-label.

    Parameters
    ----------
    estimator : MLPClassifier
        Fitted.
    """

    classes_may_vanish = True
    is_convex = False
    parameters = ("coefs_", "intercepts_")
    # Attributes that hold traces of the training rows, and that prediction does not need.
    training_traces = ("_optimizer", "_random_state")

    def __init__(self, estimator):
        self.theta = pack_network(estimator)
        self.shapes = [(W.shape[1], W.shape[0] + 1) for W in estimator.coefs_]
        self.n_parameters = self.theta.size
        self.n_outputs = self.shapes[-1][0]
        self.link = "softmax" if estimator.out_activation_ == "softmax" else "logistic"
        self.activation = estimator.activation
        self._estimator = estimator
        _check_sizes(estimator.hidden_layer_sizes, self.shapes)

    def rows_may_differ(self, state):
        """Whether a row's part of the curvature may be smaller than at the present parameters.

        It may be if an erasure has changed the parameters, or if the row was held out.
        """
        at_fit = (
            objective_of_network(self._estimator) if state.objective is None else state.objective
        )
        held_out = at_fit.get("early_stopping", False)
        return state.changed > 0 or held_out

    def weights(self, theta):
        """Parameters of each layer as a matrix (n_outputs, n_inputs + 1), intercept last."""
        out = []
        start = 0
        for n_outputs, width in self.shapes:
            out.append(theta[start : start + n_outputs * width].reshape(n_outputs, width))
            start += n_outputs * width
        return out

    def forward(self, X, theta, kernels=cpu):
        """Forward pass, in arrays of the kernels.

        Returns
        -------
        inputs : list of array
            Inputs of each layer, (n_samples, n_inputs).
        z : array of shape (n_samples, n_outputs)
            Outputs before the link.
        """
        inputs = [kernels.inputs(X.astype(np.float64, copy=False))]
        weights = self.weights(theta)
        for i, W in enumerate(weights):
            W = kernels.asarray(W)
            with np.errstate(over="ignore", invalid="ignore"):  # the callers check z
                z = inputs[-1] @ W[:, :-1].T + W[:, -1]
            if i < len(weights) - 1:
                inputs.append(kernels.activate(self.activation, z))
        return inputs, z

    def penalty(self, n_rows):
        """L2 penalty of each parameter, on the scale of a sum over ``n_rows`` rows, (d,).

        lbfgs divides the penalty by the number of rows, so that on this scale it does not depend on
        their number. sgd and adam divide it by the number of rows in each batch, so that it grows
        with the number of batches. A short last batch has the weight of a full one.
        """
        est = self._estimator
        out = np.zeros(self.n_parameters)
        strength = est.alpha if est.solver == "lbfgs" else est.alpha * _penalty_factor(est, n_rows)
        for part in self.weights(out):
            part[:, :-1] = strength
        return out

    def penalty_change(self, n_rows, k_rows):
        """Change of the penalty's gradient if k of n rows are erased, or -k are added, (d,)."""
        if self._estimator.solver == "lbfgs" or k_rows == 0:
            return np.zeros(self.n_parameters)
        return (self.penalty(n_rows) - self.penalty(n_rows - k_rows)) * self.theta

    def batch(self, X, y, weight):
        """A `NetworkBatch` of rows.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        y : ndarray of int of shape (n_samples,) or (n_samples, n_labels)
            Positions in ``classes_``, or the indicator of a multi-label problem.
        weight : ndarray of shape (n_samples,)
        """
        return NetworkBatch(self, X, y, weight)

    def bound_of_outputs(self, attributes, largest):
        """See `Family.bound_of_outputs`."""
        bounded = self.activation in ("logistic", "tanh")
        bound = largest
        limit = np.inf
        for W, b in zip(attributes["coefs_"], attributes["intercepts_"], strict=True):
            sums = np.abs(W).sum(axis=0, dtype=np.float64)
            limit = min(limit, float(np.finfo(W.dtype).max))
            with np.errstate(over="ignore"):
                z = float((bound * sums + np.abs(b)).max())
            if z > limit:
                return z, limit
            bound = 1.0 if bounded else z
        return bound, limit

    def attributes(self, theta):
        """Fitted attributes for the parameters ``theta``, and reset traces of training."""
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
        # Fitted attributes are tested, because the parameters may have been changed since the fit.
        held = vars(est)
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


def _check_sizes(hidden_layer_sizes, shapes):
    """Refuse a parameter `hidden_layer_sizes` that was changed after the fit."""
    given = np.ravel(hidden_layer_sizes).tolist()
    fitted = [n_outputs for n_outputs, _ in shapes[:-1]]
    if given != fitted:
        raise ErasureError(
            f"hidden_layer_sizes must be the sizes of the fitted network, {fitted}, got {given}. "
            "Set it back, or call `fit` for a network of other sizes."
        )


def _batch_size(estimator):
    """Number of rows of a batch, if there are enough of them."""
    return 200 if estimator.batch_size == "auto" else max(1, int(estimator.batch_size))


def _penalty_factor(estimator, n_rows):
    """The number of rows times the mean of ``1 / |batch|`` over the batches of an epoch."""
    if n_rows <= 0:
        return 0.0
    size = min(_batch_size(estimator), n_rows)
    whole, rest = divmod(n_rows, size)
    return n_rows * (whole / size + (1 / rest if rest else 0.0)) / (whole + bool(rest))


class NetworkBatch(Batch):
    """Rows of data; each chunk of them gets its own forward and backward pass."""

    def __init__(self, family, X, y, weight, kernels=cpu):
        self.family = family
        self.X = X
        self.y = y
        self.weight = weight
        self.kernels = kernels
        self.n_samples = X.shape[0]
        self.n_parameters = family.n_parameters
        self.shapes = family.shapes
        numbers = sum(n_outputs + width for n_outputs, width in self.shapes)
        self.chunk_size = int(np.clip(kernels.chunk_bytes // (8 * numbers), 64, 8192))

    def take(self, index):
        """The batch of some of the rows."""
        return NetworkBatch(self.family, self.X[index], self.y[index], self.weight[index])

    def on(self, kernels):
        """The batch with its passes made by the kernels."""
        return NetworkBatch(self.family, self.X, self.y, self.weight, kernels)

    def layers(self, rows, curvature):
        """The factors of the curvature rows: one `Layer` for each layer of the network."""
        family = self.family
        kernels = self.kernels
        inputs, z = family.forward(self.X[rows], family.theta, kernels)
        z = kernels.to_numpy(z)
        check_outputs_finite(z)
        is_softmax = family.link == "softmax"
        proba = softmax(z, axis=1) if is_softmax else expit(z)
        delta = CURVATURES[curvature].seed(proba, self.targets(rows), family.link)
        delta = kernels.asarray(delta * np.sqrt(self.weight[rows])[:, np.newaxis, np.newaxis])
        weights = family.weights(family.theta)
        last = len(weights) - 1
        layers = []
        for i in reversed(range(len(weights))):
            layers.append(Layer(inputs[i], delta, True, is_softmax and i == last))
            if i:
                derivative = DERIVATIVES[family.activation](inputs[i])
                delta = (delta @ kernels.asarray(weights[i])[:, :-1]) * derivative[:, np.newaxis, :]
        return layers[::-1]

    def gradients(self, groups):
        """Weighted sums of the gradients of the loss, (d, m), see `LinearBatch.gradients`."""
        if self.n_samples == 0:
            return np.zeros((self.n_parameters, groups.shape[1]))
        root = np.sqrt(self.weight)[:, np.newaxis]
        return add_up(
            Scores(self.layers(rows, GRADIENT)).rmatvec(root[rows] * groups[rows])
            for rows in slices(self.n_samples, self.chunk_size)
        )

    def log_odds(self, theta):
        """Log-odds of the true labels at the parameters theta.

        Returns
        -------
        log_odds : ndarray of shape (n_samples, n_outputs or 1)
            Log-odds of the true class; for a multi-label problem, of the presence or absence of
            each label.
        predicted : ndarray of bool of the same shape
            Whether the model predicts the true label.
        """
        family = self.family
        z = family.forward(self.X, theta)[1]
        z = np.where(np.isfinite(z).all(axis=1, keepdims=True), z, 0.0)  # predicts no label
        if family.link == "logistic":
            z = np.where(self.targets() > 0, z, -z)
            return z, z > 0
        return softmax_log_odds(z, self.y)
