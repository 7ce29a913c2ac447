"""The commands for signatures: verify the record of a model, and make a pair of keys."""

import os
from contextlib import suppress

from sklearn_ssse._cli.commands import fitted_model
from sklearn_ssse._cli.errors import CommandError, file_access
from sklearn_ssse._erasure import strict_json
from sklearn_ssse._signing import new_key_pair, read_public_key, verified
from sklearn_ssse.exceptions import ErasureError

# Names of the hash of the model file that a command wrote, in its record.
HASHES = ("erased_sha256", "refreshed_sha256")
NO_HASH = (
    "the record has no SHA-256 of the model file, so its records and its coefficients were "
    "compared, and not the rest of the file, such as a scaler"
)
# Permissions of a file of a private key: its owner alone may read it.
OWNER_ALONE = 0o600
READABLE = 0o644


def run_verify_record(args):
    """Verify the signature of a record and compare it with a model. Returns the text to print."""
    key = read_public_key(args.public_key)
    with file_access(args.record, "read"):
        data = args.record.read_bytes()
    try:
        document = strict_json(data)
    except ErasureError:
        must = f"{args.record} must be a whole record as JSON"
        raise CommandError(f"{must}, got another file. Get the record again.") from None
    file = fitted_model(args.model, args)
    remarks = verified(file.model, document, key)
    remarks += _check_hash(document, file, args)
    models = document["models"]
    counts = _count(sum(len(model["records"]) for model in models), "record")
    text = f"{args.record.name} is signed by the owner of {args.public_key.name} and describes "
    text += f"{args.model.name}: {counts} of {_count(len(models), 'model')}."
    return "\n".join([text, *(f"note: {remark}" for remark in remarks)])


def run_new_key(args):
    """Write a new private key and its public key. Returns the text to print."""
    private, public = new_key_pair()
    with file_access(args.private, "write"):
        _write_new(args.private, private, OWNER_ALONE)
    try:
        with file_access(args.public, "write"):
            _write_new(args.public, public, READABLE)
    except BaseException:
        with suppress(OSError):
            args.private.unlink()
        raise
    return f"Keep {args.private.name} secret; give {args.public.name} to those who verify records."


def _check_hash(document, file, args):
    """Refuse another file than the one that the command wrote with the record; the remarks."""
    expected = [document[name] for name in HASHES if name in document]
    if not expected:
        return [NO_HASH]
    if file.sha256 not in expected:
        must = f"{args.model} must be the file that was written with {args.record}"
        raise CommandError(f"{must}, got a file of another SHA-256. Verify that file.")
    return []


def _write_new(path, data, mode):
    """Write a file that must not exist, with these permissions."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)


def _count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
