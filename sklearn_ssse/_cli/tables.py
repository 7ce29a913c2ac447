"""The table of a CSV or a Parquet file. No message quotes a value of a row."""

import csv
import io
from collections import Counter

import pandas

from sklearn_ssse._cli.errors import CommandError, few, file_access
from sklearn_ssse.exceptions import LibraryError

# Characters of a cell that the CSV reader accepts; its default of 128 kB is less than some texts.
MAX_CELL = 2**31 - 1


def read_table(path):
    """The table, and whether its columns have types; the columns of a CSV file are all text."""
    with file_access(path, "read"):
        data = path.read_bytes()
    typed = data.startswith(b"PAR1") or path.suffix == ".parquet"
    try:
        return (_parquet if typed else _csv)(path, data), typed
    except (LibraryError, ImportError):
        raise
    except Exception as error:  # any type, for a broken file
        must = f"{path} must be a whole {'Parquet file' if typed else 'CSV file in UTF-8'}"
        found = f"got one that cannot be read ({type(error).__name__})"
        raise CommandError(f"{must}, {found}. Save it again.") from None


def _parquet(path, data):
    """The columns and the named index of a Parquet file."""
    frame = pandas.read_parquet(io.BytesIO(data), engine="pyarrow")
    counts = Counter([*frame.index.names, *frame.columns])
    repeated = [name for name, count in counts.items() if count > 1 and name is not None]
    if repeated:
        must = f"{path} must name every column and index once"
        raise CommandError(f"{must}, got {few(repeated)} repeatedly. Rename or remove one of them.")
    return frame.reset_index(drop=frame.index.names == [None])


def _csv(path, data):
    """The columns of a CSV file as text, with the names that pandas makes."""
    text = io.StringIO(data.decode("utf-8-sig"), newline=None)
    limit = csv.field_size_limit(MAX_CELL)
    try:
        lines = [line for line in csv.reader(text) if line]
    finally:
        csv.field_size_limit(limit)
    if not lines:
        raise CommandError(f"{path} must name the columns in its first line, got an empty file.")
    header = _distinct([name or f"Unnamed: {i}" for i, name in enumerate(lines[0])])
    for i, line in enumerate(lines):
        if len(line) != len(header):
            must = f"{path} must have {len(header)} values in every row, one for each name"
            raise CommandError(f"{must}, got {len(line)} in row {i}. Check that the file is whole.")
    return pandas.DataFrame(lines[1:], columns=header, dtype=object)


def _distinct(names):
    """The names, with the first free number after a repeated one."""
    taken = set(names)
    numbers = Counter()
    distinct = []
    for name in names:
        new = name
        if numbers[name]:
            while (new := f"{name}.{numbers[name]}") in taken:
                numbers[name] += 1
            taken.add(new)
        numbers[name] += 1
        distinct.append(new)
    return distinct
