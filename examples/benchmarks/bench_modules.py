"""Gradient rows of a ResNet20: samples per second on one core.

The groups have one or ten samples. The table compares `gradient_rows` of this library with
``vmap(grad)`` of torch (one row for each sample, then sums over the groups), with a forward and
backward pass for each group, and with one forward and backward pass of all samples (one sum of
gradients). The largest difference from ``vmap(grad)`` is relative to the largest entry.

Run with ``python examples/benchmarks/bench_modules.py``; ``--size 32`` takes CIFAR's full images.
"""

import argparse
import datetime
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from machine import processor
from torch.func import functional_call, grad, vmap

import sklearn_ssse
from sklearn_ssse._modules import ParameterLayout, gradient_rows, gradient_sums
from sklearn_ssse._modules import rows as engine

sys.path.append(str(Path(__file__).parent.parent / "paper"))

from resnet import ResNet20

N_CLASSES = 10
# Samples of one timed call: vmap holds their gradients twice.
N_SAMPLES = 200


def vmap_rows(module, layout, X, seeds, group_size):
    """The rows by ``vmap(grad)`` of torch, summed over the groups."""
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    buffers = dict(module.named_buffers())

    def seeded(parameters, x, seed):
        return (functional_call(module, (parameters, buffers), (x[None],))[0] * seed).sum()

    gradients = vmap(grad(seeded), (None, 0, 0))(parameters, X, seeds[:, 0])
    out = torch.empty(len(X), layout.n_parameters)
    layout.gather(gradients, out)
    return out.unflatten(0, (-1, group_size)).sum(1)


def plain_pass(module, layout, X, seeds, group_size):
    """One forward and backward pass for each group of samples: the sums of their gradients."""
    pieces = zip(X.split(group_size), seeds.split(group_size), strict=True)
    return torch.cat([gradient_sums(module, module, layout, x, s) for x, s in pieces])


def one_pass(module, layout, X, seeds, group_size):
    """One forward and backward pass of all samples."""
    return gradient_sums(module, module, layout, X, seeds)


def rows(module, layout, X, seeds, group_size):
    return gradient_rows(module, module, layout, X, seeds, group_size)


def best_time(function, repeats):
    """Shortest time of some calls, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=16, help="pixels of a side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chunks", action="store_true", help="also other values of CHUNK_SIZE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = ResNet20().eval()
    layout = ParameterLayout.of(module)
    X = torch.randn(N_SAMPLES, 3, arguments.size, arguments.size)
    seeds = torch.randn(N_SAMPLES, 1, N_CLASSES)
    print(f"{datetime.date.today()}; {processor()}, {os.cpu_count()} cores, 1 thread")
    print(
        f"sklearn-ssse {sklearn_ssse.__version__}, torch {torch.__version__}, "
        f"NumPy {np.__version__}, Python {platform.python_version()}"
    )
    print(f"ResNet20, {layout.n_parameters:,} parameters, {arguments.size}-pixel images, float32")
    print("samples per second, best of", arguments.repeats, "calls on", N_SAMPLES, "samples\n")
    print("| group size | gradient_rows | vmap(grad) | pass per group | one pass | difference |")
    print("|---|---|---|---|---|---|")
    for group_size in (1, 10):
        cells = []
        for method in (rows, vmap_rows, plain_pass, one_pass):
            call = lambda m=method, b=group_size: m(module, layout, X, seeds, b)  # noqa: E731
            cells.append(f"{N_SAMPLES / best_time(call, arguments.repeats):.0f}")
        expected = vmap_rows(module, layout, X, seeds, group_size)
        difference = (rows(module, layout, X, seeds, group_size) - expected).abs().max()
        cells.append(f"{difference / expected.abs().max():.1e}")
        print(f"| {group_size} | {' | '.join(cells)} |")
    if arguments.chunks:
        print("\n| CHUNK_SIZE | groups of 1 | groups of 10 |\n|---|---|---|")
        for power in (16, 18, 20, 22, 24):
            engine.CHUNK_SIZE = 2**power
            cells = []
            for group_size in (1, 10):
                call = lambda b=group_size: rows(module, layout, X, seeds, b)  # noqa: E731
                cells.append(f"{N_SAMPLES / best_time(call, arguments.repeats):.0f}")
            print(f"| 2^{power} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
