"""The command line: its options, its exit codes, and an orderly stop by a signal."""

import argparse
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from sklearn_ssse._cli.commands import run_inspect, run_preview, run_refresh, run_unlearn
from sklearn_ssse._cli.errors import printable, visible
from sklearn_ssse._cli.options import (
    FILE,
    add_cells,
    add_table,
    add_trust,
    add_writing,
    check_output,
    same,
)
from sklearn_ssse._cli.signatures import run_new_key, run_verify_record
from sklearn_ssse._cli.verify import add_verify, check_verify, run_verify
from sklearn_ssse._erasure import check_request_id, read_epsilon
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError

PROGRAM = "python -m sklearn_ssse"
EXIT_CODES = """\
exit codes:
  0  done
  1  refused, for the reason on standard error: a file, or the erasure; nothing was written;
     for `verify` also: the report has an alarm, and its files are written
  2  the command itself is wrong
"""
VERIFY = """\
The rows: files of the form that `unlearn` takes, with no columns but the model's and the target.

The report: it is printed, and written to the files that the command names. It holds no value of a
row. Exit code 1 also means that the report was made and that it shows a failure: nothing was
erased, or the erasure made the model worse. The report marks such findings.
"""
ROWS = """\
The rows: a Parquet file, or a CSV file in UTF-8, separated by commas, whose first line names the
columns. It holds the rows as they were in the training data: every column that the model was given
(by name, in any order; in their order for a model without column names), the target, and otherwise
only columns that the command names. Only a model that was fitted with track_rows=True can verify
that the rows were training rows; --track refuses every other model.
No message quotes a value of a row. Columns of a Parquet file keep their types. For a CSV file, the
steps of the model define whether a column is text or numbers. If only a step of your own uses a
column, name it by --text if it is text.
"""
RETAINED = """\
The rows: all rows that the model holds, the training rows without the erased rows and with the
added rows; their number, in all and of each class, must be that of the model. The file has the form
that `unlearn` takes.
"""
RECORD = """\
The record: the change, without any row, and the SHA-256 of both model files. Both files are
written, or neither. With --sign, the record holds all records of the model and a signature, for the
command `verify-record`.

Other commands: the command locks its files, by a file such as .model.skops.ssse-lock beside each.
If another command is writing one of them, it waits, for at most --wait seconds. It writes nothing
if the model changed after it was read, or if an output changed after the command began. If a
command is killed, `inspect` lists the files that it left, and the next command that writes the same
model removes them.
"""
SIGNED = """\
The record must have been written with --sign, or by `sign_records` in Python. The command verifies
the signature with the public key, which you must have from the signer; that no record of the model
was left out, moved or changed; and that the model has these records and parameters. If `unlearn` or
`refresh` wrote the record, the command also verifies the SHA-256 of the model file, which covers
every step of the model. The exit code is 1 if one of these does not hold, and 2 if a file cannot be
opened.
"""
KEYS = """\
Ed25519 keys as PEM, without a password. Only you can read the file of the private key. No file is
overwritten.
"""
EXAMPLES = {
    "inspect": "inspect model.skops",
    "preview": "preview model.skops --rows withdrawn.csv --target income",
    "unlearn": "unlearn model.skops --rows withdrawn.parquet --target income \\\n"
    "      --out erased.skops --record record.json",
    "refresh": "refresh erased.skops --rows remaining.parquet --target income \\\n"
    "      --out refreshed.skops --record refresh.json",
    "verify-record": "verify-record record.json --model erased.skops --public-key public.pem",
    "new-key": "new-key private.pem public.pem",
    "verify": "verify model.skops erased.skops --rows withdrawn.csv --target income \\\n"
    "      --retain retained.csv --test test.csv --retrain --html report.html",
}
WRITING = (run_unlearn, run_refresh)


def main(argv=None):
    """Run a command; returns the exit code."""
    args = _parser().parse_args(argv)
    args.check(args.parser, args)
    try:
        with _stopped_in_order():
            text = args.run(args)
    except Exception as error:
        message = visible(printable(error), kept="\n")
        print(f"{PROGRAM} {args.command}: {message}", file=sys.stderr)
        return 1
    # A change is done once its files are written, also if the report cannot be printed.
    return args.exit_code if _print(text) or args.run in WRITING else 1


@contextmanager
def _stopped_in_order():
    """Let signals that end the process raise SystemExit, so that temporary files are removed."""
    numbers = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    # An ignored signal, as under nohup, remains ignored.
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():  # which alone can set handlers
        numbers = []

    def stop(number, frame):
        for other in numbers:  # no second signal interrupts the clean-up
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _print(text):
    """Print a text; False if standard output cannot be written."""
    # A name may have characters that the encoding of the terminal lacks.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = visible(text, kept="\n").encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it once more at exit
        return False
    return True


