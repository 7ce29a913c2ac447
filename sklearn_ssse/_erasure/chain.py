"""The chain of a model's records: digests of the parameters, and of the record before.

Each record holds the digest of the record before it, and of the parameters before and after its
change. A record that is left out, moved or edited breaks the chain, and so does a change of the
parameters that has no record.
"""

from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import sklearn
from scipy import sparse

from sklearn_ssse._erasure.record_json import digest
from sklearn_ssse._families import arrays_of
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError


def proof_fields(model, names, attributes, request):
    """The fields of a record that identify the change, the versions and the place in the chain.

    Parameters
    ----------
    model : ErasableMixin
        The model before the change.
    names : iterable of str
        The fitted attributes that hold its parameters.
    attributes : dict
        The fitted attributes after the change.
    request : Request

    Returns
    -------
    dict
    """
    before = vars(model)
    records = before.get("erasures_")
    return {
        "kind": request.kind,
        "request_id": request.id,
        "time": now(),
        "library_version": __version__,
        "sklearn_version": sklearn.__version__,
        "parameters_before": parameters_digest(before, names),
        "parameters_after": parameters_digest(attributes, names),
        "previous": digest(records[-1]) if records else "",
        "refreshes": model._erasure_state.refreshes,
    }


def now():
    """The present time as ISO 8601 in UTC, in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def parameters_digest(attributes, names):
    """The SHA-256 of fitted parameter arrays, 64 hexadecimal digits.

    For each name, in alphabetical order, and each array of it, the hash is given a line of ASCII
    ``name position dtype shape`` such as ``coef_ 0 <f8 1,30``, a line feed, and the numbers of the
    array in C order. The position is 0 for an attribute that is one array.
    """
    total = sha256()
    for name in sorted(names):
        for i, array in enumerate(arrays_of(attributes[name])):
            array = array.toarray() if sparse.issparse(array) else np.asarray(array)
            shape = ",".join(map(str, array.shape))
            total.update(f"{name} {i} {array.dtype.str} {shape}\n".encode())
            total.update(np.ascontiguousarray(array))
    return total.hexdigest()


def present_digest(model):
    """The `parameters_digest` of a fitted model as it is now."""
    return parameters_digest(vars(model), model._family().parameters)


def check_chain(records, parameters, refreshes, place):
    """Refuse records that are no chain which ends at the present parameters.

    Parameters
    ----------
    records : list of ErasureRecord
        All records of one model, oldest first.
    parameters : str
        Digest of the present parameters.
    refreshes : int
        Number of trainings of the model after its fit, see `ErasureState`.
    place : str
        The model, for messages.

    Returns
    -------
    remarks : list of str
        Changes of the parameters that no record describes and that are legitimate.

    Raises
    ------
    ErasureError
    """
    remarks = []
    n_old = sum(not _has_digests(record) for record in records)
    if n_old:
        remarks.append(
            f"{place}: {n_old} of {len(records)} records were made by a version of sklearn-ssse "
            "without digests. The signature alone protects them."
        )
    last = None
    for i, record in enumerate(records, 1):
        _check_previous(record, last, i, place)
        if last is not None and _has_digests(last):
            found = (record.parameters_before, record.refreshes)
            remarks += _check_parameters(last, found, i, place)
        last = record
    if last is not None and _has_digests(last):
        remarks += _check_parameters(last, (parameters, refreshes), None, place)
    return remarks


def _has_digests(record):
    """Whether the version of the library that made a record computed digests."""
    return bool(record.library_version)


def _check_previous(record, last, i, place):
    """Refuse record number i of a model, from 1, unless it follows the record ``last``."""
    expected = ""
    if last is not None and (_has_digests(record) or _has_digests(last)):
        expected = digest(last)
    if record.previous == expected:
        return
    before = "the first one" if last is None else f"the one after record {i - 1}"
    raise ErasureError(
        f"The records of {place} must form a chain, got a record {i} that is not {before}: a "
        "record was left out, moved or changed. Restore all records in their order, or fit the "
        "model again."
    )


def _check_parameters(last, found, i, place):
    """Refuse parameters that changed after a record without a training; otherwise the remarks.

    Parameters
    ----------
    last : ErasureRecord
    found : tuple (str, int)
        Digest of the parameters, and number of trainings, before record number i or at present.
    i : int or None
        None stands for the present.
    place : str
    """
    parameters, refreshes = found
    when = "now" if i is None else f"before record {i}"
    n_trainings = refreshes - last.refreshes
    if n_trainings > 0:
        number = "once" if n_trainings == 1 else f"{n_trainings} times"
        between = "after its last record" if i is None else f"between records {i - 1} and {i}"
        return [f"{place}: trained {number} {between}. No record describes a training."]
    if n_trainings == 0 and parameters == last.parameters_after:
        return []
    raise ErasureError(
        f"The parameters of {place} must change by recorded calls alone, got parameters {when} "
        "that are not those after the last record: they were changed without a record, or a "
        "record was left out, moved or changed. Restore the model, or fit it again."
    )
