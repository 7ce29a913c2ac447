"""Records signed by Ed25519: ``pip install 'sklearn-ssse[sign]'``."""

from sklearn_ssse._signing import (
    content_of,
    read_private_key,
    read_public_key,
    signed,
    verified,
)

__all__ = ["sign_records", "verify_records"]


def sign_records(model, key):
    """Sign the records of every model inside an estimator.

    The signature is an Ed25519 signature (RFC 8032) of the canonical JSON of the document without
    its ``signature``. `docs/records.md` describes the document, and how to verify it without this
    library.

    Parameters
    ----------
    model : estimator object
        A fitted estimator that is erasable or holds erasable models, such as a pipeline.
    key : path-like, bytes or Ed25519PrivateKey
        The private key: the path of a PEM file, PEM bytes, or a key of the package `cryptography`.
        ``python -m sklearn_ssse new-key`` makes a pair of keys.

    Returns
    -------
    dict
        Plain JSON types, for `json.dump`: ``schema``, ``time`` (UTC), ``library_version``,
        ``sklearn_version``, ``models``, ``algorithm``, ``public_key`` and ``signature``. Each entry
        of ``models`` has the ``place`` of a model inside the estimator, the digest of its present
        ``parameters``, the number of its ``refreshes``, and its ``records``. No value of a row is
        in it.

    Raises
    ------
    ErasureError
        If the records of a model are no chain that ends at its present parameters, because a record
        was removed or edited, or the parameters were changed by hand; if the key cannot be read, is
        no Ed25519 key or has a password. No message quotes the key.
    TypeError
        If there is no fitted erasable model, or the key is of another type.
    ImportError
        If `cryptography` is not installed.

    See Also
    --------
    verify_records : The inverse.

    Examples
    --------
    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_ssse import ErasableLogisticRegression, sign_records
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> clf = clf.unlearn(X[:5], y[:5], request_id="case 17")
    >>> document = sign_records(clf, Ed25519PrivateKey.generate())
    >>> document["models"][0]["records"][0]["request_id"]
    'case 17'
    """
    signer = read_private_key(key)
    return signed(content_of(model), signer)


def verify_records(document, model, public_key):
    """Verify that a key signed a document, and that it has all records of a model.

    The signature is verified with ``public_key``, never with the key that the document names. Then
    the records of each model must be a chain: each holds the digest of the record before it, and
    the parameters change between records by training alone. Last, the models inside the estimator
    must have these records, all of them, and these parameters.

    Parameters
    ----------
    document : dict
        The result of `sign_records`, which may have been written and read as JSON.
    model : estimator object
        The estimator that the document should describe.
    public_key : path-like, bytes or Ed25519PublicKey
        The public key of the signer: the path of a PEM file, PEM bytes, or a key of the package
        `cryptography`. Get it from the signer, not from the document.

    Returns
    -------
    list of str
        Remarks that do not question the document: trainings between records, which have no record,
        and records of a version of this library that made no digests. Empty if there is none.

    Raises
    ------
    ErasureError
        If the signature does not verify with this key: the document was changed after it was
        signed, or another key signed it; if a record was left out, moved or changed; if the model
        has other parameters or another number of records; if the document is of a newer version of
        the library; if the key cannot be read or is no public Ed25519 key.
    TypeError
        If there is no fitted erasable model, or the key is of another type.
    ImportError
        If `cryptography` is not installed.

    See Also
    --------
    sign_records : The inverse.

    Notes
    -----
    The records and the parameters of the erasable models are compared: coefficients and intercepts.
    Other attributes, such as ``classes_``, and other steps, such as a scaler, are not compared. The
    command `verify-record` also compares the SHA-256 of the whole model file, if `unlearn` or
    `refresh` on the command line wrote the record. The owner of the key can sign records of calls
    that were never made; `docs/records.md` lists the limits.

    Examples
    --------
    >>> from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn_ssse import ErasableLogisticRegression, sign_records, verify_records
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> key = Ed25519PrivateKey.generate()
    >>> clf = ErasableLogisticRegression(solver="newton-cholesky").fit(X, y)
    >>> document = sign_records(clf.unlearn(X[:5], y[:5]), key)
    >>> verify_records(document, clf, key.public_key())
    []
    >>> document["models"][0]["records"][0]["n_erased"] = 6
    >>> verify_records(document, clf, key.public_key())
    Traceback (most recent call last):
    ...
    sklearn_ssse.exceptions.ErasureError: The document must be signed by the owner of this key, got
    a document that was changed since: the signature does not verify. Get the document again from
    its sender.
    """
    return verified(model, document, read_public_key(public_key))
