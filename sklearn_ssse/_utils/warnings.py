"""Warnings that point at the user's own line."""

import sys
import warnings
from pathlib import Path

from sklearn_ssse.exceptions import ErasureWarning

PACKAGE = str(Path(__file__).parents[1])


def warn(message, category=ErasureWarning):
    """Warn at the first frame outside the package, however deep the call is.

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
    warnings.warn(message, category, stacklevel=stacklevel)
