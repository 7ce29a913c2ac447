"""The parameters of a torch module that move, as one vector.

Layers follow each other in the order of ``module.named_modules()``. A layer is a matrix
(n_outputs, width) in C order: the elements of its weight, then its bias in the last column. A layer
that moves its bias alone has width 1.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklearn_ssse._modules.layers import (
    KINDS,
    LayerKind,
    depends_on_the_batch,
    kind_of,
    unsupported_option,
)
from sklearn_ssse.exceptions import ErasureError


class LayerPlace(NamedTuple):
    """Place of a layer in the vector of parameters.

    Attributes
    ----------
    name : str
        Name of the layer in the module; empty if the layer is the module itself.
    kind : LayerKind
        Computes the gradient rows of the layer.
    columns : slice
        Elements of the vector that belong to the layer.
    shape : (int, int)
        Number of outputs, and width of the parameter matrix.
    weight, bias : bool
        Whether the weight and the bias move.
    """

    name: str
    kind: LayerKind
    columns: slice
    shape: tuple[int, int]
    weight: bool
    bias: bool

    @property
    def names(self) -> list[str]:
        """Names of the parameters that move, the weight first."""
        prefix = f"{self.name}." if self.name else ""
        moving = {"weight": self.weight, "bias": self.bias}
        return [prefix + own for own, moves in moving.items() if moves]


class ParameterLayout:
    """Order of the moving parameters of a module in one vector; it does not hold the module.

    Parameters
    ----------
    layers : sequence of LayerPlace
        The layers that move, in the order of the vector.

    Attributes
    ----------
    layers : list of LayerPlace
    shapes : list of (int, int)
        Shape of the parameter matrix of each layer.
    names : list of str
        Names of the parameters that move.
    n_parameters : int
        d, the length of the vector.

    Examples
    --------
    >>> from torch import nn
    >>> from sklearn_ssse._modules import ParameterLayout
    >>> module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> layout = ParameterLayout.of(module)
    >>> layout.shapes, layout.n_parameters
    ([(2, 4), (1, 3)], 11)
    >>> ParameterLayout.of(module, ["2"]).names
    ['2.weight', '2.bias']
    """

    def __init__(self, layers: Sequence[LayerPlace]) -> None:
        self.layers = list(layers)
        self.shapes = [place.shape for place in self.layers]
        self.names = [name for place in self.layers for name in place.names]
        self.n_parameters = self.layers[-1].columns.stop

    @classmethod
    def of(cls, module: nn.Module, parameters: Iterable[str] | None = None) -> "ParameterLayout":
        """Lay out the parameters of a module that move.

        Parameters
        ----------
        module : torch.nn.Module
        parameters : iterable of str, default=None
            Names of parameters or of submodules, or patterns of such names as in `fnmatch`; None
            for all parameters that require gradients.

        Returns
        -------
        layout : ParameterLayout

        Raises
        ------
        ErasureError
            If a name matches nothing, no parameter moves, a moving parameter belongs to a layer
            that is not supported or is shared between two names, or a batch normalisation has no
            running statistics.
        """
        moving = _moving_names(module, parameters)
        _check_sharing(module, moving)
        places: list[LayerPlace] = []
        start = 0
        for name, layer in module.named_modules():
            if depends_on_the_batch(layer):
                raise ErasureError(
                    f"Batch normalisation must have running statistics, got {name!r} without them: "
                    "evaluation would depend on the other rows of a batch. Train the module with "
                    "track_running_stats=True, or with group normalisation."
                )
            prefix = f"{name}." if name else ""
            own = [own for own in layer._parameters if prefix + own in moving]
            if own:
                places.append(_place(module, name, layer, own, start))
                start = places[-1].columns.stop
        return cls(places)

    def last(self, n_parameters: int) -> "ParameterLayout":
        """Lay out the last layers that have at most n_parameters together, or the last one alone.

        Parameters
        ----------
        n_parameters : int

        Returns
        -------
        layout : ParameterLayout
        """
        first = len(self.layers) - 1
        while first and self.n_parameters - self.layers[first - 1].columns.start <= n_parameters:
            first -= 1
        start = self.layers[first].columns.start
        places = [
            place._replace(columns=slice(place.columns.start - start, place.columns.stop - start))
            for place in self.layers[first:]
        ]
        return ParameterLayout(places)

    def pack(self, module: nn.Module) -> NDArray[np.float64]:
        """Copy the parameters of the module into a vector, (d,) of float64."""
        parameters = dict(module.named_parameters())
        theta = torch.empty(1, self.n_parameters, dtype=torch.float64)
        self.gather({name: parameters[name].detach()[None] for name in self.names}, theta)
        return theta[0].numpy()

    def write(self, theta: NDArray[np.float64], module: nn.Module) -> None:
        """Write a vector (d,) into the parameters of the module, in place and in their dtype."""
        if theta.shape != (self.n_parameters,):
            raise ErasureError(
                f"theta must have shape ({self.n_parameters},), got {theta.shape}. Pass one value "
                "for each parameter that moves, in the order of the layout."
            )
        parameters = dict(module.named_parameters())
        values = torch.from_numpy(np.ascontiguousarray(theta))
        with torch.no_grad():
            for place in self.layers:
                for name, block in zip(place.names, self._blocks(place, values[None]), strict=True):
                    parameters[name].copy_(block.reshape(parameters[name].shape))

    def per_parameter(self, value: Callable[[str], float]) -> NDArray[np.float64]:
        """Repeat one value for each parameter name over its elements: (d,) of float64.

        Parameters
        ----------
        value : callable
            Returns the value of a parameter from its name.
        """
        values = torch.empty(1, self.n_parameters, dtype=torch.float64)
        for place in self.layers:
            for name, block in zip(place.names, self._blocks(place, values), strict=True):
                block.fill_(value(name))
        return values[0].numpy()

    def gather(self, tensors: Mapping[str, Tensor], out: Tensor) -> None:
        """Copy m values of each parameter, (m, *its shape), by name into ``out``, (m, d)."""
        for place in self.layers:
            for name, block in zip(place.names, self._blocks(place, out), strict=True):
                block.copy_(tensors[name].reshape(block.shape))

    def _blocks(self, place: LayerPlace, rows: Tensor) -> list[Tensor]:
        """Views of rows (m, d): the weight (m, n_outputs, width) and the bias (m, n_outputs)."""
        matrix = rows[:, place.columns].unflatten(1, place.shape)
        blocks = []
        if place.weight:
            blocks.append(matrix[:, :, : place.shape[1] - place.bias])
        if place.bias:
            blocks.append(matrix[:, :, -1])
        return blocks


def _moving_names(module, parameters):
    """Names of the parameters that move, a set."""
    named = dict(module.named_parameters(remove_duplicate=False))
    names = list(named)
    if parameters is None:
        moving = {name for name, value in named.items() if value.requires_grad}
    else:
        moving = set()
        for pattern in [parameters] if isinstance(parameters, str) else parameters:
            found = {name for name in names if _matches(name, pattern)}
            if not found:
                raise ErasureError(
                    f"`parameters` must name parameters or submodules of the module, got "
                    f"{pattern!r}, which matches no parameter. Choose from "
                    f"{_some(name for name, _ in module.named_modules() if name)}, "
                    "`module.named_parameters()`, or patterns of these names."
                )
            moving |= found
    if not moving:
        raise ErasureError(
            f"A parameter of the module must move, got none in {type(module).__name__}. Pass a "
            "module with parameters that require gradients, or name others in `parameters`."
        )
    return moving


def _matches(name, pattern):
    """Whether a pattern matches the name of a parameter or of a submodule that holds it."""
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return any(fnmatchcase(prefix, pattern) for prefix in prefixes)


def _check_sharing(module, moving):
    """Refuse a moving tensor that has two names."""
    named = list(module.named_parameters(remove_duplicate=False))
    counts = Counter(id(parameter) for _, parameter in named)
    for name, parameter in named:
        if name in moving and counts[id(parameter)] > 1:
            names = [other for other, same in named if same is parameter]
            raise ErasureError(
                f"A parameter that moves must have one name, got one tensor under the names "
                f"{_some(names)}. Pass `parameters=` without these names, or give each layer its "
                "own tensor."
            )


def _place(module, name, layer, own, start):
    """Place of a layer whose parameters ``own`` move; the layer must be supported."""
    kind = kind_of(layer)
    option = unsupported_option(layer)
    if kind is None or option is not None or not {"weight", "bias"}.issuperset(own):
        supported = sorted({base.__name__ for base in KINDS})
        given = f" with the option {option}" if option else ""
        others = _some(
            other
            for other, candidate in module.named_modules()
            if other and kind_of(candidate) and list(candidate.parameters(recurse=False))
        )
        raise ErasureError(
            f"Parameters that move must be the weight and bias of supported layers "
            f"({', '.join(supported)}), got {', '.join(own)} of "
            f"{name or 'the module itself'} (type {type(layer).__name__}{given}). Pass "
            f"`parameters=` with the names of the layers that may move: {others}."
        )
    for parameter in own:
        if nn.parameter.is_lazy(layer._parameters[parameter]):
            raise ErasureError(
                f"Parameters that move must have a shape, got {name!r}, whose shape is unknown "
                "until its first batch. Call the module on a batch first."
            )
    moves_weight = "weight" in own
    moves_bias = "bias" in own
    n_outputs = kind.n_outputs(layer)
    width = int(moves_bias)
    if moves_weight:
        width += layer.weight.numel() // n_outputs
    columns = slice(start, start + n_outputs * width)
    return LayerPlace(name, kind, columns, (n_outputs, width), moves_weight, moves_bias)


def _some(names):
    """The last names of a list, in quotes: the output layers of a module are the last ones."""
    quoted = [repr(name) for name in names]
    if not quoted:
        return "none in this module"
    return ", ".join(quoted) if len(quoted) <= 5 else "..., " + ", ".join(quoted[-5:])
