"""Rows in chunks: the loop that every pass over the training data is made of."""


def slices(n, size):
    """Slices of at most ``size`` that cover ``range(n)``; scikit-learn's own validates its arguments for 70 microseconds."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def add_up(parts, total=None):
    """Sum of arrays or numbers, in place of ``total``, or of the first of them, of which there is one then."""
    parts = iter(parts)
    total = next(parts) if total is None else total
    for part in parts:
        total += part
    return total
