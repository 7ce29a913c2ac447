"""The family of torch modules: packed parameters, outputs, gradients and the L2 penalty."""

import copy
from hashlib import sha256

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from sklearn_ssse._families import (
    Batch,
    Family,
    arrays_of,
    check_outputs_finite,
    softmax_log_odds,
)
from sklearn_ssse._gradients import CURVATURES, GRADIENT
from sklearn_ssse._modules.layers import RUNNING_NORMS
from sklearn_ssse._modules.net import in_precision
from sklearn_ssse._modules.rows import gradient_sums
from sklearn_ssse._modules.streams import CHUNK_SAMPLES, ModuleStream
from sklearn_ssse._utils.chunks import add_up, slices
from sklearn_ssse.exceptions import ErasureError

# Largest difference of the sum of the outputs of a module from 1, if they must be probabilities.
PROBABILITY_TOLERANCE = 1e-3


@arrays_of.register(nn.Module)
def arrays_of_module(module):
    """The parameters and buffers of a module, in the order of its state dict."""
    return [value.detach().cpu().numpy() for value in module.state_dict().values()]


class ModuleFamily(Family):
    """A torch module with a softmax output.

    Parameters
    ----------
    module : torch.nn.Module
        Fitted. It is never changed.
    layout : ParameterLayout
        The parameters that move.
    n_outputs : int
        Number of classes.
    row_shape : tuple of int
        Shape of one row of data; batches hold it flat.
    takes_probabilities : bool
        Whether the module returns probabilities, as skorch's `NLLLoss` expects, or logits.
    weight_decay : dict of str to float
        L2 penalty of each named parameter, on the scale of a mean over rows.
    device : str or torch.device
        Device of the gradient rows.
    with_attributes : callable
        Returns the fitted attributes of the estimator for a new module.
    """

    classes_may_vanish = True
    is_convex = False
    link = "softmax"
    parameters = ("module_",)

    def __init__(
        self,
        module,
        layout,
        n_outputs,
        row_shape,
        takes_probabilities,
        weight_decay,
        device,
        with_attributes,
    ):
        self.layout = layout
        self.theta = self.layout.pack(module)
        self.shapes = self.layout.shapes
        self.n_parameters = self.layout.n_parameters
        self.n_outputs = n_outputs
        self.row_shape = row_shape
        self._module = module
        self._takes_probabilities = takes_probabilities
        self._decay = self.layout.per_parameter(lambda name: weight_decay.get(name, 0.0))
        self._device = torch.device(device)
        self._with_attributes = with_attributes
        self._scratch = None

    @property
    def kept_by(self):
        """Normalisation layers with running statistics: an erasure does not change these."""
        return tuple(
            f"running statistics of {name or 'the module'}"
            for name, layer in self._module.named_modules()
            if isinstance(layer, RUNNING_NORMS) and layer.running_mean is not None
        )

    def no_rows(self, model):
        """See `Family.no_rows`."""
        return np.zeros((0, int(np.prod(self.row_shape))))

    def rows_may_differ(self, state):
        """Whether a row's part of the curvature may be smaller than at the present parameters.

        It may be if an erasure has changed the parameters, or if the row was held out.
        """
        return state.changed > 0 or (state.objective or {}).get("held_out", False)

    def penalty(self, n_rows):
        """L2 penalty of each parameter, on the scale of a sum over ``n_rows`` rows, (d,)."""
        return n_rows * self._decay

    def penalty_change(self, n_rows, k_rows):
        """Change of the penalty's gradient if k of n rows are erased, or -k are added, (d,)."""
        return k_rows * self._decay * self.theta

    def stored(self, theta):
        """See `Family.stored`."""
        module = copy.deepcopy(self._module)
        self.layout.write(theta, module)
        return self.layout.pack(module)

    def batch(self, X, y, weight):
        """A `ModuleBatch` of rows, flat, (n_samples, n_numbers)."""
        return ModuleBatch(self, X, y, weight)

    def attributes(self, theta):
        """Fitted attributes for the parameters ``theta``, and reset traces of training."""
        module = copy.deepcopy(self._module)
        self.layout.write(theta, module)
        return self._with_attributes(module)

    def attributes_of(self, estimator):
        """See `Family.attributes_of`; the running statistics are copied as well."""
        return self._with_attributes(copy.deepcopy(estimator.module_))

    def tensor(self, X):
        """Flat rows as a tensor in the form, the type and on the device of the module."""
        out = torch.from_numpy(np.ascontiguousarray(X)).reshape(len(X), *self.row_shape)
        return in_precision(out, self._module).to(self._device)

    def at(self, theta):
        """A copy of the module in evaluation mode, at theta, on the device of the family.

        Forward passes of the module itself would meet predictions by other threads.
        """
        if self._scratch is None:
            self._scratch = copy.deepcopy(self._module).to(self._device).eval()
            self._scratch_theta = self.theta
        if theta is not self._scratch_theta:
            self.layout.write(theta, self._scratch)
            self._scratch_theta = theta
        return self._scratch

    def outputs(self, X):
        """Logits of a tensor of rows, (n, n_outputs), by the module of `at`."""
        z = self._scratch(X)
        z = z[0] if isinstance(z, tuple) else z
        if not self._takes_probabilities:
            return z
        if z.numel() and float((z.detach().sum(dim=-1) - 1).abs().max()) > PROBABILITY_TOLERANCE:
            raise ErasureError(
                "The module must return probabilities for the criterion NLLLoss, as skorch takes "
                "their logarithm, got outputs whose sum is not 1. End the module with Softmax, or "
                "use criterion=torch.nn.CrossEntropyLoss for logits."
            )
        return torch.log(z + torch.finfo(z.dtype).eps)

    def logits(self, X, theta):
        """Logits of flat rows at the parameters theta, (n_samples, n_outputs) in float64."""
        parts = [np.zeros((0, self.n_outputs))]
        self.at(theta)
        with torch.no_grad():
            for rows in slices(len(X), CHUNK_SAMPLES):
                z = self.outputs(self.tensor(X[rows]))
                if z.shape[1:] != (self.n_outputs,):
                    raise ErasureError(
                        f"The module must return one number for each of {self.n_outputs} classes, "
                        f"got outputs of shape {tuple(z.shape)}. Change the last layer, or the "
                        "labels."
                    )
                parts.append(z.double().cpu().numpy())
        return np.concatenate(parts)


