"""The errors of the command line, and the text of an error that may be printed.

Messages of this library quote no value of a row except labels. Messages of other libraries, and of
a model's own steps, may quote one: they are replaced by the type of the error and advice.
"""

from contextlib import contextmanager

from sklearn.exceptions import NotFittedError

from sklearn_ssse.exceptions import LibraryError

READ_IN_PYTHON = "the message is not printed because it may quote a row; make the call in Python"
ADVICE = {
    NotFittedError: "The file must hold a fitted model with a curvature, got one that is not "
    "fitted. Call `fit` or `fit_curvature` first.",
    ImportError: "A package is missing. Install the packages of the model's own steps, and run: "
    "pip install 'sklearn-ssse[cli]'",
    Exception: f"Check the rows for missing or changed values ({READ_IN_PYTHON} to read it).",
}
# Names that an error message lists at most.
MAX_NAMES = 8


class CommandError(LibraryError):
    """A file or an option that a command cannot use."""


def printable(error):
    """The message of an error of the library; the type and advice for any other error."""
    if isinstance(error, LibraryError):
        return str(error)
    advice = next(text for kind, text in ADVICE.items() if isinstance(error, kind))
    return f"{type(error).__name__}. {advice}"


def visible(text, kept=""):
    """The text with characters that cannot be printed escaped, except those in ``kept``.

    A model file may hold names with line feeds, or with codes that control a terminal.
    """
    shown = (c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)
    return "".join(shown)


def few(names):
    """The first names, and the number of the others."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(str, names[:MAX_NAMES])) + more


@contextmanager
def file_access(name, verb):
    """Turn a failure of the operating system into a `CommandError` that names the file."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandError(f"It must be possible to {verb} {name}, got: {reason}.") from None
