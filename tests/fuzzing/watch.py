"""Observation of a call: its warnings and its error, and the code that they are from."""

import hashlib
import linecache
import pickle
import sys
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field

from sklearn_ssse.exceptions import LibraryError

# A path with one of these parts belongs to the owner; the innermost one counts. NumPy and SciPy
# have no owner: their caller is responsible.
OWNERS = {"/sklearn_ssse/": "ours", "/sklearn/": "scikit-learn"}


@dataclass
class Observed:
    """The warnings and the error of a call.

    Attributes
    ----------
    warnings : list of tuple
        Category, text, owner and place of each warning.
    error : Exception or None
    """

    warnings: list = field(default_factory=list)
    error: Exception | None = None

    def warned(self, category):
        """Whether a warning of a category was given."""
        return any(issubclass(found, category) for found, *_ in self.warnings)

    @property
    def texts(self):
        """The texts of all messages, also of the causes of the error."""
        found = [text for _, text, *_ in self.warnings]
        error = self.error
        while error is not None:
            found.append(str(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return found


@contextmanager
def observed():
    """Record the warnings and the error of a block."""
    out = Observed()

    def note(message, category, filename, lineno, file=None, line=None):
        frames = list(_running_frames())
        owner = _owner(name for name, _ in frames)
        parts = [part for part, found in OWNERS.items() if found == owner]
        name, line_number = next(
            (frame for frame in frames if any(part in frame[0] for part in parts)), frames[0]
        )
        where = f"{_short(name)}:{line_number}"
        out.warnings.append((category, str(message), owner, where))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = note
        try:
            yield out
        except Exception as error:
            out.error = error


def digest(value):
    """A hash of all that pickle stores of an object: equal if nothing in it has changed."""
    return hashlib.sha1(pickle.dumps(value)).hexdigest()


def _running_frames():
    """File name and line of the calls that are running, innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


def _short(name):
    """The last two parts of a path."""
    return "/".join(name.split("/")[-2:])


def _owner(files):
    """The owner of the first file that has one."""
    for name in files:
        for part, owner in OWNERS.items():
            if part in name:
                return owner
    return "nobody"


def place(error):
    """File and line of the innermost frame of this library in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/sklearn_ssse/" in frame.filename]
    frame = (own or frames)[-1]
    return f"{_short(frame.filename)}:{frame.lineno}"


def owner_of(error):
    """The owner of the code that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return _owner(frame.filename for frame in reversed(frames))


def is_deliberate(error):
    """Whether an error was raised on purpose: by this library, or by scikit-learn's validation.

    `numpy.linalg.LinAlgError` is a ValueError, too, and NumPy and SciPy raise ValueError for arrays
    that a caller should not have passed on.
    """
    if isinstance(error, LibraryError):
        return True
    if type(error) not in (ValueError, TypeError) and type(error).__module__[:8] != "sklearn.":
        return False
    if not isinstance(error, (ValueError, TypeError)):
        return False
    owner = owner_of(error)
    if owner == "ours":
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(last.filename, last.lineno)
        return "/sklearn_ssse/" in last.filename and line.strip().startswith("raise")
    return owner == "scikit-learn"
