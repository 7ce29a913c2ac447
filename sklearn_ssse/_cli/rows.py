"""Rows, read from a CSV or a Parquet file with the types that the model was fitted to.

No message quotes a value of a row.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas
from sklearn.multiclass import OneVsRestClassifier

from sklearn_ssse._cli.column_types import InputType, input_types
from sklearn_ssse._cli.errors import CommandError, few
from sklearn_ssse._cli.tables import read_table
from sklearn_ssse._composites import inside, known_columns
from sklearn_ssse._erasure import ErasableMixin, is_multilabel
from sklearn_ssse._utils.warnings import warn

TRUTH = {"true": True, "false": False}
# Texts that stand for a missing value in any CSV file: none of them is a word.
BLANKS = {"", "nan", "NaN", "<NA>", "#N/A"}
# Further texts that pandas reads as a missing value; they may be words.
WORDS = {"NA", "N/A", "n/a", "NULL", "null", "None", "#NA", "#N/A N/A", "-nan", "-NaN"}
CSV_ADVICE = "A CSV file must be separated by commas, without the index (to_csv(index=False))."
PARQUET_ADVICE = "Add, rename or remove columns; a named index counts as a column."
MISSING_ADVICE = " If it stands for a missing value, name it by --missing."


class Rows(NamedTuple):
    """Arguments of ``unlearn`` or ``refresh``; weights and positions are None without a column."""

    X: object
    y: np.ndarray
    sample_weight: np.ndarray | None
    positions: np.ndarray | None


def read_rows(
    path, estimator, target, *, weights=None, positions=None, group=None, forget=None, **types
):
    """Read the rows to erase, or the retained rows.

    Parameters
    ----------
    path : Path
        A CSV file whose first line names the columns, or a Parquet file.
    estimator : fitted estimator
    target : list of str
        The columns of the labels, one for each output; an item may hold several names, separated
        by commas.
    weights, positions, group : str, default=None
        The columns of the weights, of the positions in the data of fit, and of the groups.
    forget : list of str, default=None
        The groups to erase. Rows of other groups are not checked.
    **types
        ``missing``, further texts that stand for a missing value, and ``text``, the columns of
        text whose type the model does not define; each a sequence of str.

    Returns
    -------
    Rows

    Raises
    ------
    CommandError
        If the file cannot be read, or does not match the model or the options.

    Warns
    -----
    ErasureWarning
        If the type of a column was inferred from its cells.
    """
    frame, typed = read_table(path)
    if not set(target) <= set(frame.columns):
        target = ",".join(target).split(",")
    named = [*target, *(name for name in (weights, positions, group) if name is not None)]
    advice = PARQUET_ADVICE if typed else CSV_ADVICE
    features = _features(path, list(frame.columns), estimator, named, advice)
    if group is not None:
        frame = _of_groups(frame, group, forget)
    if frame.empty:
        raise CommandError(f"{path} must hold at least one row, got only the names of the columns.")
    y = _labels(frame, estimator, target)
    if weights is not None:
        weights = _numbers(frame, weights, "finite weights of at least 0", _is_weight).astype(float)
    if positions is not None:
        content = "positions in the data of fit, counted from 0"
        positions = _numbers(frame, positions, content, _is_position)
    return Rows(_inputs(frame[features], estimator, typed, **types), y, weights, positions)


def _features(path, header, estimator, named, advice):
    """Names of the model's columns, in its order; refuses a table without them, or with others."""
    rest = _without(header, named)
    known = known_columns(estimator)
    features = rest if known is None else list(known)
    count = getattr(estimator, "n_features_in_", len(rest)) if known is None else len(features)
    lacking = _without([*features, *named], header)
    extra = _without(rest, features)
    if lacking:
        found = f"none called {few(lacking)}"
    elif extra:
        found = f"also {few(extra)}"
    elif len(features) != count:
        found = f"{len(features)} of the model"
    else:
        return features
    raise CommandError(
        f"{path} must have the {count} columns of the model and those named in the command, got "
        f"{found}. {advice}"
    )


