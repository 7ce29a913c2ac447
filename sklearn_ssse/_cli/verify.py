"""The command `verify`: a report on an erasure, from two model files and rows."""

import json
import os
import secrets
from contextlib import ExitStack
from pathlib import Path

from sklearn_ssse._cli.commands import collected_messages, fitted_model
from sklearn_ssse._cli.errors import file_access
from sklearn_ssse._cli.locks import locked
from sklearn_ssse._cli.options import (
    add_cells,
    add_table,
    add_trust,
    add_writing,
    check_output,
    same,
)
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


def add_verify(add):
    """Add the options of the command by ``add_argument`` of its parser."""
    add("original", metavar="ORIGINAL", type=Path, help="the model file before the erasure")
    add("erased", metavar="ERASED", type=Path, help="the model file after it")
    add_trust(add)
    add_table(add, "the erased rows")
    add("--retain", metavar="FILE", type=Path, help="the training rows without the erased rows")
    add("--test", metavar="FILE", type=Path, help="rows that were never training rows")
    text = "train a model on the retained rows, and compare with it"
    add("--retrain", action="store_true", help=text)
    add_cells(add)
    text = "seed of the bootstrap intervals (default: %(default)s)"
    add("--seed", metavar="N", type=int, default=0, help=text)
    add("--html", metavar="FILE", type=Path, help="file for the report as a page")
    add("--record", metavar="JSON", type=Path, help="file for the report as JSON")
    add_writing(add, "overwrite files")


def check_verify(parser, args):
    """End with a usage error before any work is done."""
    if args.retrain and args.retain is None:
        parser.error("--retrain needs the retained rows; add --retain FILE")
    inputs = [args.original, args.erased, args.rows, args.retain, args.test]
    inputs = [path for path in inputs if path is not None]
    outputs = {"--html": args.html, "--record": args.record}
    outputs = {option: path for option, path in outputs.items() if path is not None}
    for option, path in outputs.items():
        check_output(parser, option, path, args.force, inputs)
    if len(outputs) == 2 and same(args.html, args.record):
        parser.error(f"--html and --record must be two files, got {args.html}")
    if same(args.original, args.erased):
        parser.error(f"ORIGINAL and ERASED must be two files, got {args.original}")
