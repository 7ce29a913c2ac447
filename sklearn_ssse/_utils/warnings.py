"""Warnings that show the line of the user's code that caused them."""

import os
import sys
import warnings
from pathlib import Path

import sklearn

from sklearn_ssse.exceptions import ErasureWarning

# Directories whose frames are skipped: this package, and scikit-learn, which calls it.
SKIPPED = (f"{Path(__file__).parents[1]}{os.sep}", f"{Path(sklearn.__file__).parent}{os.sep}")


def warn(message, category=ErasureWarning):
    """Warn with the file and line of the first frame outside the package and scikit-learn.

    Parameters
    ----------
    message : str
    category : type of Warning, default=ErasureWarning
    """
    stacklevel = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(SKIPPED):
        frame = frame.f_back
        stacklevel += 1
    warnings.warn(message, category, stacklevel=stacklevel)
