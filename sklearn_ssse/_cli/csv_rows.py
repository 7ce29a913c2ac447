"""Rows of a CSV file, as the model was given them at fit. No message quotes what stands in a row."""

import csv
import io
import math
import re
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.multiclass import OneVsRestClassifier

from sklearn_ssse._cli.column_types import input_types
from sklearn_ssse._composites import inside, known_columns
from sklearn_ssse._erasure import ErasableMixin, is_multilabel
from sklearn_ssse.exceptions import ErasureWarning

TRUTH = {"true": 1.0, "false": 0.0}
FEW = 8
# What pandas takes as missing and no one writes as a word.
BLANKS = ["nan", "NaN", "<NA>", "#N/A"]


class Rows(NamedTuple):
    """Arguments of ``unlearn``; ``text`` is the table as it stands in the file."""

    X: object
    y: np.ndarray
    sample_weight: object
    positions: object
    text: object
    guessed: tuple = ()

    def warn(self):
        """Say which columns the model knows nothing of."""
        if self.guessed:
            warnings.warn(
                f"The model does not tell whether {_few(self.guessed)} held text or numbers at fit: taken as numbers, truth values, or "
                "missing. If it was text, name it by --text.",
                ErasureWarning,
                stacklevel=2,
            )


def read_rows(
    path,
    estimator,
    target,
    *,
    weights=None,
    positions=None,
    group=None,
    forget=None,
    missing=(),
    as_text=(),
):
    """Read the rows to erase.

    Parameters
    ----------
    path : Path
        A CSV file whose first line names the columns.
    estimator : fitted estimator
    target : list of str
        The columns of the labels, one for each output; a name may be several, separated by commas.
    weights, positions, group : str, default=None
        The columns of the weights, of the positions in the data of fit, and of the groups.
    forget : list of str, default=None
        Of which groups the rows are read; what others have need not be anything that the model knows.
    missing : sequence of str
        What stands for a missing value, beside what pandas takes as one.
    as_text : sequence of str
        Columns of text, where the model does not tell.

    Returns
    -------
    Rows
    """
    text, inferred = _read(path, missing)
    target = [
        name
        for given in target
        for name in ([given] if given in text.columns else given.split(","))
    ]
    named = [*target, *(name for name in (weights, positions, group) if name is not None)]
    features = _features(path, text, estimator, named)
    if text.empty:
        raise ValueError(f"{path} must hold at least one row, got only the names of the columns.")
    if group is not None:
        own = text[group].str.strip().isin(forget).to_numpy()
        lacking = sorted(set(forget) - set(text[group].str.strip()))
        if lacking:
            raise ValueError(
                f"Every ID of --forget must be in column {group}, got {_few(lacking)} of which there is no row. Nothing was erased."
            )
        text, inferred = text[own].reset_index(drop=True), inferred[own].reset_index(drop=True)
    X, guessed = _inputs(text, inferred, features, estimator, missing, as_text)
    return Rows(
        X=X,
        y=_labels(text, estimator, target),
        sample_weight=None if weights is None else _weights(weights, text[weights]),
        positions=None if positions is None else _positions(positions, text[positions]),
        text=text,
        guessed=guessed,
    )