class ModuleBatch(Batch):
    """Rows of data, flat, with labels, weights and the module of a family.

    Parameters
    ----------
    family : ModuleFamily
    X : ndarray of shape (n_samples, n_numbers)
    y : ndarray of int of shape (n_samples,)
        Positions in ``classes_``.
    weight : ndarray of shape (n_samples,)
    """

    chunk_size = CHUNK_SAMPLES

    def __init__(self, family, X, y, weight):
        self.family = family
        self.X = X
        self.y = y
        self.weight = weight
        self.n_samples = len(X)
        self.n_parameters = family.n_parameters
        self.shapes = family.shapes

    def take(self, index):
        """The batch of some of the rows."""
        return ModuleBatch(self.family, self.X[index], self.y[index], self.weight[index])

    def scores(self, curvature, batch_size=1):
        """The curvature rows, see `ModuleStream`."""
        return ModuleStream(self, curvature, batch_size)

    def seeds(self, curvature):
        """Curvature rows at the outputs, times the roots of the weights, (n, c, n_outputs)."""
        z = self.family.logits(self.X, self.family.theta)
        check_outputs_finite(z)
        seeds = CURVATURES[curvature].seed(softmax(z, axis=1), self.targets(), self.family.link)
        return seeds * np.sqrt(self.weight)[:, np.newaxis, np.newaxis]

    def gradient_squares(self):
        """See `Batch.gradient_squares`."""
        return np.square(self.seeds(GRADIENT)).sum(axis=(1, 2))

    def gradients(self, groups):
        """Weighted sums of the gradients of the loss, (d, m), for groups (n_samples, m)."""
        out = np.zeros((self.n_parameters, groups.shape[1]))
        for j, factors in enumerate(groups.T):
            index = np.flatnonzero(factors)
            if index.size:
                out[:, j] = self.take(index)._gradient(factors[index])
        return out

    def _gradient(self, factors):
        """Sum of the gradients of the rows, each times its weight and its factor, (d,)."""
        family = self.family
        factors = factors * np.sqrt(self.weight)
        return add_up(
            _one_sum(family, self.take(rows), factors[rows])
            for rows in slices(self.n_samples, CHUNK_SAMPLES)
        )

    def log_odds(self, theta):
        """Log-odds of the true labels at the parameters theta, and whether they are predicted."""
        z = self.family.logits(self.X, theta)
        z = np.where(np.isfinite(z).all(axis=1, keepdims=True), z, 0.0)  # predicts no label
        return softmax_log_odds(z, self.y)


def _one_sum(family, batch, factors):
    """Sum of the gradients of one chunk of rows, times their factors, (d,) in float64."""
    seeds = torch.from_numpy(batch.seeds(GRADIENT) * factors[:, np.newaxis, np.newaxis])
    X = family.tensor(batch.X)
    module = family.at(family.theta)
    sums = gradient_sums(family.outputs, module, family.layout, X, seeds)
    return sums[0].double().cpu().numpy()


def statistics_digest(module):
    """The SHA-256 of the buffers of a module, such as running statistics."""
    total = sha256()
    for name, value in module.named_buffers():
        if "num_batches" not in name:
            total.update(np.ascontiguousarray(value.cpu().numpy()))
    return total.hexdigest()