def _parser():
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Erase rows from a model file of sklearn-ssse, without the training data.",
        epilog=_epilog("", *EXAMPLES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sklearn-ssse {__version__}")
    names = "{unlearn,preview,refresh,inspect,verify,verify-record,new-key}"
    commands = parser.add_subparsers(dest="command", required=True, metavar=names)

    unlearn = "erase rows from a model, and write the model and a record"
    preview = "show the effect of unlearn, and change nothing"
    refresh = "train a model on the retained rows, and write the model and a record"
    inspect = "show the contents of a model file, its erasures, and files of stopped commands"
    for name, run, summary, text in (
        ("unlearn", run_unlearn, unlearn, f"{ROWS}\n{RECORD}"),
        ("preview", run_preview, preview, ROWS),
        ("refresh", run_refresh, refresh, f"{RETAINED}\n{RECORD}"),
        ("inspect", run_inspect, inspect, ""),
    ):
        new = _add_command(commands, name, summary, text, run, _check)
        _add_model(new.add_argument)
        if run is run_refresh:
            _add_rows(new.add_argument, "the retained rows", ["keep", "refit"])
        elif run is not run_inspect:
            _add_rows(new.add_argument, "the rows to erase", ["keep", "downdate"])
            _add_choice_of_rows(new.add_argument)
        _add_outputs(new.add_argument, writes=run in WRITING)
    verify = "report on an erasure: compare the model before and after it"
    new = _add_command(commands, "verify", verify, VERIFY, run_verify, check_verify)
    add_verify(new.add_argument)
    _add_signatures(commands)
    return parser


def _add_command(commands, name, summary, text, run, check):
    """A new command; ``check(parser, args)`` ends with a usage error before any work is done."""
    new = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=_epilog(text, EXAMPLES[name]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    new.set_defaults(run=run, parser=new, check=check, exit_code=0)
    return new


def _add_signatures(commands):
    """The commands for signed records."""
    summary = "verify the signature of a record, and that it describes a model"
    given = ("verify-record", summary, SIGNED, run_verify_record, _check_readable)
    add = _add_command(commands, *given).add_argument
    add("record", metavar="RECORD", type=Path, help="record that was written with --sign")
    add("--model", metavar="MODEL", help="the model file", **FILE)
    add("--public-key", metavar="KEY", help="PEM file of the signer's public key", **FILE)
    add_trust(add)
    summary = "make a private key for --sign, and its public key"
    given = ("new-key", summary, KEYS, run_new_key, _check_new)
    add = _add_command(commands, *given).add_argument
    add("private", metavar="PRIVATE", type=Path, help="file for the private key; keep it secret")
    add("public", metavar="PUBLIC", type=Path, help="file for the public key")


def _epilog(text, *examples):
    lines = "\n".join(f"  {PROGRAM} {example}" for example in examples)
    return f"{text}\nexamples:\n{lines}\n\n{EXIT_CODES}".lstrip()


def _add_model(add):
    add("model", metavar="MODEL", type=Path, help="file written by skops.io.dump, joblib or pickle")
    add_trust(add)


def _add_rows(add, rows, preprocessing):
    add_table(add, rows)
    verbs = " or ".join(preprocessing)
    text = f"{verbs} the statistics of the steps before the model (default: keep)"
    add("--preprocessing", choices=preprocessing, default="keep", help=text)
    add("--weights", metavar="COLUMN", help="column of the weights that the rows had at fit")
    text = "column of the positions of the rows in the data of fit, from 0; for bagged models"
    add("--positions", metavar="COLUMN", help=text)
    add_cells(add)


def _add_choice_of_rows(add):
    text = "step size: a number, 'auto' or a multiple such as 0.5*auto (default: set by the model)"
    add("--epsilon", metavar="E", type=_epsilon, help=text)
    text = "id of the request for the record, such as a case number, without personal data"
    add("--request-id", metavar="TEXT", type=_request_id, help=text)
    text = "column with the ID of each row's person or other group; with --forget"
    add("--group-column", metavar="NAME", dest="group", help=text)
    add("--forget", metavar="ID", nargs="+", help="erase only the rows of these groups")
    text = "erase only from models that keep digests of their rows (track_rows=True)"
    add("--track", action="store_true", help=text)


def _add_outputs(add, writes):
    if not writes:
        add("--json", action="store_true", help="print JSON")
        return
    add("--out", metavar="MODEL2", help="file for the changed model", **FILE)
    add("--record", metavar="JSON", help="file for the record", **FILE)
    text = "sign the record; KEY is a PEM file of a private Ed25519 key, see new-key"
    add("--sign", metavar="KEY", type=Path, help=text)
    add_writing(add, "overwrite files; needed if MODEL2 is MODEL")


def _epsilon(text):
    with suppress(ValueError):
        return float(text)
    try:
        read_epsilon(text)
    except ErasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _request_id(text):
    try:
        return check_request_id(text)
    except ErasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _check(parser, args):
    """End with a usage error before any work is done."""
    if args.run in (run_unlearn, run_preview):
        _check_groups(parser, args)
    if args.run not in WRITING:
        return
    for option, path in {"--out": args.out, "--record": args.record}.items():
        check_output(parser, option, path, args.force)
        if same(path, args.rows):
            parser.error(f"{option} must not be the file of the rows, got {path}")
        if args.sign is not None and same(path, args.sign):
            parser.error(f"{option} must not be the file of the key, got {path}")
    if same(args.record, args.model) or same(args.record, args.out):
        parser.error(f"--record must not be a model file, got {args.record}")


def _check_readable(parser, args):
    """End with a usage error if a file of `verify-record` cannot be opened."""
    options = {"RECORD": args.record, "--model": args.model, "--public-key": args.public_key}
    for option, path in options.items():
        try:
            path.open("rb").close()
        except OSError as error:
            parser.error(f"{option} must be a file that can be read, got {path}: {error.strerror}")


def _check_new(parser, args):
    """End with a usage error if a file of `new-key` exists."""
    for path in (args.private, args.public):
        if path.exists() or not path.resolve().parent.is_dir():
            parser.error(f"PRIVATE and PUBLIC must be new files in existing folders, got {path}")
    if same(args.private, args.public):
        parser.error(f"PRIVATE and PUBLIC must be two files, got {args.private} twice")


def _check_groups(parser, args):
    """End with a usage error if the groups and their column do not match."""
    if (args.group is None) != (args.forget is None):
        parser.error("--group-column and --forget must be given together")
    if args.forget is not None and not all(group.strip() for group in args.forget):
        parser.error("--forget must name groups, got an empty one; is a variable not set?")