def _without(names, others):
    """The names that are not among others, each once."""
    others = set(others)
    return [name for name in dict.fromkeys(names) if name not in others]


def _of_groups(frame, group, forget):
    """The rows of the groups to erase."""
    groups = [_stripped(cell) for cell in _ids(frame[group])]
    asked = set(forget)
    lacking = asked.difference(groups)
    if lacking:
        must = f"Every ID of --forget must be in column {group}"
        raise CommandError(
            f"{must}, got {len(lacking)} of {len(asked)} without a row. Check how the IDs are "
            "written in the column. Nothing was erased."
        )
    return frame[np.isin(groups, forget)].reset_index(drop=True)


def _cells(column):
    """A column as a list of str, None for a value that is missing in a Parquet file."""
    return [None if lost else str(cell) for cell, lost in zip(column, column.isna(), strict=True)]


def _ids(column):
    """The cells, whole floats as integers: Parquet holds integers as floats if one is missing."""
    cells = [int(x) if isinstance(x, float) and x.is_integer() else x for x in column]
    return _cells(pandas.Series(cells, dtype=object))


def _check(name, content, bad, advice="", found="others"):
    """Refuse a column with a bad row; the values themselves are not quoted."""
    if np.any(bad):
        count = f"{np.sum(bad)} of {len(bad)} rows"
        raise CommandError(f"Column {name} must hold {content}, got {found} in {count}.{advice}")


def _inputs(frame, estimator, typed, missing=(), text=()):
    """The rows in the type that the model takes: a DataFrame, an array, or an array of texts."""
    unknown = [name for name in text if name not in frame.columns]
    if unknown:
        raise CommandError(f"--text must name columns of the model, got {few(unknown)}.")
    types = input_types(estimator, frame.shape[1])
    has_names = known_columns(estimator) is not None
    if not has_names and len(types) == 1 and types[0].text:
        return frame.iloc[:, 0].to_numpy(dtype=object)
    columns = {}
    inferred = []
    for (name, column), known in zip(frame.items(), types, strict=True):
        if typed:
            values = _convert(name, column, known, {*missing})
        elif name in text:
            values = _convert(name, column, InputType(), {"", *missing})
        elif known.is_defined:
            values = _convert(name, column, known, {*BLANKS, *WORDS, *missing})
        else:
            values = _inferred(name, column, known, missing)
            inferred += [name] if known.seen and values.dtype.kind in "iufb" else []
        # The dtype keeps objects and None, which pandas would convert.
        columns[name] = pandas.Series(values, dtype=values.dtype)
    if inferred:
        warn(
            f"The model does not define whether {few(inferred)} held text or numbers at fit, got "
            "numbers, truth values or missing values. If it was text, name it by --text."
        )
    X = pandas.DataFrame(columns)
    return X if has_names else np.ascontiguousarray(X)


def _convert(name, column, known, missing):
    """A column in the type that the model defines; without one, only missing values change."""
    if known.categories is None and column.dtype.kind != "O":  # a Parquet column without text
        return column
    cells = _cells(column)
    empty = np.array([cell is None or cell.strip() in missing for cell in cells], dtype=bool)
    if known.categories is not None:
        return _categories(name, cells, empty, known)
    if known.number:
        values = [np.nan if lost else number(cell) for cell, lost in zip(cells, empty, strict=True)]
        bad = [value in (None, np.inf, -np.inf) for value in values]
        _check(name, "finite numbers, as at fit", bad, MISSING_ADVICE)
        return np.array(values, dtype=float)
    if known.text:
        return column
    column = column.astype(object) if known.none_or_nan is None else column
    return column.mask(empty, known.none_or_nan)