def _read(path, missing):
    """The table as text, and as pandas infers it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "Reading CSV files needs pandas: pip install 'sklearn-ssse[cli]'"
        ) from error
    try:
        content = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{path} must be a CSV file in UTF-8, got other bytes. Save it as UTF-8."
        ) from None
    limit = csv.field_size_limit(2**31 - 1)  # texts are long
    try:
        lines = [line for line in csv.reader(io.StringIO(content)) if line]
    except csv.Error as error:
        raise ValueError(
            f"{path} must be a CSV file, got one that cannot be read: {error}."
        ) from None
    finally:
        csv.field_size_limit(limit)
    if not lines:
        raise ValueError(
            f"{path} must be a CSV file whose first line names the columns, got an empty one."
        )
    for i, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise ValueError(
                f"{path} must have as many values in every row as names in the first line, got {len(line)} in row {i} where "
                f"{len(lines[0])} are named. Is the file whole?"
            )
    options = {"index_col": False, "low_memory": False}
    na_values = [
        start + value for value in missing for start in ("", " ")
    ]  # the blank after a comma
    text = pandas.read_csv(io.StringIO(content), dtype=object, keep_default_na=False, **options)
    inferred = pandas.read_csv(io.StringIO(content), na_values=na_values, **options)
    return text, inferred


def _features(path, text, estimator, named):
    """Names of the columns that the model takes, in its order."""
    header = list(text.columns)
    features = known_columns(estimator)
    rest = [name for name in header if name not in named]
    lacking = [
        name
        for name in dict.fromkeys([*([] if features is None else features), *named])
        if name not in header
    ]
    if lacking:
        alone = (
            " It has one column: are the values separated by commas?" if len(header) == 1 else ""
        )
        raise ValueError(
            f"The first line of {path} must name the columns of the model and those named in the command, got none called "
            f"{_few(lacking)}.{alone}"
        )
    if features is None:
        expected = getattr(estimator, "n_features_in_", len(rest))
        if len(rest) != expected:
            raise ValueError(
                f"{path} must hold the {expected} columns that the model was fitted on, in their order, beside {_few(named)}; got "
                f"{len(rest)}.{_index_hint(rest)}"
            )
        return rest
    extra = [name for name in rest if name not in set(features)]
    if extra:
        raise ValueError(
            f"{path} must hold the columns of the model and those named in the command, got also {_few(extra)}. Leave them out."
            f"{_index_hint(extra)}"
        )
    return list(features)


def _few(names):
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def _index_hint(names):
    if not any(re.fullmatch(r"Unnamed: \d+", name) for name in names):
        return ""
    return " A column without a name is often the index: write the file with to_csv(index=False)."


def _inputs(text, inferred, features, estimator, missing, as_text):
    """The rows, and the columns that the model knows nothing of and that are not taken as they stand."""
    import pandas

    unknown = [name for name in as_text if name not in features]
    if unknown:
        raise ValueError(f"--text must name columns of the model, got {_few(unknown)}.")
    types = input_types(estimator, len(features))
    if (
        known_columns(estimator) is None and len(types) == 1 and types[0].text
    ):  # texts, and no table of them
        return text[features[0]].to_numpy(dtype=object), ()
    columns, guessed = {}, []
    for name, known in zip(features, types, strict=True):
        raw, guess = text[name], inferred[name]
        if name in as_text:
            columns[name] = raw.mask(raw.str.strip().isin(["", *missing]), np.nan).to_numpy(
                dtype=object
            )
        elif known.categories is not None:
            columns[name] = _categories(name, raw, guess.isna().to_numpy(), known)
        elif known.number:
            columns[name] = _numbers(name, raw, guess)
        elif known.text:
            columns[name] = raw.to_numpy(dtype=object)
        elif known.imputed and known.missing is None:
            columns[name] = np.array(
                [None if lost else cell for cell, lost in zip(guess, guess.isna(), strict=True)],
                object,
            )
        else:
            columns[name] = guess
            if known.seen:
                _check_guess(name, raw, guess, missing)
                guessed += [name] if guess.dtype.kind in "iufb" else []
    # Objects stay objects: pandas would make strings of them, and lose None.
    X = pandas.DataFrame(
        {name: pandas.Series(column, dtype=column.dtype) for name, column in columns.items()}
    )
    return (X if known_columns(estimator) is not None else np.ascontiguousarray(X)), tuple(guessed)


def _check_guess(name, raw, guess, missing):
    """An error where a column that the model knows nothing of was read as something else than it may have been."""
    cells = raw.str.strip()
    words = guess.isna() & ~cells.isin(["", *missing, *BLANKS])
    codes = cells.str.fullmatch(r"[+-]?0\d+") if guess.dtype.kind in "iuf" else words & False
    if words.any() or codes.any():
        what = (
            f"{int(words.sum())} words that may stand for a missing value"
            if words.any()
            else f"{int(codes.sum())} numbers with a zero in front"
        )
        raise ValueError(
            f"The model does not tell whether column {name} held text or numbers at fit, got {what}. If it was text, add --text {name}"
            + (
                "; if they stand for a missing value, name them by --missing."
                if words.any()
                else "."
            )
        )


def _numbers(name, raw, guess):
    empty = guess.isna().to_numpy()
    values = [np.nan if missing else number(cell) for cell, missing in zip(raw, empty, strict=True)]
    bad = sum(value is None for value in values)
    if bad:
        raise ValueError(
            f"Column {name} must hold numbers, as at fit, got something else in {bad} of {len(raw)} rows. If it stands for a missing "
            "value, name it by --missing."
        )
    return np.array(values)


def _categories(name, raw, empty, known):
    """The values that the encoder knows, in its types."""
    values = [category for category in known.categories if not _is_missing(category)]
    lost = None if any(category is None for category in known.categories) else np.nan
    if known.imputed:
        lost = known.missing
    has_missing = known.imputed or len(values) < len(known.categories)
    if not _is_missing(lost):  # a value that stands for a missing one
        values.append(lost)
        has_missing = False
    found = matches(raw, values)
    lacking = (found < 0) & ~(empty & has_missing)
    if known.complete and lacking.any():
        raise ValueError(
            f"Column {name} must hold categories that were there at fit, got others in {lacking.sum()} of {len(raw)} rows. Rows that "
            "were in the training data have none; if it stands for a missing value, name it by --missing."
        )
    column = np.empty(len(raw), dtype=object)
    column[:] = [
        values[i] if i >= 0 else lost if missing else cell
        for i, missing, cell in zip(found, empty, raw, strict=True)
    ]
    if known.categories.dtype.kind not in "iufb" or lacking.any():
        return column
    whole = (found >= 0).all() and known.categories.dtype.kind != "f"
    return column.astype(known.categories.dtype if whole else np.float64)


def _labels(text, estimator, target):
    """Labels in the types of the classes, (n,) or (n, n_outputs); one that is no class stays text."""
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):
        outputs = classes
    elif _is_indicator(estimator):
        outputs = [np.array([0, 1])] * len(classes)
    else:
        outputs = [classes]
    if len(target) != len(outputs):
        raise ValueError(
            f"--target must name one column for each of the {len(outputs)} outputs of the model, got {len(target)}: {_few(target)}."
        )
    columns = [
        _label_column(name, text[name], known) for name, known in zip(target, outputs, strict=True)
    ]
    if len(columns) == 1 and not isinstance(classes, list):
        return columns[0]
    alike = len({column.dtype for column in columns}) == 1
    return np.column_stack(columns if alike else [column.astype(object) for column in columns])


def _is_indicator(estimator):
    """Whether y has a column of 0 and 1 for each label."""
    if isinstance(estimator, OneVsRestClassifier):
        return estimator.multilabel_
    if isinstance(estimator, ErasableMixin):
        return is_multilabel(estimator)
    return any(_is_indicator(part) for part in inside(estimator))


def _label_column(name, raw, classes):
    found = matches(raw, classes)
    empty = int(((found < 0) & (raw.str.strip() == "").to_numpy()).sum())
    if empty:
        raise ValueError(
            f"Column {name} must hold the label of every row, got none in {empty} of {len(raw)} rows."
        )
    if (found >= 0).all():
        return classes[found]
    return np.array(
        [classes[i] if i >= 0 else cell.strip() for i, cell in zip(found, raw, strict=True)],
        dtype=object,
    )


def _weights(name, raw):
    values = [number(cell) for cell in raw]
    bad = sum(value is None or not 0 <= value < np.inf for value in values)
    if bad:
        raise ValueError(
            f"Column {name} must hold the weights of the rows, numbers of at least 0, got something else in {bad} of {len(raw)} rows."
        )
    return np.array(values)


def _positions(name, raw):
    bad = ~raw.str.strip().str.fullmatch(r"\d+").to_numpy(dtype=bool)
    if bad.any():
        raise ValueError(
            f"Column {name} must hold where the rows were at fit, counted from 0, got something else in {bad.sum()} of {len(raw)} rows."
        )
    return np.array([int(cell) for cell in raw])


def matches(raw, known):
    """Positions in ``known`` of the values that stand in text; -1 for one that is not there.

    The text itself counts first, then without blanks around it, then, for numbers and truth values, the number.
    """
    positions = {}
    for i, value in enumerate(known):
        for key in _keys(str(value), is_text=isinstance(value, str)):
            positions.setdefault(key, i)
    return np.array(
        [next((positions[k] for k in _keys(cell) if k in positions), -1) for cell in raw], dtype=int
    )


def _keys(text, is_text=False):
    value = None if is_text else number(text)
    return [("exact", text), ("stripped", text.strip())] + (
        [] if value is None else [("number", value)]
    )


def number(text):
    """The number that a text stands for, None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return TRUTH.get(text.strip().lower())
    return None if math.isnan(value) else value


def _is_missing(value):
    import pandas

    return pandas.isna(value)


def redacted(message, text):
    """A message without numbers, without anything that stands in the rows, nor anything in quotes."""
    cells = {cell.strip() for name in text for cell in text[name]} - {""}
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", message)
    message = re.sub(r"-?\d[\d.]*(e[+-]?\d+)?", "...", message)  # a value may have been rounded
    for cell in sorted(cells, key=len, reverse=True):
        if cell in message:
            message = re.sub(rf"(?<!\w){re.escape(cell)}(?!\w)", "...", message)
    return message
