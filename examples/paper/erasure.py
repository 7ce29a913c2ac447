"""One step of erasure for a torch module, from gradient rows and an m x m kernel.

The curvature is A = ridge I + R^T R, with one row of R for each training row or for each batch.
Its inverse is applied without a d x d matrix:

    A^-1 g = (g - R^T (ridge I + R R^T)^-1 R g) / ridge
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def seeds_of(logits, y, curvature, generator):
    """Return the derivative of each curvature row by the logits, (n, n_classes).

    "empirical_fisher": p - y. "gauss_newton": the sum over the classes c of
    sign_c sqrt(p_c) (e_c - p) with random signs, one row in place of one for each class.
    """
    proba = functional.softmax(logits, dim=1)
    if curvature == "empirical_fisher":
        return proba - functional.one_hot(y, logits.shape[1])
    signs = torch.randint(0, 2, logits.shape, generator=generator).to(logits) * 2 - 1
    scaled = signs * proba.sqrt()
    return scaled - proba * scaled.sum(dim=1, keepdim=True)


def layer_rows(layer, inputs, deltas):
    """Return the gradients of one layer for each row, one matrix for each of its parameters."""
    n = len(inputs)
    if isinstance(layer, nn.Conv2d):
        patches = functional.unfold(
            inputs.contiguous(), layer.kernel_size, padding=layer.padding, stride=layer.stride
        )
        deltas = deltas.contiguous().reshape(n, layer.out_channels, -1)
        return [torch.bmm(deltas, patches.transpose(1, 2)).reshape(n, -1)]
    if isinstance(layer, nn.Linear):
        return [torch.einsum("bi,bj->bij", deltas, inputs).reshape(n, -1), deltas]
    if isinstance(layer, nn.BatchNorm2d):
        mean = layer.running_mean[:, None, None]
        scale = torch.sqrt(layer.running_var + layer.eps)[:, None, None]
        standardised = (inputs - mean) / scale
    else:
        standardised = functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
    return [(deltas * standardised).sum(dim=(2, 3)), deltas.sum(dim=(2, 3))]


def gradient_rows(module, X, y, curvature, *, seed=0, chunk_size=100):
    """Return one curvature row for each training row, (n, d), in the order of `parameters()`."""
    layers = [layer for layer in module.modules() if list(layer.parameters(recurse=False))]
    seen = {}

    def keep(layer, inputs, output):
        seen[layer] = (inputs[0].detach(), output)

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    generator = torch.Generator().manual_seed(seed)
    n_parameters = sum(p.numel() for p in module.parameters())
    rows = torch.empty(len(X), n_parameters)
    for start in range(0, len(X), chunk_size):
        chunk = slice(start, start + chunk_size)
        logits = module(X[chunk])
        seeds = seeds_of(logits.detach(), y[chunk], curvature, generator)
        deltas = torch.autograd.grad(logits, [seen[layer][1] for layer in layers], seeds)
        parts = []
        for layer, delta in zip(layers, deltas, strict=True):
            parts += layer_rows(layer, seen[layer][0], delta)
        rows[chunk] = torch.cat(parts, dim=1)
    for hook in hooks:
        hook.remove()
    return rows


def signed_batches(rows, batch_size, kept=None, seed=0):
    """Return the sum of the rows of each random batch, with random signs.

    `kept` selects the rows that take part, (n,); None selects all.
    """
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(rows)) if kept is None else np.flatnonzero(kept.numpy())
    order = rng.permutation(chosen)[: len(chosen) // batch_size * batch_size]
    signs = torch.as_tensor(rng.choice([-1.0, 1.0], len(order)), dtype=rows.dtype)
    batches = torch.empty(len(order) // batch_size, rows.shape[1])
    for i in range(len(batches)):
        members = slice(i * batch_size, (i + 1) * batch_size)
        batches[i] = signs[members] @ rows[torch.as_tensor(order[members])]
    return batches


def symmetric_product(rows, chunk_size=1000):
    """Return rows @ rows.T, (m, m); only the part above the diagonal is computed."""
    m = len(rows)
    kernel = torch.empty(m, m)
    for start in range(0, m, chunk_size):
        chunk = slice(start, start + chunk_size)
        product = rows[chunk] @ rows[start:].T
        kernel[chunk, start:] = product
        kernel[start:, chunk] = product.T
    return kernel


class KernelInverse:
    """Inverse of ridge I + R^T R, or of its diagonal blocks, by the kernel of the rows R.

    Parameters
    ----------
    rows : Tensor of shape (m, d)
    damping : float
        The ridge, as a multiple of the mean diagonal entry of R^T R.
    block_size : int or None
        Size of the diagonal blocks; None is one block of all parameters.
    """

    def __init__(self, rows, damping, block_size=None):
        self.rows = rows
        n_parameters = rows.shape[1]
        self.ridge = damping * float(torch.linalg.vector_norm(rows)) ** 2 / n_parameters
        size = block_size or n_parameters
        self.blocks = [slice(a, a + size) for a in range(0, n_parameters, size)]
        self.kernels = [symmetric_product(rows[:, block]) for block in self.blocks]

    def as_one_block(self):
        """Return the inverse with one block of all parameters; its kernel is their sum."""
        full = copy.copy(self)
        full.blocks = [slice(0, self.rows.shape[1])]
        full.kernels = [sum(self.kernels)]
        return full

    def solve(self, gradient, kept=None):
        """Return A^-1 `gradient`, (d,); `kept` selects the rows of R that stay in A."""
        if kept is None:
            kept = torch.ones(len(self.rows), dtype=torch.bool)
        step = torch.empty_like(gradient)
        for block, kernel in zip(self.blocks, self.kernels, strict=True):
            product = self.rows[:, block] @ gradient[block]
            capacitance = kernel[kept][:, kept].double()
            capacitance.diagonal().add_(self.ridge)
            factor = torch.linalg.cholesky(capacitance)
            weights = torch.zeros(len(self.rows))
            right = product[kept].double()[:, None]
            weights[kept] = torch.cholesky_solve(right, factor)[:, 0].float()
            step[block] = (gradient[block] - self.rows[:, block].T @ weights) / self.ridge
        return step


def forget_gradient(module, X, y, temperature):
    """Return the summed gradient of the loss of the forget rows, (d,).

    The logits are divided by `temperature` before the softmax. At 1 it is the gradient of the
    loss. Above 1 the rows that the module predicts with confidence keep a share of the sum.
    """
    logits = module(X)
    proba = functional.softmax(logits.detach() / temperature, dim=1)
    seeds = proba - functional.one_hot(y, logits.shape[1])
    parts = torch.autograd.grad(logits, list(module.parameters()), seeds)
    return torch.cat([part.reshape(-1) for part in parts])


def parameters_of(module):
    """Return all parameters as one vector, (d,)."""
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


@torch.no_grad()
def set_parameters(module, values):
    """Write the vector `values`, (d,), into the parameters."""
    start = 0
    for parameter in module.parameters():
        stop = start + parameter.numel()
        parameter.copy_(values[start:stop].view_as(parameter))
        start = stop
