"""The document that holds the records of every model inside an estimator, and its signature."""

import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._composites import inside, lockable_parts
from sklearn_ssse._erasure import (
    ErasableMixin,
    ErasureRecord,
    canonical,
    check_chain,
    check_version,
    now,
    present_digest,
)
from sklearn_ssse._signing.keys import raw_bytes
from sklearn_ssse._utils.locks import exclusive
from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError, ErasureTypeError

# Version of the document. Increase it when a key is removed or changes its meaning.
DOCUMENT_SCHEMA = 1
ALGORITHM = "Ed25519"
# The key of the document that its signature does not cover.
SIGNATURE = "signature"
INCOMPLETE = "Get the document again from its sender."


@exclusive(lockable_parts)
def content_of(estimator):
    """The document of an estimator without a signature: plain JSON types.

    Raises
    ------
    ErasureError
        If the records of a model are no chain that ends at its present parameters.
    ErasureTypeError
        If there is no fitted erasable model.
    """
    models = [_described(place, model) for place, model in _fitted_models(estimator)]
    for found in models:
        _check(found)
    return {
        "schema": DOCUMENT_SCHEMA,
        "time": now(),
        "library_version": __version__,
        "sklearn_version": sklearn.__version__,
        "models": models,
    }


def signed(document, key):
    """The document with its algorithm, public key and signature.

    Parameters
    ----------
    document : dict
        Plain JSON types.
    key : Ed25519PrivateKey

    Returns
    -------
    dict
    """
    public = raw_bytes(key.public_key()).hex()
    out = {**document, "algorithm": ALGORITHM, "public_key": public}
    return {**out, SIGNATURE: key.sign(canonical(out).encode()).hex()}


@exclusive(lockable_parts)
def verified(estimator, document, key):
    """Refuse a document unless the key signed it and it describes the estimator.

    Parameters
    ----------
    estimator : estimator object
    document : dict
    key : Ed25519PublicKey

    Returns
    -------
    remarks : list of str
        See `check_chain`.

    Raises
    ------
    ErasureError
    ErasureTypeError
        If there is no fitted erasable model.
    """
    _check_signature(document, key)
    check_version(document.get("schema"), DOCUMENT_SCHEMA, "The signed document")
    models = document.get("models")
    if not isinstance(models, list) or not all(isinstance(found, dict) for found in models):
        raise ErasureError(
            f"The signed document must have a list of models, got none. {INCOMPLETE}"
        )
    remarks = []
    for found in models:
        remarks += _check(found)
    present = [_described(place, model) for place, model in _fitted_models(estimator)]
    places = [found["place"] for found in present]
    if [found["place"] for found in models] != places:
        raise ErasureError(
            "The models of the document must have the places of the models inside the estimator, "
            "got other places. Pass the estimator that was signed."
        )
    for found, own in zip(models, present, strict=True):
        _check_same(found, own)
    return remarks


def _fitted_models(estimator):
    """The place and the model of every fitted erasable model inside an estimator, each once."""
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
    seen = {}
    for place, model in _places(estimator, ""):
        if "curvature_" in vars(model):
            seen.setdefault(id(model), (place, model))
    if not seen:
        raise ErasureTypeError(
            "Records are of fitted erasable models, got "
            f"{type(estimator).__name__} without one. Pass a fitted estimator that holds an "
            "ErasableLogisticRegression or an ErasableMLPClassifier."
        )
    return list(seen.values())


def _places(estimator, path):
    """Pairs of a place such as ``Pipeline/ErasableLogisticRegression[0]`` and a model."""
    path += type(estimator).__name__
    if isinstance(estimator, ErasableMixin):
        yield path, estimator
        return
    for i, part in enumerate(inside(estimator)):
        yield from _places(part, f"{path}[{i}]/")


def _described(place, model):
    """The entry of one model in the document."""
    return {
        "place": place,
        "parameters": present_digest(model),
        "refreshes": model._erasure_state.refreshes,
        "records": [record.to_dict() for record in model.erasures_],
    }


def _check(found):
    """Check the entry of one model in itself; returns the remarks of `check_chain`."""
    types = {"place": str, "parameters": str, "refreshes": int, "records": list}
    wrong = [name for name, kind in types.items() if type(found.get(name)) is not kind]
    if wrong or found.keys() != types.keys():
        raise ErasureError(
            f"The entry of a model must have the keys {', '.join(types)}, got others or other "
            f"types. {INCOMPLETE}"
        )
    records = [ErasureRecord.from_dict(record) for record in found["records"]]
    return check_chain(records, found["parameters"], found["refreshes"], found["place"])


def _check_same(found, own):
    """Refuse the entry of a model if the model now has another one."""
    place = own["place"]
    if len(found["records"]) != len(own["records"]):
        raise ErasureError(
            f"The document must hold all records of {place}, got {len(found['records'])} for a "
            f"model that has {len(own['records'])}. Pass the model that was signed, or sign it "
            "again if it was changed since."
        )
    if found != own:
        raise ErasureError(
            f"The document must describe {place} as it is, got other parameters or records. Pass "
            "the model that was signed, or sign it again if it was changed since."
        )


def _check_signature(document, key):
    """Refuse a document that the owner of the key did not sign, or that was changed since."""
    from cryptography.exceptions import InvalidSignature

    if not isinstance(document, dict):
        raise ErasureError(
            f"A signed document must be a dict, got {type(document).__name__}. Pass the result of "
            "`sign_records`."
        )
    if not isinstance(document.get(SIGNATURE), str) or document.get("algorithm") != ALGORITHM:
        raise ErasureError(
            f"The document must have a signature by {ALGORITHM}, got none. Sign it by "
            "`sign_records`, or on the command line by --sign."
        )
    content = {name: value for name, value in document.items() if name != SIGNATURE}
    try:
        key.verify(bytes.fromhex(document[SIGNATURE]), canonical(content).encode())
    except (InvalidSignature, ValueError, TypeError, RecursionError):
        same = document.get("public_key") == raw_bytes(key).hex()
        found = "a document that was changed since" if same else "one that names another key"
        advice = INCOMPLETE if same else "Check that the public key is the key of the signer."
        raise ErasureError(
            f"The document must be signed by the owner of this key, got {found}: the signature "
            f"does not verify. {advice}"
        ) from None
