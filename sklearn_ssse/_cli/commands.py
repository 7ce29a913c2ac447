"""The commands: what each does between reading its files and writing them."""

import json
import sys
import warnings
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import Exact
from sklearn_ssse._cli.csv_rows import read_rows, redacted
from sklearn_ssse._cli.model_files import read_model, sha256, write_together
from sklearn_ssse._composites import erasable_models, inside
from sklearn_ssse._preprocessing import is_fitted_to_rows, transformers
from sklearn_ssse._utils.memory import readable
from sklearn_ssse._verbs import plan_unlearn, unlearn
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError, ErasureWarning


def run_unlearn(args):
    """Erase, then write the model and the record together. Returns the text to print."""
    file = _read_model(args)
    rows = _read_rows(args, file.model)
    models = erasable_models(file.model)
    before = [len(model.erasures_) for model in models]
    with _quiet(rows) as told:
        rows.warn()
        unlearn(file.model, rows.X, rows.y, args.epsilon, **_options(args, rows))
    records = [
        record
        for model, count in zip(models, before, strict=True)
        for record in model.erasures_[count:]
    ]
    _check_any(args, file.model, records)
    data = file.dumps(file.model)
    report = _report(args, records, told) | {
        "erased_model": args.out.name,
        "sha256": file.sha256,
        "erased_sha256": sha256(data),
    }
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    # The record goes first: a record without its model can be told by the hash, a model without its record could be erased from twice.
    files = {args.record.resolve(): (text.encode(), None), args.out.resolve(): (data, args.model)}
    write_together(files, overwrite=args.force)
    return _lines(report)


def run_preview(args):
    """What ``run_unlearn`` would record; nothing is written. Returns the text to print."""
    model = _read_model(args).model
    rows = _read_rows(args, model)
    with _quiet(rows) as told:
        rows.warn()
        plan = plan_unlearn(model, rows.X, rows.y, args.epsilon, **_options(args, rows))
        plan.warn()
    records = [erasure.record for erasure in plan.erasures if erasure.record.n_erased]
    _check_any(args, model, records)
    report = _report(args, records, told)
    return json.dumps(report, indent=2, allow_nan=False) if args.json else _lines(report)


def run_inspect(args):
    """What is in a model file. Returns the text to print."""
    file = read_model(args.model, trust_pickle=args.trust_pickle, trusted=args.trust)
    try:
        kept, models = _fitted_transformers(file.model), erasable_models(file.model)
    except (AttributeError, NotFittedError):
        raise ValueError(
            f"{args.model} must hold a fitted model, got {type(file.model).__name__} before its fit."
        ) from None
    found = {
        "model": args.model.name,
        "sha256": file.sha256,
        "type": type(file.model).__name__,
        "erasable": [_inspected(model, kept) for model in models],
    }
    if args.json:
        return json.dumps(found, indent=2, allow_nan=False)
    lines = [_pair(name, found[name]) for name in ("model", "sha256", "type")]
    if not found["erasable"]:
        lines.append("Rows cannot be erased from it: it holds no fitted model of sklearn-ssse.")
    for i, model in enumerate(found["erasable"]):
        lines += [f"\nErasable model {i + 1} of {len(found['erasable'])}", *_text(model)]
    return "\n".join(lines)


def _check_any(args, model, records):
    if not records and erasable_models(model):
        raise ErasureError(
            f"{args.rows} must hold rows to erase, got none of positive weight. The model is as it was."
        )


def _read_model(args):
    file = read_model(args.model, trust_pickle=args.trust_pickle, trusted=args.trust)
    if not isinstance(file.model, BaseEstimator):
        raise ValueError(f"{args.model} must hold a fitted model, got {type(file.model).__name__}.")
    check_is_fitted(file.model)
    return file


def _read_rows(args, model):
    names = {
        "weights": args.weights,
        "positions": args.positions,
        "group": args.group_column,
        "forget": args.forget,
    }
    return read_rows(
        args.rows, model, args.target, missing=args.missing, as_text=args.text, **names
    )


