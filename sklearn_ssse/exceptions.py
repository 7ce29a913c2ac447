"""Errors and warnings of erasure."""

__all__ = ["ErasureError", "ErasureWarning"]


class ErasureError(ValueError):
    """An erasure, or the curvature that it needs, is not possible as asked.

    Raised before anything has changed: the model is as it was before the call.

    Examples
    --------
    >>> from sklearn_ssse import ErasureError
    >>> issubclass(ErasureError, ValueError)
    True
    """


class ErasureWarning(UserWarning):
    """An erasure was carried out, but its result deserves a second look.

    Examples
    --------
    >>> from sklearn_ssse import ErasureWarning
    >>> issubclass(ErasureWarning, UserWarning)
    True
    """
