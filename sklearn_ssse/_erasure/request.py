"""The request that a change of rows carries out: its verb, and the caller's id of the request."""

from typing import NamedTuple

from sklearn_ssse.exceptions import ErasureError

# Number of characters of a request id, at most. It has room for a UUID, a case number or a URL.
LONGEST_REQUEST_ID = 200


class Request(NamedTuple):
    """The verb, "unlearn", "learn" or "rectify", and the caller's id, "" if there is none."""

    kind: str = "unlearn"
    id: str = ""

    @classmethod
    def of(cls, kind, request_id):
        """The request of a call with the argument ``request_id``, which may be None.

        Raises
        ------
        ErasureError
            If the id is no text of 1 to `LONGEST_REQUEST_ID` printable characters.
        """
        return cls(kind, "" if request_id is None else check_request_id(request_id))


NO_REQUEST = Request()


def check_request_id(request_id):
    """Return a valid id of a request, or raise `ErasureError`; the message does not quote it."""
    text = str(request_id) if isinstance(request_id, str) else None
    if text is None:
        found = type(request_id).__name__
    elif not text:
        found = "an empty str"
    elif len(text) > LONGEST_REQUEST_ID:
        found = f"{len(text)} characters"
    elif not text.isprintable():
        found = "a character that cannot be printed"
    else:
        return text
    raise ErasureError(
        f"request_id must be a str of 1 to {LONGEST_REQUEST_ID} printable characters, got {found}. "
        "Pass the number of the request in your own records, or omit it."
    )
