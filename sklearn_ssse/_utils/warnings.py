"""Warnings that point at the line of the user that caused them."""

import sys
import warnings
from pathlib import Path

from sklearn_ssse.exceptions import ErasureWarning

# Directory of the package, whose frames are skipped.
PACKAGE = str(Path(__file__).parents[1])


def warn(message, category=ErasureWarning):
    """Warn with the file and line of the first frame outside the package.

    Parameters
    ----------
    message : str
    category : type of Warning, default=ErasureWarning
    """
    stacklevel = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
        stacklevel += 1
    warnings.warn(message, category, stacklevel=stacklevel - 1)
