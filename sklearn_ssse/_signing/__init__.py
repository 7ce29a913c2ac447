"""Signed documents of records: written, signed by Ed25519, and verified against a model.

The folder depends on the chain of the records and on the models inside an estimator. It must not
depend on rows or a curvature. The package `cryptography` is imported when a key is needed.
"""

from sklearn_ssse._signing.documents import content_of, signed, verified
from sklearn_ssse._signing.keys import new_key_pair, read_private_key, read_public_key
