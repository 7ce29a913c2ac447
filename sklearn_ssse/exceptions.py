"""Errors and warnings of erasure."""

__all__ = ["ErasureError", "ErasureWarning"]


class LibraryError(Exception):
    """Base of the errors of this library, whose messages quote no value of a row.

    The messages may name the classes that the model was fitted to. The command line prints the
    messages of these errors alone.

    Examples
    --------
    >>> from sklearn_ssse.exceptions import ErasureError, LibraryError
    >>> issubclass(ErasureError, LibraryError)
    True
    """


class ErasureError(LibraryError, ValueError):
    """An erasure, or the computation of a curvature, is not possible with the given arguments.

    The message states the requirement, the given value and the remedy. The error is raised before
    anything has changed: the model is as it was before the call.

    Examples
    --------
    >>> from sklearn_ssse import ErasureError
    >>> issubclass(ErasureError, ValueError)
    True
    """


class ErasureTypeError(LibraryError, TypeError):
    """Rows cannot be erased from an estimator of this type, or not with these arguments.

    The error is raised before anything has changed: the model is as it was before the call.

    Examples
    --------
    >>> from sklearn_ssse.exceptions import ErasureTypeError
    >>> issubclass(ErasureTypeError, TypeError)
    True
    """


class MissingPackageError(LibraryError, ImportError):
    """A package that the chosen option needs is not installed.

    Examples
    --------
    >>> from sklearn_ssse.exceptions import MissingPackageError
    >>> issubclass(MissingPackageError, ImportError)
    True
    """


class ErasureWarning(UserWarning):
    """A change of the rows was made, but its result should be checked.

    The message states the reason, and how to check or improve the result.

    Examples
    --------
    >>> from sklearn_ssse import ErasureWarning
    >>> issubclass(ErasureWarning, UserWarning)
    True
    """
