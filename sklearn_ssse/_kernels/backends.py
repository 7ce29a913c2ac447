"""The kernels of a backend, imported when a fit needs them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sklearn_ssse._kernels import cpu
from sklearn_ssse._kernels.types import Kernels

BACKENDS = ("numba", "torch")
# Multiplications of a build above which "auto" uses a CUDA device: for larger builds the transfer
# costs less time than the device saves (measured by `examples/benchmarks/bench_gpu.py`).
DEVICE_OPERATIONS = 2e11


def choose_backend(backend: str, operations: float) -> str:
    """Resolve ``backend="auto"``: torch for a large build on a CUDA device, otherwise numba.

    Parameters
    ----------
    backend : {"auto", "numba", "torch"}
        The parameter of the estimator. Any value but "auto" is returned unchanged.
    operations : float
        Multiplications of the build: rows times parameters times the width of a block.

    Returns
    -------
    backend : {"numba", "torch"}
        The backend to pass to `load`.
    """
    if backend != "auto":
        return backend
    if operations < DEVICE_OPERATIONS or find_spec("torch") is None:
        return "numba"
    return "torch" if import_module("torch").cuda.is_available() else "numba"


def load(backend: str, device: Any = None) -> Kernels:
    """Import the kernels of a backend.

    Parameters
    ----------
    backend : {"numba", "torch"}
        Name of the backend.
    device : str, int, torch.device or None, default=None
        Device of torch; None for CUDA if there is a CUDA device, otherwise the CPU. Ignored by
        "numba".

    Returns
    -------
    kernels : module or TorchKernels
        Module `cpu`, or an object with the same functions.

    Raises
    ------
    ImportError
        If the backend is "torch" and torch cannot be imported.
    ErasureError
        If torch does not find the device, or the device does not compute in float64.
    """
    if backend == "numba":
        return cpu
    from sklearn_ssse._kernels import torch  # an optional dependency

    return torch.TorchKernels(device)
