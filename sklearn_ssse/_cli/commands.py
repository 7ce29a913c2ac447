"""The commands: each reads its files, changes a model or reports, and returns text to print."""

import json
import sys
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._calibration import Exact
from sklearn_ssse._cli.errors import READ_IN_PYTHON, CommandError, few, file_access, visible
from sklearn_ssse._cli.model_files import read_model, sha256
from sklearn_ssse._cli.unfinished import inspect_folder
from sklearn_ssse._cli.writing import Output, open_outputs, write_together
from sklearn_ssse._composites import erasable_models, inside, plan_refresh, plan_unlearn
from sklearn_ssse._erasure import carry_out, is_certified, now
from sklearn_ssse._preprocessing import is_fitted_to_rows, transformers
from sklearn_ssse._signing import content_of, read_private_key, signed
from sklearn_ssse._utils.memory import readable
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureWarning

# Options of the command line that `read_rows` takes.
ROW_OPTIONS = ("weights", "positions", "group", "forget", "missing", "text")
ERASURES = ("erasures", "Erasure from model")
REFRESHED = ("refreshed", "Refreshed model")


class _Files(NamedTuple):
    """The resolved files of a command that writes, their hashes, and messages for the record."""

    model: Path
    out: Path
    record: Path
    hashes: dict
    messages: list


def run_unlearn(args):
    """Erase, then write the model and the record together. Returns the text to print."""
    key = _signing_key(args)
    with _opened(args) as files:
        file, report = _erase(args)
        _write(args, files, file, report, ("erased", key))
    return _lines(report, *ERASURES)


def run_refresh(args):
    """Train the models on the retained rows, then write the model and the record together.

    Returns the text to print.
    """
    key = _signing_key(args)
    with _opened(args) as files:
        file = fitted_model(args.model, args)
        with collected_messages() as messages:
            X, y, weights, positions = _rows(args, file.model)
            plan = plan_refresh(file.model, X, y, weights, args.preprocessing, positions)
            plan.warn()
            carry_out(plan.erasures, plan.changes)
        models = [_refreshed(model) for model in erasable_models(file.model)]
        report = _report(args, "refreshed", models, messages)
        _write(args, files, file, report, ("refreshed", key))
    return _lines(report, *REFRESHED)


@contextmanager
def _opened(args):
    """Lock the files of a command that writes; yields `_Files`."""
    model = args.model.resolve()
    out = args.out.resolve()
    record = args.record.resolve()
    # A pipe cannot be read twice, and no command writes it.
    read = [model] if args.model.is_file() else []
    with ExitStack() as stack:
        with collected_messages() as messages:
            hashes = stack.enter_context(
                open_outputs(read, out, record, wait=args.wait, overwrite=args.force)
            )
        yield _Files(model, out, record, hashes, messages)


def _signing_key(args):
    """The private key of the option ``--sign``, or None."""
    return None if args.sign is None else read_private_key(args.sign)


def _write(args, files, file, report, done_and_key):
    """Write the changed model and the report, with the hashes of both model files.

    ``done_and_key`` holds "erased" or "refreshed", and the key to sign the report with, or None.
    """
    done, key = done_and_key
    data = file.dumps(file.model)
    report["warnings"] = files.messages + report["warnings"]
    report |= {f"{done}_model": args.out.name, "sha256": file.sha256}
    report[f"{done}_sha256"] = sha256(data)
    if key is not None:
        report = signed({**content_of(file.model), **report}, key)
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    hashes = dict(files.hashes)
    if files.model in hashes:
        hashes[files.model] = file.sha256  # of the content that was read
    with file_access(f"{args.out} and {args.record}", "write"):
        write_together(
            Output(files.record, text.encode(), None),
            Output(files.out, data, args.model),
            hashes,
        )


def run_preview(args):
    """The report that ``run_unlearn`` would record; nothing is written. Returns the text."""
    _, report = _erase(args, only_plan=True)
    if args.json:
        return json.dumps(report, indent=2, allow_nan=False)
    return _lines(report, *ERASURES)


