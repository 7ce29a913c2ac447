"""Rows in chunks: the loop that every pass over the training data is made of."""


def slices(n, size):
    """Slices of at most ``size`` that cover ``range(n)``; scikit-learn's own validates its arguments for 70 microseconds."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def add_up(parts):
    """Sum of arrays or numbers, at least one, in place of the first."""
    parts = iter(parts)
    total = next(parts)
    for part in parts:
        total += part
    return total
