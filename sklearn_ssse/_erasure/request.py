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
    if not isinstance(request_id, str):
        found = type(request_id).__name__
    elif not request_id:
        found = "an empty str"
    elif len(request_id) > LONGEST_REQUEST_ID:
        found = f"{len(request_id)} characters"
    elif not request_id.isprintable():
        found = "a character that cannot be printed"
    else:
        return str(request_id)
    raise ErasureError(
        f"request_id must be a str of 1 to {LONGEST_REQUEST_ID} printable characters, got {found}. "
        "Pass the number of the request in your own records, or omit it."
    )
