"""Rows in chunks: the loop that every pass over the training data is made of."""


def slices(n, size):
    """Slices of at most ``size`` that cover ``range(n)``; scikit-learn's own validates its arguments for 70 microseconds."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def chunk_sum(function, n, size):
    """Sum of ``function(rows)``, arrays or numbers, over the chunks of n rows, n > 0."""
    first, *rest = slices(n, size)
    total = function(first)
    for rows in rest:
        total += function(rows)
    return total
