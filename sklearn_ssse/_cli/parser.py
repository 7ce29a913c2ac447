"""The command line: its options, its exit codes, and how a command is stopped."""

import argparse
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from sklearn_ssse._cli.commands import run_inspect, run_preview, run_unlearn
from sklearn_ssse._erasure import read_epsilon
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError

PROGRAM = "python -m sklearn_ssse"
EXIT_CODES = """\
exit codes:
  0  done
  1  refused: the files that were given, or the erasure, and why on standard error; nothing was written
  2  the command itself is wrong
"""
ROWS = """\
The rows: a CSV file in UTF-8, separated by commas, whose first line names the columns. It holds the rows as they were in the
training data, every column that the model was given (by name, in any order; in their order for a model that knows no names),
the target, and nothing else but columns that the command names. Whether rows were in the training data cannot be known.
No message quotes what stands in a row, except labels that the model does not know. Whether a column is text or numbers the
steps of the model tell; of a column that only a step of your own sees they do not: --text names it if it is text.
"""
MAIN = f"""\
examples:
  {PROGRAM} inspect model.skops
  {PROGRAM} preview model.skops --rows withdrawn.csv --target income
  {PROGRAM} unlearn model.skops --rows withdrawn.csv --target income --out erased.skops --record record.json

{EXIT_CODES}"""
UNLEARN = f"""\
{ROWS}
The record: what was done, without any row, and the SHA-256 of both model files. Both files are written, or neither.

example:
  {PROGRAM} unlearn model.skops --rows withdrawn.csv --target income --out erased.skops --record record.json

{EXIT_CODES}"""
PREVIEW = f"""\
{ROWS}
example:
  {PROGRAM} preview model.skops --rows withdrawn.csv --target income

{EXIT_CODES}"""
INSPECT = f"""\
example:
  {PROGRAM} inspect model.skops

{EXIT_CODES}"""


def main(argv=None):
    """Run a command; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.run is not run_inspect:
        _check(args.parser, args)
    try:
        with _stopped_in_order():
            text = args.run(args)
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"{PROGRAM} {args.command}: {error}", file=sys.stderr)
        return 1
    # What was written is written, whether or not anybody can read of it.
    return 0 if _told(text) or args.run is run_unlearn else 1


@contextmanager
def _stopped_in_order():
    """Ends as an interrupt from the keyboard does where the process is told to stop: what was begun is put back."""
    in_main = (
        threading.current_thread() is threading.main_thread()
    )  # no other thread may set a handler
    numbers = [
        getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if in_main and hasattr(signal, name)
    ]
    # One that is ignored, as under nohup, stays so.
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number, frame):
        for other in numbers:  # what is put back is put back once
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _told(text):
    """Print a text; False if nobody listens."""
    try:
        try:
            print(text, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python writes what is left once more at its end
        return False
    return True


def _parser():
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Erase rows from a model file of sklearn-ssse, without the training data.",
        epilog=MAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sklearn-ssse {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{unlearn,preview,inspect}"
    )

    def command(name, run, summary, epilog):
        new = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        new.set_defaults(run=run, parser=new)
        new.add_argument(
            "model",
            metavar="MODEL",
            type=Path,
            help="file written by skops.io.dump, or joblib or pickle",
        )
        new.add_argument(
            "--trust-pickle",
            action="store_true",
            help="load a pickle, which can run any code: only if you know where it is from",
        )
        new.add_argument(
            "--trust",
            metavar="TYPE",
            action="append",
            default=[],
            help="a further type that a skops file may hold",
        )
        return new

    erase = command(
        "unlearn", run_unlearn, "erase rows from a model, and write the model and a record", UNLEARN
    )
    _add_rows(erase)
    erase.add_argument(
        "--out", metavar="MODEL2", type=Path, required=True, help="where the erased model goes"
    )
    erase.add_argument(
        "--record", metavar="JSON", type=Path, required=True, help="where the record goes"
    )
    erase.add_argument(
        "--force", action="store_true", help="overwrite files; needed if MODEL2 is MODEL"
    )
    preview = command(
        "preview", run_preview, "show what unlearn would do, and change nothing", PREVIEW
    )
    _add_rows(preview)
    inspect = command(
        "inspect",
        run_inspect,
        "show what a model file holds, also of rows that were erased",
        INSPECT,
    )
    for new in (preview, inspect):
        new.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_rows(parser):
    add = parser.add_argument
    add("--rows", metavar="CSV", type=Path, required=True, help="the rows to erase")
    add(
        "--target",
        metavar="COLUMN",
        action="append",
        required=True,
        help="column of the labels; for several outputs repeat it, or separate by commas",
    )
    add(
        "--epsilon",
        metavar="E",
        type=_epsilon,
        help="step size, a number, 'auto' or a multiple of it such as 0.5*auto (default: as the model says)",
    )
    add(
        "--preprocessing",
        choices=["keep", "downdate"],
        default="keep",
        help="whether the steps before the model keep the rows in their statistics (default: keep)",
    )
    add("--weights", metavar="COLUMN", help="column of the weights that the rows had at fit")
    add(
        "--positions",
        metavar="COLUMN",
        help="column that counts, from 0, where the rows were at fit; for bagged models",
    )
    add(
        "--missing",
        metavar="TEXT",
        action="append",
        default=[],
        help="what stands for a missing value, such as ?; may be repeated",
    )
    add(
        "--text",
        metavar="COLUMN",
        action="append",
        default=[],
        help="a column that was text at fit, to be taken as it stands where the model does not tell; may be repeated",
    )
    add("--group-column", metavar="NAME", help="column that tells whose a row is; with --forget")
    add("--forget", metavar="ID", nargs="+", help="erase only the rows of these groups")


def _epsilon(text):
    try:
        return float(text)
    except ValueError:
        pass
    try:
        read_epsilon(text)
    except ErasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _check(parser, args):
    """End with a usage error before any work is done."""
    if (args.group_column is None) != (args.forget is None):
        parser.error("--group-column and --forget must be given together")
    if args.forget is not None and not all(group.strip() for group in args.forget):
        parser.error("--forget must name groups, got an empty one; is a variable not set?")
    if args.run is not run_unlearn:
        return
    for option, path in {"--out": args.out, "--record": args.record}.items():
        if (path.exists() and not path.is_file()) or not path.resolve().parent.is_dir():
            parser.error(f"{option} must be a file in a folder that is there, got {path}")
        if path.exists() and not args.force:
            parser.error(f"{option} {path} is there already; add --force to overwrite it")
        if _same(path, args.rows):
            parser.error(f"{option} must not be the file of the rows, got {path}")
    if _same(args.record, args.model) or _same(args.record, args.out):
        parser.error(f"--record must not be a model file, got {args.record}")


def _same(one, other):
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
