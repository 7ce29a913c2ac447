"""Model files: read in their own format, and serialised in the same format."""

import hashlib
import io
import pickle
import zipfile
from functools import partial
from typing import NamedTuple

import joblib

from sklearn_ssse._cli.errors import CommandError, file_access
from sklearn_ssse._saved_format import TRUSTED_TYPES
from sklearn_ssse.exceptions import LibraryError

SCHEMA = "schema.json"
PLAIN_PICKLE = b"\x80"
# First bytes of a compressed pickle, and joblib's name of the compression.
COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZ": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x78": "zlib",
}
COMPRESS_LEVEL = 3


class ModelFile(NamedTuple):
    """A model, the hash of its file, and the function that serialises a model in its format."""

    model: object
    sha256: str
    dumps: object


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def read_model(path, *, trust_pickle=False, trusted=()):
    """Read a model in the format of the file's content, whatever its name.

    Parameters
    ----------
    path : Path
    trust_pickle : bool
        Whether a pickle may be loaded, which can run any code.
    trusted : sequence of str
        Types in a skops file to trust in addition to `TRUSTED_TYPES`.

    Returns
    -------
    ModelFile

    Raises
    ------
    CommandError
        If the file cannot be read, is not trusted, or holds no model.
    """
    with file_access(path, "read"):
        data = path.read_bytes()
    load, dumps = _skops(path, data, trusted) or _pickle(path, data, trust_pickle)
    try:
        model = load(io.BytesIO(data))
    except LibraryError:
        raise
    except Exception as error:  # any type, for a broken file or a missing package
        must = f"{path} must be a whole model file whose packages are installed"
        name = getattr(error, "name", None)  # of the missing package or attribute
        found = f"{type(error).__name__} for {name}" if name else type(error).__name__
        raise CommandError(f"{must}, got {found} while it was read.") from None
    return ModelFile(model, sha256(data), dumps)


def _skops(path, data, trusted):
    """Functions to load and to dump, or None if the file is no skops file."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if SCHEMA not in archive.namelist():
            return None
        compression = archive.getinfo(SCHEMA).compress_type
    import skops.io

    trusted = [*TRUSTED_TYPES, *trusted]

    def load(file):
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted))
        if unknown:
            options = " ".join(f"--trust {name}" for name in unknown)
            must = f"{path} must hold only types that are listed as safe, got {', '.join(unknown)}"
            raise CommandError(f"{must}. If you trust the origin of the file, add: {options}")
        return skops.io.load(file, trusted=trusted)

    return load, partial(skops.io.dumps, compression=compression)


def _pickle(path, data, trust_pickle):
    """Functions to load and to dump a pickle: joblib's, with its compression, or Python's own."""
    names = (name for start, name in COMPRESSIONS.items() if data.startswith(start))
    compression = next(names, None)
    if compression is None and not data.startswith(PLAIN_PICKLE):
        raise CommandError(f"{path} must be saved by skops.io.dump, joblib or pickle, got another.")
    if not trust_pickle:
        raise CommandError(
            f"{path} must be a skops file, got a pickle, which can run any code when it is loaded. "
            "Save the model by skops.io.dump, or add --trust-pickle if you trust the file's origin."
        )
    if compression is None and b"joblib.numpy_pickle" not in data:
        return pickle.load, pickle.dumps
    compress = (compression, COMPRESS_LEVEL) if compression else 0
    return joblib.load, partial(_joblib_dumps, compress=compress)


def _joblib_dumps(model, compress):
    file = io.BytesIO()
    joblib.dump(model, file, compress=compress)
    return file.getvalue()
