"""Compiled kernels: the same function names and signatures for every backend, loaded when a fit needs them.

numba: NumPy's products of matrices and compiled recurrences. torch: the same on any of torch's devices, in float64. Whatever the backend,
arrays come in as NumPy, cross in ``asarray``, and are stored as NumPy after ``to_numpy``.
"""

from importlib import import_module
from importlib.util import find_spec

BACKENDS = ("numba", "torch")
# Operations of a build (rows times parameters times width of a block) from which a CUDA device is worth the way there.
WORTH_A_DEVICE = 2e11


def choose_backend(backend, operations):
    """The backend that "auto" stands for: torch where the build is large, torch is installed and has a CUDA device; else numba."""
    if backend != "auto":
        return backend
    if operations < WORTH_A_DEVICE or find_spec("torch") is None:
        return "numba"
    return "torch" if import_module("torch").cuda.is_available() else "numba"


def load(backend, device=None):
    """Kernels of ``backend``: a module, or an object with the same functions."""
    if backend == "numba":
        from sklearn_ssse._kernels import cpu

        return cpu
    from sklearn_ssse._kernels import torch

    return torch.TorchKernels(device)
