"""Build of the inverse curvature on a CUDA device, compared with bare operations on that device.

``python examples/benchmarks/bench_gpu.py`` prints one table. It contains the seconds to build a
dense inverse of 20,000 parameters from 20,000 rows, of 40,000 parameters from 40,000 rows, and one
block of 70,000 parameters if it fits into memory. The rows are NumPy arrays and are copied to the
device chunk by chunk, as in a fit. The resulting inverse is a NumPy array.

The column "floor" is the time of the bare operations with all matrices on the device: the product
``G.T @ G`` of a matrix of that size, ``torch.linalg.cholesky`` and ``torch.cholesky_inverse``. Both
times are medians of alternating runs (floor, build, floor, ...). The table also contains their
ratio, the peak of the device's memory, and the residual ``|A P v - v| / |v|`` of the inverse P for
a random v.

``--small`` uses matrices a hundredth of the size, on the CPU if there is no CUDA device. This tries
out the script; its times are no measurement of a GPU.

The figures are not pass marks.
"""

import argparse
import gc
import os
import platform
import sys
import time

import numpy as np
import torch

import sklearn_ssse
from sklearn_ssse import _kernels
from sklearn_ssse._families.base import Batch
from sklearn_ssse._gradients import Layer, ScoreStream
from sklearn_ssse._inverse import INVERSES
from sklearn_ssse._utils.memory import available_bytes

SIZES = [("full", 20_000), ("full", 40_000), ("block", 70_000)]
HEADER = (
    "structure",
    "parameters",
    "rows",
    "rows at once",
    "build s",
    "floor s",
    "build / floor",
    "peak device GB",
    "residual",
)
SMALL = [("full", 200), ("full", 400), ("block", 700)]
# Numbers of (d, d) matrices on the device at the same time. A build has two: the sum and the
# product of one chunk, then the factor and its working copy.
FLOOR_MATRICES = 3.05
BUILD_MATRICES = 2.05


class RepeatedChunk(Batch):
    """One chunk of random rows, returned for every chunk, so that a build takes no time for it."""

    def __init__(self, d, chunk_size):
        rng = np.random.default_rng(0)
        self.n_samples = d
        self.chunk_size = min(chunk_size, d)
        self.shapes = [(1, d)]
        self.inputs = rng.standard_normal((self.chunk_size, d))
        self.deltas = rng.choice([-0.5, 0.5], (self.chunk_size, 1, 1))

    def layers(self, rows, curvature):
        size = rows.stop - rows.start
        return [Layer(self.inputs[:size], self.deltas[:size], False)]

    def rows_per_sample(self, curvature):
        return 1


def build(structure, scores, kernels):
    d = scores.n_parameters
    options = {"block_size": d} if structure == "block" else {}
    return INVERSES[structure].build(
        scores, np.ones(d), kernels=kernels, inversion="cholesky", **options
    )


def floor(d, device):
    G = torch.randn(d, d, dtype=torch.float64, device=device)
    synchronize(device)
    start = time.perf_counter()
    A = G.mT @ G
    del G
    A.diagonal().add_(float(d))
    factor = torch.linalg.cholesky(A)
    del A
    torch.cholesky_inverse(factor)
    synchronize(device)
    return time.perf_counter() - start


def timed_build(structure, scores, kernels):
    start = time.perf_counter()
    inverse = build(structure, scores, kernels)  # NumPy arrays, so the device has finished
    return time.perf_counter() - start, inverse


def residual(inverse, scores):
    v = np.random.default_rng(1).standard_normal(scores.n_parameters)
    w = inverse.solve(v)
    product = 0.0
    for chunk in scores.chunks():
        product = product + chunk.rmatvec(chunk.matvec(w[:, np.newaxis]))[:, 0]
    return np.linalg.norm(product + w - v) / np.linalg.norm(v)


def measure(structure, d, chunk_sizes, runs, device):
    """Seconds of the floor and of the builds; None for a build that does not fit into memory.

    Returns
    -------
    seconds, peaks, residuals : dict
        Keys are "floor" and the numbers of rows that are copied to the device at once.
    """
    kernels = _kernels.load("torch", device)
    streams = {
        size: ScoreStream(RepeatedChunk(d, size), "empirical_fisher") for size in chunk_sizes
    }
    seconds = {name: [] for name in ("floor", *streams)}
    peaks = dict.fromkeys(seconds, float("nan"))
    residuals = dict.fromkeys(seconds, float("nan"))
    fits = {name: room(d, BUILD_MATRICES, device) and host_room(d) for name in streams}
    fits["floor"] = room(d, FLOOR_MATRICES, device)
    for _ in range(runs):
        for name, times in seconds.items():
            if not fits[name]:
                continue
            clear(device)
            try:
                if name == "floor":
                    times.append(floor(d, device))
                else:
                    step, inverse = timed_build(structure, streams[name], kernels)
                    times.append(step)
                    peaks[name] = peak_gigabytes(device)
                    residuals[name] = residual(inverse, streams[name])
                    del inverse
            except torch.OutOfMemoryError:
                fits[name] = False
    medians = {
        name: float(np.median(times)) if fits[name] else None for name, times in seconds.items()
    }
    return medians, peaks, residuals


def room(d, matrices, device):
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
    return 8 * matrices * d**2 < free


def host_room(d):
    """Whether the inverse and a vector for its residual fit into the memory of the host."""
    return 8 * 1.05 * d**2 < available_bytes()


def clear(device):
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gigabytes(device):
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else float("nan")


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--small",
        action="store_true",
        help="try out the script, on the CPU if there is no CUDA device",
    )
    parser.add_argument("--device", default=None, help="the device, by its name in torch")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--chunk-rows",
        type=int,
        nargs="+",
        default=None,
        help="numbers of rows that are copied to the device at once",
    )
    return parser.parse_args()


def main():
    args = arguments()
    device = _kernels.load("torch", args.device).device
    if device.type != "cuda":
        print(
            "There is no CUDA device on this machine."
            if args.device is None
            else f"{args.device!r} is no CUDA device."
        )
        if not args.small:
            sys.exit("Nothing was measured. Pass --small to try the script on this device.")
        print("The table tries out the script. It does not measure a GPU.")
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"device {str(device)!r}"
    )
    print(
        f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}; {platform.machine()}, "
        f"{os.cpu_count()} cores; Python {platform.python_version()}, NumPy {np.__version__}, "
        f"sklearn-ssse {sklearn_ssse.__version__}; float64; medians of {args.runs} alternating runs"
    )
    # A fit copies 64 rows at once for 20,000 parameters and more.
    chunk_rows = args.chunk_rows or ([16, 64] if args.small else [64, 2048])
    measure("full", 100, [50], 1, device)  # loads the libraries of the device
    measure("block", 100, [50], 1, device)
    row = "{:10} {:>10} {:>8} {:>13} {:>9} {:>9} {:>13} {:>14} {:>10}"
    print(row.format(*HEADER))
    for structure, d in SMALL if args.small else SIZES:
        medians, peaks, residuals = measure(structure, d, chunk_rows, args.runs, device)
        least = medians["floor"]
        for size in chunk_rows:
            step = medians[size]
            cells = (
                "no memory" if step is None else f"{step:.3f}",
                "no memory" if least is None else f"{least:.3f}",
                f"{step / least:.2f}" if step and least else "",
                f"{peaks[size]:.1f}" if np.isfinite(peaks[size]) else "",
                f"{residuals[size]:.0e}" if step else "",
            )
            print(row.format(structure, f"{d:,}", f"{d:,}", f"{size:,}", *cells))


if __name__ == "__main__":
    main()