def run_inspect(args):
    """The contents of a model file, and stopped commands in its folder. Returns the text."""
    folder = inspect_folder(args.model)
    if folder["leftovers"] and not args.model.exists():
        names = few([leftover["file"] for leftover in folder["leftovers"]])
        found = f"none, and files of stopped commands in its folder: {names}"
        raise CommandError(f"{args.model} must be a model file, got {found}. Inspect another.")
    file = _read_model(args.model, args)
    try:
        kept = _fitted_transformers(file.model)
        models = erasable_models(file.model)
    except (AttributeError, NotFittedError):
        kind = type(file.model).__name__
        must = f"{args.model} must hold a fitted model"
        raise CommandError(f"{must}, got {kind} before its fit. Call `fit` first.") from None
    found = {
        "model": args.model.name,
        "sha256": file.sha256,
        "type": type(file.model).__name__,
        **folder,
        "erasable": [_inspected(model, kept) for model in models],
    }
    if args.json:
        return json.dumps(found, indent=2, allow_nan=False)
    leftovers = {"leftovers": found.pop("leftovers")}
    text = _lines(found, "erasable", "Erasable model")
    if not models:
        text += "\nRows cannot be erased from it: it holds no fitted model of sklearn-ssse."
    if leftovers["leftovers"]:
        text += "\n" + _lines(leftovers, "leftovers", "Leftover file")
    return text


def _read_model(path, args):
    return read_model(path, trust_pickle=args.trust_pickle, trusted=args.trust)


def fitted_model(path, args):
    """The model file, whose content must be a fitted estimator."""
    file = _read_model(path, args)
    if not isinstance(file.model, BaseEstimator):
        kind = type(file.model).__name__
        raise CommandError(f"{path} must hold a fitted model, got {kind}.")
    check_is_fitted(file.model)
    return file


def _rows(args, model):
    """The rows of the file ``--rows``, in the types that the model was fitted to."""
    from sklearn_ssse._cli.rows import read_rows  # needs pandas, an optional dependency

    columns = {name: vars(args).get(name) for name in ROW_OPTIONS}
    return read_rows(args.rows, model, args.target, **columns)


def _erase(args, only_plan=False):
    """Plan the erasure and carry it out; the model file, with the erased model, and the report."""
    file = fitted_model(args.model, args)
    if args.track:
        _check_tracked(args, file.model)
    with collected_messages() as messages:
        X, y, weights, positions = _rows(args, file.model)
        options = {
            "positions": positions,
            "preprocessing": args.preprocessing,
            "request_id": args.request_id,
        }
        plan = plan_unlearn(file.model, X, y, args.epsilon, sample_weight=weights, **options)
        plan.warn()
        if not only_plan:
            carry_out(plan.erasures, plan.changes)
    records = [erasure.record for erasure in plan.erasures if erasure.record.n_erased]
    if not records and erasable_models(file.model):
        raise CommandError(f"{args.rows} must hold rows of positive weight to erase, got none.")
    return file, _report(args, "erasures", [record.to_dict() for record in records], messages)


def _check_tracked(args, model):
    """Refuse a file with a model that keeps no digests of its rows."""
    models = erasable_models(model)
    tracked = [part for part in models if part._erasure_state.tracked is not None]
    if not models or len(tracked) < len(models):
        raise CommandError(
            f"Every model in {args.model} must track its rows for --track, got {len(tracked)} of "
            f"{len(models)} that do. Fit with track_rows=True, or omit --track."
        )


def _report(args, key, items, messages):
    """The report of a command, with the items under ``key``."""
    return {
        "library": f"sklearn-ssse {__version__}",
        "time": now(),
        "model": args.model.name,
        key: [_plain(item) for item in items],
        "warnings": messages,
    }


@contextmanager
def collected_messages():
    """A list for the messages of warnings, each once; it is filled and printed at the end.

    A warning of another library may quote a row: only its type is named.
    """
    messages = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("always", RuntimeWarning)
        yield messages
    for warning in caught:
        message = str(warning.message)
        if not issubclass(warning.category, ErasureWarning):
            message = f"{warning.category.__name__} of another library; {READ_IN_PYTHON}."
        if message not in messages:
            messages.append(message)
            print(visible(f"warning: {message}", kept="\n"), file=sys.stderr)


