"""Consecutive diagonal blocks of the parameters, and the parts of vectors and curvature rows on them."""

import numpy as np

from sklearn_ssse import _kernels


def block_layout(shapes, block_size):
    """Runs of equal blocks, as (number of blocks, size) in the order of the parameters."""
    if block_size is None:
        return [(n_outputs, width) for n_outputs, width in shapes]
    d = sum(n_outputs * width for n_outputs, width in shapes)
    size = min(block_size, d)
    whole, rest = divmod(d, size)
    return [(whole, size)] + ([(1, rest)] if rest else [])


def split(v, layout):
    """The parts of v, (d,) or (d, m), as (n_blocks, size) or (n_blocks, size, m) for each run."""
    out, start = [], 0
    for count, size in layout:
        stop = start + count * size
        out.append(v[start:stop].reshape(count, size, *v.shape[1:]))
        start = stop
    return out


def by_output(scores, layout):
    """Whether the blocks are those of the outputs."""
    return list(layout) == [tuple(shape) for shape in scores.shapes]


def rows_on(scores, layout):
    """The rows over each block, (n_blocks, size, n_rows) for each run; None where they are more than any block is wide.

    On the blocks of the outputs one row stands for those of a sample.
    """
    outputs, widest = by_output(scores, layout), max(size for _, size in layout)
    if (scores.n_samples if outputs else scores.n_rows) > widest:
        return None
    if not outputs:
        return split(scores.to_dense().T, layout)
    return [
        inputs.T * lengths.T[:, np.newaxis, :] for inputs, lengths in scores.collect().by_output()
    ]


def pieces_of(scores, layout):
    """For each run whether rows are few, and the `rows_on` its blocks, or where they are many their Gram matrices."""
    rows = rows_on(scores, layout)
    if rows is None:
        return [(False, gram) for gram in block_grams(scores, layout)]
    few = [part.shape[2] <= part.shape[1] for part in rows]
    return [
        (f, part if f else part @ part.transpose(0, 2, 1))
        for f, part in zip(few, rows, strict=True)
    ]


def block_grams(scores, layout, kernels=None):
    """Diagonal blocks of ``R^T R``, (n_blocks, size, size) for each run, as arrays of the kernels."""
    kernels = kernels or _kernels.load("numba")
    total = [kernels.asarray(np.zeros((count, size, size))) for count, size in layout]
    for chunk in scores.chunks():
        if by_output(chunk, layout):
            chunk.add_unit_grams(total, kernels)
            continue
        start = 0
        for out in total:
            for block in out:
                block += kernels.product(
                    kernels.asarray(chunk.block_rows(start, start + len(block)))
                )
                start += len(block)
    return total
