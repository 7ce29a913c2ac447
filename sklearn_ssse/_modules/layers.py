"""The layers of torch whose gradient rows are computed, one object for each kind of layer.

A layer has a weight, a bias or both. The weight is a matrix (n_outputs, width), and the bias is one
more column. The gradient of a sample is a sum over the positions at which the layer is applied: the
windows of a convolution, the tokens of a sequence. A gradient row is the sum over the samples of a
group, so one matrix product per group adds up the positions of all its samples.

Shapes: ``n`` samples in ``g`` groups of ``b`` consecutive samples, and ``c`` rows per group.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerKind(ABC):
    """Gradient rows of one kind of layer."""

    def n_outputs(self, layer: Any) -> int:
        """Number of rows of the parameter matrix."""
        return int(layer.weight.shape[0])

    def size(self, layer: nn.Module, inputs: Tensor) -> int:
        """Number of array elements that `weight_rows` forms for each sample."""
        return inputs[0].numel()

    @abstractmethod
    def weight_rows(self, layer: nn.Module, inputs: Tensor, deltas: Tensor, b: int) -> Tensor:
        """Gradient rows of the weight.

        Parameters
        ----------
        layer : torch.nn.Module
        inputs : tensor of shape (n, ...)
        deltas : tensor of shape (n, c, ...)
            Derivatives of the c rows of each sample by the outputs of the layer.
        b : int
            Samples per group.

        Returns
        -------
        rows : tensor of shape (g, c, n_outputs, ...)
            The axes after n_outputs hold the ``width`` elements of an output.
        """

    @abstractmethod
    def bias_rows(self, layer: nn.Module, deltas: Tensor, b: int) -> Tensor:
        """Gradient rows of the bias, (g, c, n_outputs)."""


class Linear(LayerKind):
    """Affine map of the last axis; the axes between the first and the last are positions."""

    def weight_rows(self, layer, inputs, deltas, b):
        columns = inputs.reshape(len(inputs) // b, 1, -1, layer.in_features)
        return _products(_last_axis_first(deltas), columns)

    def bias_rows(self, layer, deltas, b):
        return _group_sums(_last_axis_first(deltas).sum(-1), b)


class Convolution(LayerKind):
    """Convolution in one, two or three dimensions: products of input windows and deltas."""

    def size(self, layer, inputs):
        sizes = [s + sum(m) for s, m in zip(inputs.shape[2:], _margins(layer), strict=True)]
        n_windows = math.prod(_n_windows(layer, sizes))
        return n_windows * math.prod(layer.kernel_size) * layer.in_channels

    def weight_rows(self, layer, inputs, deltas, b):
        view = _windows(layer, inputs).unflatten(-1, (layer.groups, -1))
        view = view.movedim(-2, 1).unflatten(0, (-1, b)).movedim(2, 1)
        kernel_size = math.prod(layer.kernel_size)
        width = kernel_size * view.shape[-1]
        columns = view.reshape(*view.shape[:2], -1, width)
        rows = _products(deltas.flatten(3), columns)
        return rows.unflatten(-1, (kernel_size, -1)).transpose(-1, -2)

    def bias_rows(self, layer, deltas, b):
        return _group_sums(deltas.flatten(3).sum(-1), b)


class Embedding(LayerKind):
    """Table of vectors; the gradient of a vector is the sum of the deltas at its index."""

    def size(self, layer, inputs):
        return layer.weight.numel()

    def weight_rows(self, layer, inputs, deltas, b):
        c = deltas.shape[1]
        indices = inputs.reshape(len(inputs) // b, 1, -1, 1)
        deltas = deltas.reshape(-1, b, c, inputs[0].numel(), layer.embedding_dim)
        deltas = deltas.transpose(1, 2).flatten(2, 3)
        if layer.padding_idx is not None:
            deltas = deltas.masked_fill(indices == layer.padding_idx, 0)
        rows = deltas.new_zeros(len(indices), c, *layer.weight.shape)
        return rows.scatter_add_(2, indices.expand_as(deltas), deltas)

    def bias_rows(self, layer, deltas, b):
        raise NotImplementedError("an embedding has no bias")


@dataclass(frozen=True)
class Elementwise(LayerKind):
    """Layer that multiplies a function of its inputs by one weight for each channel.

    Parameters
    ----------
    factor : callable
        Returns the factor of the weights, from the layer and its inputs, in their shape.
    last_axes : bool, default=False
        Whether the channels are the last axes of the inputs; else they are the second axis.
    """

    factor: Callable[[nn.Module, Tensor], Tensor]
    last_axes: bool = False

    def n_outputs(self, layer):
        return layer.weight.numel()

    def weight_rows(self, layer, inputs, deltas, b):
        products = self.factor(layer, inputs).unsqueeze(1) * deltas
        return self.bias_rows(layer, products, b).unsqueeze(-1)

    def bias_rows(self, layer, deltas, b):
        n, c = deltas.shape[:2]
        if self.last_axes:
            sums = deltas.reshape(n, c, -1, self.n_outputs(layer)).sum(2)
        else:
            sums = deltas.reshape(n, c, self.n_outputs(layer), -1).sum(3)
        return _group_sums(sums, b)


def _batch_normalised(layer, inputs):
    mean = layer.running_mean
    variance = layer.running_var
    return F.batch_norm(inputs, mean, variance, training=False, eps=layer.eps)


def _instance_normalised(layer, inputs):
    if layer.track_running_stats:
        return _batch_normalised(layer, inputs)
    return F.instance_norm(inputs, eps=layer.eps)


def _group_normalised(layer, inputs):
    return F.group_norm(inputs, layer.num_groups, eps=layer.eps)


def _layer_normalised(layer, inputs):
    return F.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)


def _rms_normalised(layer, inputs):
    return F.rms_norm(inputs, layer.normalized_shape, eps=layer.eps)


def _negative_part(layer, inputs):
    return inputs.clamp(max=0)


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
# Layers that may hold running statistics of the training rows.
RUNNING_NORMS = (*BATCH_NORMS, *INSTANCE_NORMS)
KINDS: dict[type[nn.Module], LayerKind] = {
    nn.Linear: Linear(),
    nn.Conv1d: Convolution(),
    nn.Conv2d: Convolution(),
    nn.Conv3d: Convolution(),
    nn.Embedding: Embedding(),
    **dict.fromkeys(BATCH_NORMS, Elementwise(_batch_normalised)),
    **dict.fromkeys(INSTANCE_NORMS, Elementwise(_instance_normalised)),
    nn.GroupNorm: Elementwise(_group_normalised),
    nn.LayerNorm: Elementwise(_layer_normalised, last_axes=True),
    nn.RMSNorm: Elementwise(_rms_normalised, last_axes=True),
    nn.PReLU: Elementwise(_negative_part),
}


def kind_of(layer: nn.Module) -> LayerKind | None:
    """Kind of a layer, None if the layer is not supported.

    A subclass of a supported layer is supported if it has the forward method of its base.
    """
    if "forward" in vars(layer):
        return None
    for base, kind in KINDS.items():
        if isinstance(layer, base) and type(layer).forward is base.forward:
            return kind
    return None


def unsupported_option(layer: nn.Module) -> str | None:
    """Name the option of an embedding whose gradient rows are not computed, None without one."""
    if isinstance(layer, nn.Embedding):
        options = {
            "max_norm": layer.max_norm is not None,
            "sparse": layer.sparse,
            "scale_grad_by_freq": layer.scale_grad_by_freq,
        }
        return next((name for name, is_used in options.items() if is_used), None)
    return None


def depends_on_the_batch(layer: nn.Module) -> bool:
    """Whether the outputs of a sample depend on the other samples, in evaluation mode too."""
    is_batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
    return is_batch_norm and (layer.running_mean is None or layer.running_var is None)


def _group_sums(values, b):
    """Sum values (n, c, n_outputs) over the samples of each group: (g, c, n_outputs)."""
    return values.unflatten(0, (-1, b)).sum(1)


def _last_axis_first(deltas):
    """Deltas (n, c, ..., n_outputs) as (n, c, n_outputs, positions)."""
    n, c = deltas.shape[:2]
    return deltas.reshape(n, c, -1, deltas.shape[-1]).transpose(2, 3)


def _products(deltas, columns):
    """Sum the outer products of deltas and columns over the positions of each group.

    Parameters
    ----------
    deltas : tensor of shape (n, c, n_outputs, positions)
    columns : tensor of shape (g, parts, b * positions, width)
        The outputs are in consecutive parts of equal size, each with its own columns: the groups
        of a convolution.

    Returns
    -------
    rows : tensor of shape (g, c, n_outputs, width)
    """
    c = deltas.shape[1]
    g, parts, n_positions, width = columns.shape
    deltas = deltas.unflatten(2, (parts, -1)).unflatten(0, (g, -1))
    deltas = deltas.permute(0, 3, 2, 4, 1, 5).reshape(g * parts, -1, n_positions)
    rows = torch.bmm(deltas, columns.flatten(0, 1))
    return rows.reshape(g, parts, c, -1, width).transpose(1, 2).flatten(2, 3)


def _margins(layer):
    """Padding of a convolution before and after each axis, a list of pairs."""
    if layer.padding == "valid":
        return [(0, 0) for _ in layer.kernel_size]
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(padding, padding) for padding in layer.padding]


def _n_windows(layer, sizes):
    """Number of windows along each axis of a padded input."""
    axes = zip(sizes, layer.kernel_size, layer.stride, layer.dilation, strict=True)
    return [(size - dilation * (k - 1) - 1) // stride + 1 for size, k, stride, dilation in axes]


def _padded(layer, inputs):
    """Padded inputs with the channels last, (n, *sizes, channels), contiguous."""
    margins = _margins(layer)
    if layer.padding_mode != "zeros":
        flat = [margin for pair in reversed(margins) for margin in pair]
        return F.pad(inputs, flat, mode=layer.padding_mode).movedim(1, -1).contiguous()
    sizes = [size + sum(pair) for size, pair in zip(inputs.shape[2:], margins, strict=True)]
    padded = inputs.new_zeros(len(inputs), *sizes, inputs.shape[1])
    inside = [
        slice(before, size - after) for size, (before, after) in zip(sizes, margins, strict=True)
    ]
    padded[(slice(None), *inside)] = inputs.movedim(1, -1)
    return padded


def _windows(layer, inputs):
    """Windows of a convolution, a view (n, *n_windows, *kernel_size, channels) without a copy.

    The channels are the last axis, so that a window is copied in pieces of at least one row of the
    kernel: at 16 channels, three times as fast as `torch.nn.functional.unfold`.
    """
    padded = _padded(layer, inputs)
    first, *strides, last = padded.stride()
    sizes = _n_windows(layer, padded.shape[1:-1])
    between = [s * stride for s, stride in zip(strides, layer.stride, strict=True)]
    within = [s * dilation for s, dilation in zip(strides, layer.dilation, strict=True)]
    return padded.as_strided(
        (len(inputs), *sizes, *layer.kernel_size, inputs.shape[1]), (first, *between, *within, last)
    )