def _plain(value):
    """The value as JSON: no NumPy arrays, no tuples, null for a number that is not finite."""
    text = json.dumps(value, default=lambda array: array.tolist())
    return json.loads(text, parse_constant=lambda constant: None)


def _fitted_transformers(estimator):
    """Names of the pipeline steps inside an estimator that were fitted to the rows."""
    steps = transformers(estimator.steps[:-1]) if isinstance(estimator, Pipeline) else []
    kept = [name for name, step in steps if is_fitted_to_rows(step)]
    for part in inside(estimator):
        kept += _fitted_transformers(part)
    return list(dict.fromkeys(kept))


def _refreshed(model):
    """The facts about one refreshed model."""
    iterations = vars(model).get("n_iter_")
    return {"type": type(model).__name__, "iterations": iterations, **_row_counts(model)}


def _row_counts(model):
    """Numbers of the rows of positive weight that a model holds."""
    counts = zip(map(str, model.classes_), model._erasure_state.class_counts, strict=True)
    return {"rows_remaining": model.n_samples_remaining_, "rows_by_class": dict(counts)}


def _certificate(model):
    """The certificate of a model as JSON; None if it has none."""
    if not is_certified(model):
        return None
    held = model.certificate_
    return {
        **asdict(held),
        "budget": held.budget,
        "objective": "perturbed at random: the coefficients are not scikit-learn's",
    }


def _inspected(model, kept):
    """The facts about one erasable model, as JSON; ``kept`` names its fitted transformers."""
    if "curvature_" not in vars(model):
        return {"type": type(model).__name__, "fitted": False}
    state = model._erasure_state
    records = model.erasures_
    weights = state.class_weight
    calibrated = ["damping"] if model.damping == "auto" else []
    if state.calibration is not None and not isinstance(state.calibration, Exact):
        calibrated.append("epsilon")
    facts = {
        "type": type(model).__name__,
        **_row_counts(model),
        "fitted_with_weights": bool(state.weighted),
        "parameters": model.curvature_.n_parameters,
        "structure": model.structure_,
        "curvature": state.curvature,
        "curvature_bytes": model.curvature_.nbytes,
        "curvature_stale": state.stale or None,
        "erasures": [record.to_dict() for record in records],
        "rows_erased": sum(record.n_erased for record in records),
        "rows_added": sum(record.n_added for record in records),
        "changed_fraction": float(state.changed / state.fit_mass),
        "order": getattr(model, "order_", 1),
        "path_length": state.path.length,
        "refresh_recommended": model.refresh_recommended_ or None,
        "bounds": model.erasure_budget_._asdict(),
        "tracks_rows": state.tracked is not None,
        "certificate": _certificate(model),
        # An erasure does not change these: they depend on all rows of the fit.
        "kept_after_erasure": {
            "transformers": kept,
            "kept_by": list(dict.fromkeys(name for record in records for name in record.kept_by)),
            "class_weights_frozen_at_fit": weights is not None and bool(np.any(weights != 1)),
            "calibrated_at_fit": calibrated,
            "limits_of_the_rows": list(state.limits._fields),
        },
    }
    return _plain(facts)


def _lines(report, key, title):
    """A report as text, with a block for each item under ``key``."""
    pairs = [item for item in report.items() if item[0] not in (key, "warnings")]
    lines = [_pair(name, value) for name, value in pairs]
    for i, item in enumerate(report[key]):
        lines += [f"\n{title} {i + 1} of {len(report[key])}", *_text(item)]
    return "\n".join(lines)


def _text(mapping):
    """The lines of a mapping, indented."""
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield f"  {name}:"
            yield from (f"  {line}" for line in _text(value))
        elif name == "curvature_bytes":
            yield f"  {_pair('curvature_size', readable(value))}"
        else:
            yield f"  {_pair(name, len(value) if name == 'erasures' else value)}"


def _pair(name, value):
    if isinstance(value, float):
        value = f"{value:.6g}"
    elif isinstance(value, list):
        value = ", ".join(map(str, value)) or "none"
    elif value is None:
        value = "none"
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return visible(f"{name.replace('_', ' ')}: {value}")