def _inferred(name, column, known, missing):
    """A column of a CSV file as numbers, or as truth values, if all cells are; else as text.

    Refuses cells that may be something else: a word such as "NA", or a code such as "02134".
    """
    values = _convert(name, column, known, {*BLANKS, *WORDS, *missing})
    parsed = [number(cell) for cell in values if isinstance(cell, str)]
    n_truth = sum(isinstance(value, bool) for value in parsed)
    numeric = None not in parsed and n_truth in (0, len(parsed))
    if known.seen:
        cells = column.str.strip()
        unclear = cells.isin(WORDS.difference(missing))
        if numeric:
            unclear |= cells.str.fullmatch(r"[+-]?0\d+")
        found = "words for a missing value or numbers with a zero in front"
        advice = f" The model does not define its type: if it was text at fit, add --text {name}."
        _check(name, "values of a clear type", unclear, f"{advice}{MISSING_ADVICE}", found)
    convert = number if numeric else str
    values = [convert(cell) if isinstance(cell, str) else cell for cell in values]
    return pandas.Series(values, dtype=object if known.none_or_nan is None else None)


def _categories(name, cells, empty, known):
    """Cells as the encoder's categories, in their types, (n,)."""
    values = [category for category in known.categories if not pandas.isna(category)]
    may_miss = known.imputed or len(values) < len(known.categories)
    if not pandas.isna(known.missing):  # the imputer replaces this value
        values.append(known.missing)
        may_miss = False
    found = matches(cells, values)
    unseen = (found < 0) & ~(empty & may_miss)
    if known.complete:
        _check(name, "categories of the training rows", unseen, MISSING_ADVICE)
    filled = [known.missing if lost else cell for cell, lost in zip(cells, empty, strict=True)]
    column = np.array([*filled, None], dtype=object)[:-1]
    column[found >= 0] = np.array([*values, None], dtype=object)[found[found >= 0]]
    kind = known.categories.dtype.kind
    if kind not in "iufb" or unseen.any():
        return column
    whole = (found >= 0).all() and kind != "f"
    return column.astype(known.categories.dtype if whole else np.float64)


def _labels(frame, estimator, target):
    """Labels in the types of the classes, (n,) or (n, n_outputs)."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise CommandError(f"The model must be a classifier, got {type(estimator).__name__}.")
    if isinstance(classes, list):
        outputs = classes
    elif _is_indicator(estimator):
        outputs = [np.array([0, 1])] * len(classes)
    else:
        outputs = [classes]
    if len(target) != len(outputs):
        must = f"--target must name one column for each of the {len(outputs)} outputs"
        raise CommandError(f"{must} of the model, got {len(target)}: {few(target)}.")
    columns = []
    for name, known in zip(target, outputs, strict=True):
        found = matches(_cells(frame[name]), known)
        _check(name, f"labels seen at fit ({few(known)})", found < 0)
        columns.append(known[found])
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


def _numbers(frame, name, content, is_valid):
    """A column of numbers, (n,)."""
    values = [number(cell) for cell in _ids(frame[name])]
    _check(name, content, [not is_valid(value) for value in values])
    return np.array(values)


def _is_weight(value):
    return value is not None and 0 <= value < np.inf


def _is_position(value):
    return type(value) is int and value >= 0


def matches(cells, known):
    """Positions of the cells in ``known``, (n,); -1 for a cell that is not in it.

    The text itself has precedence, then the text without blanks around it, then, for numbers and
    truth values, the number.
    """
    found = {}
    for key in (str, _stripped, lambda value: None if isinstance(value, str) else number(value)):
        for i, value in enumerate(known):
            found.setdefault(key(value), i)
    found.pop(None, None)
    keys = ([cell, _stripped(cell), number(cell)] for cell in cells)
    return np.array([next((found[k] for k in own if k in found), -1) for own in keys], dtype=int)


def _stripped(value):
    return None if value is None else str(value).strip()


def number(text):
    """The number or truth value that a text stands for, None if there is none."""
    text = str(text).strip()
    if text.lower() in TRUTH:
        return TRUTH[text.lower()]
    try:
        value = float(text)
    except ValueError:
        return None
    if math.isnan(value) or "_" in text:
        return None
    is_whole = text.lstrip("+-").isdecimal() and math.isfinite(value)
    return int(text) if is_whole else value  # an int keeps all digits