def _options(args, rows):
    positions = {} if rows.positions is None else {"positions": rows.positions}
    return {"sample_weight": rows.sample_weight, "preprocessing": args.preprocessing, **positions}


@contextmanager
def _quiet(rows):
    """Collect warnings as messages, and print them; no message quotes a row. Errors become ValueErrors."""
    told = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
            yield told
    except Exception as error:
        if _is_own(error):
            raise
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(kind + redacted(str(error), rows.text)) from None
    for warning in caught:
        message = str(warning.message)
        message = (
            message
            if issubclass(warning.category, ErasureWarning)
            else redacted(message, rows.text)
        )
        if message not in told:
            told.append(message)
            print(f"warning: {message}", file=sys.stderr)


def _is_own(error):
    """Whether the message is the library's, which quotes labels at most. A ValueError may be NumPy's, about a value."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "")
    return isinstance(error, ErasureError) or (
        isinstance(error, TypeError) and module.startswith("sklearn_ssse.")
    )


def _report(args, records, told):
    return {
        "library": f"sklearn-ssse {__version__}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": args.model.name,
        "erasures": [_plain(asdict(record)) for record in records],
        "warnings": told,
    }


def _plain(value):
    """As JSON has it: no NumPy, no tuples, null for what is no finite number."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _fitted_transformers(estimator):
    """Names of the steps of pipelines, wherever they are, that learned from the rows at fit."""
    kept = []
    if isinstance(estimator, Pipeline):
        kept += [
            name for name, step in transformers(estimator.steps[:-1]) if is_fitted_to_rows(step)
        ]
    for part in inside(estimator):
        kept += _fitted_transformers(part)
    return list(dict.fromkeys(kept))


def _inspected(model, transformers):
    if "curvature_" not in vars(model):
        return {"type": type(model).__name__, "fitted": False}
    state, records = model._erasure_state, model.erasures_
    calibrated = ["damping"] if model.damping == "auto" else []
    if state.calibration is not None and not isinstance(state.calibration, Exact):
        calibrated.append("epsilon")
    weights = state.class_weight is not None and not np.all(state.class_weight == 1)
    return {
        "type": type(model).__name__,
        "rows_remaining": int(model.n_samples_remaining_),
        "rows_by_class": {
            str(name): int(count)
            for name, count in zip(model.classes_, state.class_counts, strict=True)
        },
        "fitted_with_weights": bool(state.weighted),
        "parameters": int(model.curvature_.n_parameters),
        "structure": model.structure_,
        "curvature": state.curvature,
        "curvature_bytes": int(model.curvature_.nbytes),
        "curvature_stale": state.stale or None,
        "erasures": [_plain(asdict(record)) for record in records],
        "rows_erased": sum(record.n_erased for record in records),
        "rows_added": sum(record.n_added for record in records),
        "changed_fraction": _plain(float(state.changed / state.fit_mass)),
        # What an erasure leaves as it was: numbers over all rows of the fit.
        "kept_after_erasure": {
            "transformers": transformers,
            "kept_by": list(dict.fromkeys(name for record in records for name in record.kept_by)),
            "class_weights_frozen_at_fit": bool(weights),
            "calibrated_at_fit": calibrated,
        },
    }


def _lines(report):
    """A report as text."""
    lines = [
        _pair(name, value) for name, value in report.items() if name not in ("erasures", "warnings")
    ]
    for i, record in enumerate(report["erasures"]):
        lines += [f"\nErasure from model {i + 1} of {len(report['erasures'])}", *_text(record)]
    return "\n".join(lines)


def _text(mapping):
    for name, value in mapping.items():
        if name == "erasures":
            value = len(value)
        elif name == "curvature_bytes":
            name, value = "curvature_size", readable(value)
        if isinstance(value, dict):
            yield f"  {name}:"
            yield from (f"  {line}" for line in _text(value))
        else:
            yield f"  {_pair(name, value)}"


def _pair(name, value):
    if isinstance(value, float):
        value = f"{value:.6g}"
    elif isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    elif value is None:
        value = "none"
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{name.replace('_', ' ')}: {value}"
