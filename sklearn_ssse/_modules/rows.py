"""Gradient rows of a torch module, and sums of gradients.

The inputs and outputs of the layers are captured by forward hooks. One forward pass and c backward
passes to the outputs of the layers yield the c rows of every group of samples; no gradient of a
parameter is computed by the backward passes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from sklearn_ssse._modules.layout import LayerPlace, ParameterLayout
from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError

Forward = Callable[[Tensor], Tensor]

# Array elements that a layer forms at a time. Input windows of a ResNet20 on 16-pixel images fit
# into the cache of a core: see docs/constants.md.
CHUNK_SIZE = 2**20
# Largest difference of a gradient row from the gradient of its sample, relative to the largest
# entry: far above the rounding of float32 and below the effect of a missing layer.
TOLERANCE = 1e-2


class _Call(NamedTuple):
    """One call of a layer: its inputs (n, ...), their version, and the place of its outputs."""

    inputs: Tensor
    version: int
    outputs: GradientEdge


@contextmanager
def evaluating(module: nn.Module, moving: Sequence[str] = ()) -> Iterator[None]:
    """Put a module into evaluation mode, with gradients for the given parameters alone.

    On exit, the training flag of each submodule, ``requires_grad`` of each parameter and the states
    of the random generators are restored. Gradients are enabled inside, also if the caller has
    disabled them.

    Parameters
    ----------
    module : torch.nn.Module
    moving : sequence of str, default=()
        Names of the parameters that require gradients.
    """
    training = [(submodule, submodule.training) for submodule in module.modules()]
    named = dict(module.named_parameters())
    required = {name: parameter.requires_grad for name, parameter in named.items()}
    devices = {parameter.device for parameter in named.values() if parameter.is_cuda}
    # The fast path of a transformer encoder does not call its layers.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices):
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for submodule, _ in training:
                submodule.training = False
            for name, parameter in named.items():
                parameter.requires_grad_(name in moving)
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast_path)
            for submodule, flag in training:
                submodule.training = flag
            for name, parameter in named.items():
                parameter.requires_grad_(required[name])


def gradient_rows(
    forward: Forward,
    module: nn.Module,
    layout: ParameterLayout,
    X: Tensor,
    seeds: Tensor,
    group_size: int = 1,
) -> Tensor:
    """Compute the gradients of seeded outputs, summed over consecutive groups of samples.

    Row j of a group is the sum over its samples i of the gradient of ``<seeds[i, j], z[i]>``.

    Parameters
    ----------
    forward : callable
        Returns the outputs ``z`` before the link, (n, n_outputs), by a call of the module.
    module : torch.nn.Module
    layout : ParameterLayout
        The parameters that move.
    X : tensor of shape (n, ...)
    seeds : tensor of shape (n, c, n_outputs)
    group_size : int, default=1
        Samples per group, a divisor of n.

    Returns
    -------
    rows : tensor of shape (n // group_size * c, d)
        Ordered by group, then by j, in the dtype of z.

    Raises
    ------
    ErasureError
        If n is not a multiple of the group size, or the module does not call a layer that moves,
        calls it on inputs whose first axis is not the samples, or changes its inputs in place.
    """
    n, c = seeds.shape[:2]
    if n % group_size:
        raise ErasureError(
            f"The number of samples must be a multiple of the group size, got {n} samples in "
            f"groups of {group_size}. Pass whole groups."
        )
    with evaluating(module):
        with _recording(module, layout, n) as calls:
            z = _outputs(forward, X, seeds)
        deltas = _backward(z, [call.outputs for made in calls for call in made], seeds)
        out = z.new_empty(n // group_size, c, layout.n_parameters)
        with torch.no_grad():
            for place, made in zip(layout.layers, calls, strict=True):
                layer = module.get_submodule(place.name)
                is_written = False
                for call in made:
                    gradients = next(deltas)
                    if gradients is not None:
                        write = torch.Tensor.add_ if is_written else torch.Tensor.copy_
                        _write_rows(layer, place, call, gradients, out, write)
                        is_written = True
                if not is_written:
                    out[:, :, place.columns] = 0
    return out.flatten(0, 1)


def gradient_sums(
    forward: Forward, module: nn.Module, layout: ParameterLayout, X: Tensor, seeds: Tensor
) -> Tensor:
    """Compute sums of gradients over all samples by ordinary backward passes.

    Row j is the sum over the samples i of the gradient of ``<seeds[i, j], z[i]>``.

    Parameters
    ----------
    forward, module, layout, X
        As in `gradient_rows`.
    seeds : tensor of shape (n, m, n_outputs)

    Returns
    -------
    sums : tensor of shape (m, d)
        In the dtype of the outputs z.

    Raises
    ------
    ErasureError
        If the outputs do not depend on the parameters that move.
    """
    parameters = dict(module.named_parameters())
    with evaluating(module, layout.names):
        z = _outputs(forward, X, seeds)
        moving = [parameters[name] for name in layout.names]
        out = z.new_zeros(seeds.shape[1], layout.n_parameters)
        for row, gradients in zip(out, _passes(z, moving, seeds), strict=True):
            tensors = {
                name: (torch.zeros_like(parameter) if gradient is None else gradient)[None]
                for name, parameter, gradient in zip(layout.names, moving, gradients, strict=True)
            }
            layout.gather(tensors, row[None])
    return out


def check_rows(
    forward: Forward, module: nn.Module, layout: ParameterLayout, X: Tensor, seeds: Tensor
) -> None:
    """Compare the gradient rows of a few samples with the gradients of each sample alone.

    The rows differ if a weight is also used outside the call of its layer, or if the outputs of a
    sample depend on other samples or on random numbers. Two or three samples show it.

    Parameters
    ----------
    forward, module, layout, X, seeds
        As in `gradient_rows`.

    Raises
    ------
    ErasureError
        If the rows differ.
    """
    n, c = seeds.shape[:2]
    rows = gradient_rows(forward, module, layout, X, seeds).unflatten(0, (n, c))
    for i, row in enumerate(rows):
        alone = gradient_sums(forward, module, layout, X[i : i + 1], seeds[i : i + 1])
        differences = (row - alone).abs().amax(0)
        if differences.max() > TOLERANCE * alone.abs().max():
            worst = int(differences.argmax())
            place = next(place for place in layout.layers if worst < place.columns.stop)
            raise ErasureError(
                "The gradient rows of a module must be the gradients of its samples, got a "
                f"different row in layer {place.name!r}. Use its weight by calls of the layer "
                "only, and compute the outputs of a sample from that sample alone; or pass "
                "`parameters=` without this layer."
            )


@contextmanager
def _recording(module: nn.Module, layout: ParameterLayout, n: int) -> Iterator[list[list[_Call]]]:
    """Record the calls of the layers that move, a list for each layer.

    On exit, every layer must have been called.
    """
    calls: list[list[_Call]] = [[] for _ in layout.layers]
    handles = []
    try:
        for place, made in zip(layout.layers, calls, strict=True):
            layer = module.get_submodule(place.name)
            hook = _make_hook(place.name, made, n)
            handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        yield calls
    finally:
        for handle in handles:
            handle.remove()
    for place, made in zip(layout.layers, calls, strict=True):
        if not made:
            raise ErasureError(
                f"Every layer that moves must be called by the forward pass, got no call of "
                f"{place.name!r}. Pass `parameters=` without this layer."
            )


def _make_hook(name: str, made: list[_Call], n: int) -> Callable:
    """Make a forward hook that appends each call of a layer to ``made``."""

    def hook(layer: nn.Module, args: tuple, kwargs: dict, output: Tensor) -> Tensor:
        (inputs,) = (*args, *kwargs.values())
        if inputs.ndim == 0 or len(inputs) != n:
            raise ErasureError(
                f"The first axis of the inputs of a layer must be the {n} samples, got inputs of "
                f"shape {tuple(inputs.shape)} in layer {name!r}. Expand the inputs over the "
                "samples, or pass `parameters=` without this layer."
            )
        # A copy of a leaf or of a view may be changed in place by the next layer.
        if not output.requires_grad:
            output = output.detach().requires_grad_().clone()
        elif output._is_view():
            output = output.clone()
        made.append(_Call(inputs.detach(), inputs._version, get_gradient_edge(output)))
        return output

    return hook


def _outputs(forward: Forward, X: Tensor, seeds: Tensor) -> Tensor:
    """Outputs of the module with a graph, (n, n_outputs)."""
    z = forward(_ordinary(X))
    n, _, n_outputs = seeds.shape
    if z.shape != (n, n_outputs):
        raise ErasureError(
            f"The outputs of the module must have shape {(n, n_outputs)}, got {tuple(z.shape)}. "
            "Return one row of outputs for each sample."
        )
    if not z.requires_grad:
        raise ErasureError(
            "The outputs of the module must depend on its parameters by differentiable operations, "
            "got outputs without a gradient. Remove `torch.no_grad` and `detach` from the forward "
            "method, or pass `parameters=` with layers that the outputs depend on."
        )
    return z


def _ordinary(tensor: Tensor) -> Tensor:
    """Copy a tensor made in inference mode, which autograd refuses; return any other."""
    return tensor.clone() if torch.is_tensor(tensor) and tensor.is_inference() else tensor


def _passes(
    z: Tensor, inputs: Sequence[Tensor] | Sequence[GradientEdge], seeds: Tensor
) -> Iterator[tuple[Tensor | None, ...]]:
    """Yield the gradients by the inputs of one backward pass for each column of the seeds."""
    columns = _ordinary(seeds).to(z).unbind(1)
    for j, column in enumerate(columns, 1):
        keep = j < len(columns)
        yield torch.autograd.grad(z, inputs, column, retain_graph=keep, allow_unused=True)


def _backward(z: Tensor, outputs: Sequence[GradientEdge], seeds: Tensor) -> Iterator[Tensor | None]:
    """Yield the deltas (n, c, ...) of each call, None if z does not depend on its outputs."""
    for deltas in zip(*_passes(z, outputs, seeds), strict=True):
        if deltas[0] is None:
            yield None
        elif len(deltas) == 1:
            yield deltas[0].unsqueeze(1)
        else:
            yield torch.stack(deltas, dim=1)


def _write_rows(
    layer: nn.Module,
    place: LayerPlace,
    call: _Call,
    deltas: Tensor,
    out: Tensor,
    write: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Copy or add the rows of one call of a layer to ``out``, (g, c, d)."""
    if call.inputs._version != call.version:
        raise ErasureError(
            f"The inputs of a layer must not be changed in place after its call, got changed "
            f"inputs of layer {place.name!r}. Use the operation that returns a new tensor."
        )
    b = len(deltas) // len(out)
    step = max(1, CHUNK_SIZE // (b * place.kind.size(layer, call.inputs)))
    for groups in slices(len(out), step):
        samples = slice(groups.start * b, groups.stop * b)
        matrix = out[groups, :, place.columns].unflatten(2, place.shape)
        if place.weight:
            rows = place.kind.weight_rows(layer, call.inputs[samples], deltas[samples], b)
            weight = matrix[..., : place.shape[1] - place.bias]
            write(weight.unflatten(-1, rows.shape[3:]), rows)
        if place.bias:
            write(matrix[..., -1], place.kind.bias_rows(layer, deltas[samples], b))
