"""Options that several commands have, and the checks of their values before any work is done."""

import argparse
import math
from contextlib import suppress
from pathlib import Path

from sklearn_ssse._cli.locks import WAIT_SECONDS

FILE = {"type": Path, "required": True}
REPEATED = {"action": "append", "default": []}


def add_trust(add):
    """Add the options that permit a model file to hold more than this library's types."""
    text = "load pickles, which can run any code: only if you trust their origin"
    add("--trust-pickle", action="store_true", help=text)
    add("--trust", metavar="TYPE", help="a further type that a skops file may hold", **REPEATED)


def add_table(add, rows):
    """Add the options for a file of rows, which ``rows`` describes, and for their labels."""
    add("--rows", metavar="FILE", help=f"{rows}, a CSV or a Parquet file", **FILE)
    text = "column of the labels; for several outputs repeat it, or separate by commas"
    add("--target", metavar="COLUMN", required=True, help=text, **REPEATED)


def add_cells(add):
    """Add the options that define the values of cells."""
    text = "a text that stands for a missing value, such as ?; may be repeated"
    add("--missing", metavar="TEXT", help=text, **REPEATED)
    text = "a column that was text at fit, if the model does not define it; may be repeated"
    add("--text", metavar="COLUMN", help=text, **REPEATED)


def add_writing(add, force):
    """Add the options of a command that writes files; ``force`` describes ``--force``."""
    add("--force", action="store_true", help=force)
    text = "how long to wait for other commands that use these files (default: %(default)s)"
    add("--wait", metavar="SECONDS", type=seconds, default=WAIT_SECONDS, help=text)


def seconds(text):
    """A number of seconds, finite and not negative."""
    found = math.nan
    with suppress(ValueError):
        found = float(text)
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"it must be a finite number of at least 0, got {text}")
    return found


def check_output(parser, option, path, force, inputs=()):
    """End with a usage error if a file cannot be written, is an input, or exists without force."""
    if (path.exists() and not path.is_file()) or not path.resolve().parent.is_dir():
        parser.error(f"{option} must be a file in an existing folder, got {path}")
    if any(same(path, other) for other in inputs):
        parser.error(f"{option} must not be a file that the command reads, got {path}")
    if path.exists() and not force:
        parser.error(f"{option} {path} exists; add --force to overwrite it")


def same(one, other):
    """Whether two paths are one file."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
