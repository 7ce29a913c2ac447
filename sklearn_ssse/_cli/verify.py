"""The command `verify`: a report on an erasure, from two model files and rows."""

import json
import os
import secrets
from contextlib import ExitStack
from pathlib import Path

from sklearn_ssse._cli.commands import collected_messages, fitted_model
from sklearn_ssse._cli.errors import file_access
from sklearn_ssse._cli.locks import WAIT_SECONDS, locked
from sklearn_ssse.verification import verify_erasure

# Options for files of rows, and the names of these rows in `verify_erasure`.
ROW_FILES = {"rows": "forget", "retain": "retain", "test": "test"}


def run_verify(args):
    """Report on an erasure; returns the text to print, and sets the exit code."""
    outputs = [path.resolve() for path in (args.html, args.record) if path is not None]
    models = [path.resolve() for path in (args.original, args.erased) if path.is_file()]
    with ExitStack() as stack:
        with collected_messages() as messages:
            stack.enter_context(locked(outputs, models, args.wait))
        with collected_messages() as more:
            files = {name: fitted_model(vars(args)[name], args) for name in ("original", "erased")}
            report = verify_erasure(
                files["original"].model,
                files["erased"].model,
                retrained="fit" if args.retrain else None,
                random_state=args.seed,
                **_rows(args, files["original"].model),
            )
        _write_outputs(args, files, report, messages + more)
    args.exit_code = 1 if report.alarms else 0
    return str(report)


def _rows(args, model):
    """The arguments X and y of every given file of rows."""
    from sklearn_ssse._cli.rows import read_rows  # needs pandas, an optional dependency

    found = {}
    for option, name in ROW_FILES.items():
        path = vars(args)[option]
        if path is not None:
            rows = read_rows(path, model, args.target, missing=args.missing, text=args.text)
            found[f"X_{name}"] = rows.X
            found[f"y_{name}"] = rows.y
    return found


def _write_outputs(args, files, report, messages):
    """Write the page and the record, each under its name once it is whole."""
    if args.record is not None:
        record = {
            "original_model": args.original.name,
            "original_sha256": files["original"].sha256,
            "erased_model": args.erased.name,
            "erased_sha256": files["erased"].sha256,
            "report": report.to_dict(),
            "warnings": messages,
        }
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        _replace(args.record, lambda path: path.write_text(text, encoding="utf-8"))
    if args.html is not None:
        _replace(args.html, report.save_html)


def _replace(path, write):
    """Write a file beside the path, then rename it; after an error the path is unchanged."""
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with file_access(path, "write"):
            write(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def add_verify(add, seconds):
    """Add the options of the command.

    Parameters
    ----------
    add : callable
        ``add_argument`` of the parser.
    seconds : callable
        Reads a number of seconds.
    """
    add("original", metavar="ORIGINAL", type=Path, help="the model file before the erasure")
    add("erased", metavar="ERASED", type=Path, help="the model file after it")
    repeated = {"action": "append", "default": []}
    text = "load pickles, which can run any code: only if you trust their origin"
    add("--trust-pickle", action="store_true", help=text)
    add("--trust", metavar="TYPE", help="a further type that a skops file may hold", **repeated)
    text = "the erased rows, a CSV or a Parquet file"
    add("--rows", metavar="FILE", type=Path, required=True, help=text)
    text = "column of the labels; for several outputs repeat it, or separate by commas"
    add("--target", metavar="COLUMN", required=True, help=text, **repeated)
    add("--retain", metavar="FILE", type=Path, help="the training rows without the erased rows")
    add("--test", metavar="FILE", type=Path, help="rows that were never training rows")
    text = "train a model on the retained rows, and compare with it"
    add("--retrain", action="store_true", help=text)
    text = "a text that stands for a missing value, such as ?; may be repeated"
    add("--missing", metavar="TEXT", help=text, **repeated)
    text = "a column that was text at fit, if the model does not define it; may be repeated"
    add("--text", metavar="COLUMN", help=text, **repeated)
    text = "seed of the bootstrap intervals (default: %(default)s)"
    add("--seed", metavar="N", type=int, default=0, help=text)
    add("--html", metavar="FILE", type=Path, help="file for the report as a page")
    add("--record", metavar="JSON", type=Path, help="file for the report as JSON")
    add("--force", action="store_true", help="overwrite files")
    text = "how long to wait for other commands that use these files (default: %(default)s)"
    add("--wait", metavar="SECONDS", type=seconds, default=WAIT_SECONDS, help=text)


def check_verify(parser, args, same):
    """End with a usage error before any work is done.

    Parameters
    ----------
    parser : ArgumentParser
    args : Namespace
    same : callable
        Whether two paths are one file.
    """
    if args.retrain and args.retain is None:
        parser.error("--retrain needs the retained rows; add --retain FILE")
    inputs = [args.original, args.erased, args.rows, args.retain, args.test]
    inputs = [path for path in inputs if path is not None]
    outputs = {"--html": args.html, "--record": args.record}
    outputs = {option: path for option, path in outputs.items() if path is not None}
    for option, path in outputs.items():
        if (path.exists() and not path.is_file()) or not path.resolve().parent.is_dir():
            parser.error(f"{option} must be a file in an existing folder, got {path}")
        if any(same(path, other) for other in inputs):
            parser.error(f"{option} must not be a file that the command reads, got {path}")
        if path.exists() and not args.force:
            parser.error(f"{option} {path} exists; add --force to overwrite it")
    if len(outputs) == 2 and same(args.html, args.record):
        parser.error(f"--html and --record must be two files, got {args.html}")
    if same(args.original, args.erased):
        parser.error(f"ORIGINAL and ERASED must be two files, got {args.original}")
