"""Records as JSON: conversion both ways, the canonical text, and its SHA-256.

JSON has no nan and no infinities. A field of floats holds them as the strings "NaN", "Infinity" and
"-Infinity", which every strict parser accepts.
"""

import json
import math
from dataclasses import MISSING, fields
from functools import cache
from hashlib import sha256
from types import UnionType
from typing import NamedTuple, get_args, get_origin

import numpy as np

from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError

# Version of the fields of a record. Increase it when a field is removed or changes its meaning, or
# when fields are added in a release.
SCHEMA = 1
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class FieldType(NamedTuple):
    """The types that a field of a record may have, and whether it has a default."""

    types: tuple
    items: tuple
    optional: bool


def record_to_dict(record):
    """The schema version and the fields that a record holds, as plain JSON types.

    A record that an earlier version of the library made lacks the fields of later versions.
    """
    out = {"schema": SCHEMA}
    held = vars(record)
    for name in _fields_of(type(record)):
        if name in held:
            value = held[name]
            out[name] = value if type(value) in _UNCHANGED else _to_json(value)
    return out


def record_from_dict(cls, data):
    """The record of a dict that `record_to_dict` made.

    Parameters
    ----------
    cls : type
        The dataclass of the record.
    data : dict

    Raises
    ------
    ErasureError
        If the schema is of a newer version; if a field is unknown, is missing or has another type.
    """
    if not isinstance(data, dict):
        raise ErasureError(
            f"A record must be a dict, got {type(data).__name__}. Pass the result of `to_dict`."
        )
    check_version(data.get("schema"), SCHEMA, "A record")
    known = _fields_of(cls)
    unknown = data.keys() - known.keys() - {"schema"}
    if unknown:
        raise ErasureError(
            f"A record must have the fields of its schema, got {len(unknown)} others. Check that "
            "the record is complete and unchanged."
        )
    values = {}
    for name, kind in known.items():
        if name in data:
            values[name] = _from_json(data[name], name, kind)
        elif not kind.optional:
            raise ErasureError(
                f"A record must have the field {name!r}, got none. Check that the record is "
                "complete and unchanged."
            )
    record = object.__new__(cls)
    object.__setattr__(record, "__dict__", values)
    return record


def digest(record):
    """The SHA-256 of the canonical JSON of a record, 64 hexadecimal digits."""
    return sha256(canonical(record_to_dict(record)).encode()).hexdigest()


def strict_json(text):
    """The value of a JSON text, without the constants NaN and Infinity and without repeated keys.

    Raises
    ------
    ErasureError
        If the text is no such JSON; the message quotes no part of it.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct_keys, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ErasureError(
            "The text must be JSON with distinct keys and without NaN, got another. Check that it "
            "is complete and unchanged."
        ) from None


def check_version(found, newest, noun):
    """Refuse a version number that is not known to this version of the library."""
    if type(found) is not int or found < 1:
        raise ErasureError(
            f"{noun} must have a version number as its `schema`, got none. Check that it is "
            "complete and unchanged."
        )
    if found > newest:
        raise ErasureError(
            f"{noun} must have schema {newest} or older for sklearn-ssse {__version__}, got schema "
            f"{found}, of a newer version. Read it after: pip install -U sklearn-ssse"
        )


_UNCHANGED = frozenset({str, bool, int, type(None)})


@cache
def _fields_of(cls):
    """A `FieldType` for each field of a dataclass, by name."""
    out = {}
    for field in fields(cls):
        types = []
        items = ()
        for kind in get_args(field.type) if _is_union(field.type) else (field.type,):
            types.append(get_origin(kind) or kind)
            items = items + tuple(item for item in get_args(kind) if item is not Ellipsis)
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        out[field.name] = FieldType(tuple(types), items, has_default)
    return out


def _is_union(kind):
    return get_origin(kind) is UnionType or isinstance(kind, UnionType)


def _to_json(value):
    """A value of a field as JSON."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return _text_of(value)
    if isinstance(value, (tuple, list)):
        return [_to_json(item) for item in value]
    return value


def _text_of(value):
    """The text of nan or of an infinity."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _from_json(value, name, kind):
    """The value of a field, in one of the types of the field."""
    if isinstance(value, list) and tuple in kind.types:
        items = FieldType(kind.items or (str, bool, int, float), (), False)
        return tuple(_from_json(item, name, items) for item in value)
    types = kind.types
    if isinstance(value, str) and float in types and str not in types and value in NOT_FINITE:
        return NOT_FINITE[value]
    accepted = type(value) in types or (type(value) is int and float in types)
    if value is None:
        accepted = type(None) in types or None in types
    if not accepted:
        raise ErasureError(
            f"The field {name!r} of a record must be of type {_names(types)}, got "
            f"{type(value).__name__}. Check that the record is complete and unchanged."
        )
    return value


def _names(types):
    return " or ".join("None" if kind in (None, type(None)) else kind.__name__ for kind in types)


def _distinct_keys(pairs):
    """A dict of pairs, or `ValueError` for a repeated key."""
    out = dict(pairs)
    if len(out) < len(pairs):
        raise ValueError
    return out


def _refuse(constant):
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError
