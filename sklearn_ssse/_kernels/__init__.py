"""Compiled kernels: the same function names and signatures for every backend, loaded when a fit needs them."""

from importlib import import_module

BACKENDS = {"numba": "sklearn_ssse._kernels._numba"}


def load(backend):
    """Module of the kernels of ``backend``."""
    return import_module(BACKENDS[backend])
