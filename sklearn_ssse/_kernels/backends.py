"""The kernels of a backend, loaded when a fit needs them."""

from importlib import import_module
from importlib.util import find_spec

from sklearn_ssse._kernels import cpu

BACKENDS = ("numba", "torch")
# Multiplications of a build from which "auto" takes a CUDA device: the transfer costs less than it
# saves (`examples/benchmarks/bench_gpu.py`).
WORTH_A_DEVICE = 2e11


def choose_backend(backend, operations):
    """The backend for "auto": torch for a large build on a CUDA device, else numba.

    Parameters
    ----------
    backend : {"auto", "numba", "torch"}
    operations : float
        Rows times parameters times the width of a block.

    Returns
    -------
    {"numba", "torch"}
    """
    if backend != "auto":
        return backend
    if operations < WORTH_A_DEVICE or find_spec("torch") is None:
        return "numba"
    return "torch" if import_module("torch").cuda.is_available() else "numba"


def load(backend, device=None):
    """The kernels of a backend: a module, or an object with the same functions."""
    if backend == "numba":
        return cpu
    from sklearn_ssse._kernels import torch  # an optional dependency

    return torch.TorchKernels(device)
