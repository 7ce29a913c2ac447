"""Ed25519 keys as PEM. No message quotes a key, or an argument that may hold one."""

from pathlib import Path

from sklearn_ssse.exceptions import ErasureError, ErasureTypeError, MissingPackageError

PRIVATE = "private"
PUBLIC = "public"
NEW_KEY = "Make a pair of keys with: python -m sklearn_ssse new-key private.pem public.pem"


def read_private_key(key):
    """The `Ed25519PrivateKey` of a path, of PEM bytes, or of such a key.

    Raises
    ------
    ErasureError
        If the file cannot be read, or holds no private Ed25519 key without a password.
    ErasureTypeError
        If ``key`` is of another type.
    MissingPackageError
        If `cryptography` is not installed.
    """
    ed25519, serialization = _cryptography()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    data = _pem(key, PRIVATE, "an Ed25519PrivateKey")
    try:
        found = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise ErasureError(
            "The private key must have no password, got a PEM with one. Decrypt it in memory and "
            "pass an Ed25519PrivateKey of cryptography, or use a key without a password."
        ) from None
    except Exception:  # any type, for a broken PEM; its message may quote the key
        raise _refused(PRIVATE, _kind(data)) from None
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise _refused(PRIVATE, "a key of another algorithm")
    return found


def read_public_key(key):
    """The `Ed25519PublicKey` of a path, of PEM bytes, or of such a key.

    Raises
    ------
    ErasureError
        If the file cannot be read, or holds no public Ed25519 key.
    ErasureTypeError
        If ``key`` is of another type.
    MissingPackageError
        If `cryptography` is not installed.
    """
    ed25519, serialization = _cryptography()
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    data = _pem(key, PUBLIC, "an Ed25519PublicKey")
    try:
        found = serialization.load_pem_public_key(data)
    except Exception:  # any type, for a broken PEM
        raise _refused(PUBLIC, _kind(data)) from None
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise _refused(PUBLIC, "a key of another algorithm")
    return found


def raw_bytes(key):
    """The 32 bytes of an `Ed25519PublicKey`."""
    return key.public_bytes_raw()


def new_key_pair():
    """A new private key and its public key, each as PEM bytes."""
    ed25519, serialization = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def _cryptography():
    """The modules of `cryptography` for Ed25519 and for PEM."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise MissingPackageError(
            "Signatures need the package cryptography, which could not be imported. Install it: "
            "pip install 'sklearn-ssse[sign]'"
        ) from None
    return ed25519, serialization


def _pem(key, kind, instance):
    """The PEM bytes of an argument; a str is a path unless it is a PEM."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str) and "-----BEGIN" in key:
        return key.encode()
    if not isinstance(key, (str, Path)):
        raise ErasureTypeError(
            f"A {kind} key must be a path, PEM bytes or {instance}, got {type(key).__name__}. "
            f"{NEW_KEY}"
        )
    try:
        return Path(key).read_bytes()
    except (OSError, ValueError) as error:  # ValueError for a null character
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ErasureError(
            f"The file of the {kind} key must be readable, got: {reason}. Check the path."
        ) from None


def _kind(data):
    """A description of a PEM that is not of the expected kind."""
    if b"-----BEGIN" not in data:
        return "no PEM"
    if b"PUBLIC KEY-----" in data:
        return "a public key"
    if b"PRIVATE KEY-----" in data:
        return "a private key"
    return "another PEM"


def _refused(kind, found):
    return ErasureError(f"The {kind} key must be an Ed25519 key as PEM, got {found}. {NEW_KEY}")
