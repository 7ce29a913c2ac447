"""Consecutive diagonal blocks of the parameters, and vectors and curvature rows split by block.

A layout is a list of stacks (n_blocks, size), in the order of the parameters. A stack is a sequence
of consecutive blocks of the same size.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._gradients import CurvatureRows
from sklearn_ssse._inverse.base import Shapes
from sklearn_ssse._kernels import Array, Kernels, cpu

Layout: TypeAlias = Sequence[tuple[int, ...]]


def block_layout(shapes: Shapes, block_size: int | None) -> Layout:
    """Layout for blocks of ``block_size`` parameters; None for one block per output unit."""
    if block_size is None:
        return list(shapes)
    d = sum(n_outputs * width for n_outputs, width in shapes)
    size = min(block_size, d)
    whole, rest = divmod(d, size)
    return [(whole, size)] + ([(1, rest)] if rest else [])


def split(v: NDArray, layout: Layout) -> list[NDArray]:
    """Split v, (d,) or (d, m), into (n_blocks, size) or (n_blocks, size, m) for each stack."""
    stacks = []
    start = 0
    for n_blocks, size in layout:
        stop = start + n_blocks * size
        stacks.append(v[start:stop].reshape(n_blocks, size, *v.shape[1:]))
        start = stop
    return stacks


def is_by_output(scores: CurvatureRows, layout: Layout) -> bool:
    """Whether each block has the parameters of one output unit."""
    return list(layout) == [tuple(shape) for shape in scores.shapes]


def rows_by_block(scores: CurvatureRows, layout: Layout) -> list[NDArray] | None:
    """Curvature rows over each block, (n_blocks, size, n_rows) for each stack.

    None if there are more rows than parameters in any block. If each block has the parameters of
    one output unit, one row replaces the c rows of a sample.
    """
    by_output = is_by_output(scores, layout)
    n_rows = scores.n_samples if by_output else scores.n_rows
    if n_rows > max(size for _, size in layout):
        return None
    if not by_output:
        return split(scores.to_dense().T, layout)
    factors = scores.collect().by_output()
    return [inputs.T * lengths.T[:, np.newaxis, :] for inputs, lengths in factors]


def rows_or_grams(scores: CurvatureRows, layout: Layout) -> list[tuple[bool, NDArray]]:
    """Curvature rows or their Gram matrices over each block, whichever is smaller.

    For each stack a pair (are_rows, array). The array holds the rows, (n_blocks, size, n_rows), if
    ``are_rows``, otherwise their Gram matrices, (n_blocks, size, size).
    """
    stacks = rows_by_block(scores, layout)
    if stacks is None:
        return [(False, gram) for gram in block_grams(scores, layout)]
    return [
        (True, rows) if rows.shape[2] <= rows.shape[1] else (False, rows @ rows.transpose(0, 2, 1))
        for rows in stacks
    ]


def block_grams(scores: CurvatureRows, layout: Layout, kernels: Kernels = cpu) -> list[Array]:
    """Diagonal blocks of ``R^T R``, (n_blocks, size, size) for each stack, as kernel arrays."""
    stacks = [kernels.asarray(np.zeros((n_blocks, size, size))) for n_blocks, size in layout]
    for chunk in scores.chunks():
        if is_by_output(chunk, layout):
            chunk.add_unit_grams(stacks, kernels)
            continue
        start = 0
        for stack in stacks:
            for block in stack:
                stop = start + len(block)
                block += kernels.product(kernels.asarray(chunk.block_rows(start, stop)))
                start = stop
    return stacks
