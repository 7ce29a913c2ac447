"""Errors and warnings of erasure."""

__all__ = ["ErasureError", "ErasureWarning"]


class ErasureError(ValueError):
    """An erasure, or the computation of a curvature, is not possible with the given arguments.

    The message states what must hold, what was given, and what to do. It is raised before anything
    has changed: the model is as it was before the call.

    Examples
    --------
    >>> from sklearn_ssse import ErasureError
    >>> issubclass(ErasureError, ValueError)
    True
    """


class ErasureWarning(UserWarning):
    """A change of the rows was made, but its result should be checked.

    The message states why, and how to check it or to improve it.

    Examples
    --------
    >>> from sklearn_ssse import ErasureWarning
    >>> issubclass(ErasureWarning, UserWarning)
    True
    """
