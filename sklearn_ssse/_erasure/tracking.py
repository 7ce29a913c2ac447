"""Digests of the training rows, by which a model recognises the rows that it still holds.

A digest is 64 bits of BLAKE2b under a random key of the model. It covers the values of a row as
they reach the model, the code of its label and its sample weight; class weights are no part of it.
A model stores the sorted digests and the number of rows of each, and no row.

A projection such as `PCA` gives a row other last bits if it transforms other rows beside it. The
values are therefore rounded to integers, with one unit for all values of a row. A value near a
rounding boundary may have two integers; if the digest of the nearest ones is not stored, the others
are tried.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, combinations, islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sklearn_ssse._utils.chunks import slices
from sklearn_ssse.exceptions import ErasureError

# Bytes of the random key of the digests.
KEY_BYTES = 16
# Values are rounded to 2**-BITS of a power of two near the largest absolute value of the row. A
# rounded value then has at most 4 bytes.
BITS = 30
# Least exponent of a unit: a row whose values are all below 2**-900 counts as a row of zeros.
LEAST_EXPONENT = -900
# Largest error of a value, in units of the rounding: 2**-35 of the largest value of the row. The
# largest error that `bench_tracking.py` measured is 2**-37, by RBFSampler.
ROUNDING_ERROR = 2.0**-5
# Largest number of roundings of one row that are tried after the nearest one.
MAX_ROUNDINGS = 100
# Array elements whose rows are rounded and digested at once.
CHUNK_NUMBERS = 2**16
# Positions of rows that a message lists at most.
MAX_LISTED = 5

NO_DOWNDATE = (
    "preprocessing='downdate' needs a model without tracked rows, got one with track_rows=True: it "
    "changes the columns of the retained rows, and their digests were computed from the columns at "
    "fit. Use preprocessing='keep', and `refresh` with preprocessing='refit' if you have the "
    "retained rows."
)


@dataclass(frozen=True, eq=False, repr=False)
class TrackedRows:
    """The digests of the training rows of positive weight; no method changes them in place.

    Attributes
    ----------
    key : bytes
        The key of the digests, drawn at random.
    digests : ndarray of uint64 of shape (n_distinct,)
        Distinct digests, sorted: their order is not the order of the rows.
    counts : ndarray of int64 of shape (n_distinct,)
        Number of rows that have each digest, at least 1.
    """

    key: bytes
    digests: NDArray
    counts: NDArray

    def __repr__(self) -> str:
        return f"TrackedRows(n_rows={self.n_rows})"

    @property
    def n_rows(self) -> int:
        """Number of tracked rows."""
        return int(self.counts.sum())

    @classmethod
    def of(cls, X: Any, codes: NDArray, weight: NDArray | None) -> "TrackedRows":
        """The digests of training rows under a new key, without the rows of weight 0.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_rows, n_features)
        codes : ndarray of int of shape (n_rows,) or (n_rows, n_labels)
        weight : ndarray of shape (n_rows,) or None
            Sample weights, without class weights; None stands for weights of 1.
        """
        key = secrets.token_bytes(KEY_BYTES)
        digests, counts = np.unique(_digests(key, X, codes, weight)[0], return_counts=True)
        return cls(key, digests, counts.astype(np.int64))

    def with_added(self, X: Any, codes: NDArray, weight: NDArray | None) -> "TrackedRows":
        """The digests after rows are added; the parameters are the same as for `of`."""
        added, counts = np.unique(_digests(self.key, X, codes, weight)[0], return_counts=True)
        at = np.searchsorted(self.digests, added)
        known = self._are_stored(added, at)
        increased = self.counts.copy()
        increased[at[known]] += counts[known]
        new = ~known
        return TrackedRows(
            self.key,
            np.insert(self.digests, at[new], added[new]),
            np.insert(increased, at[new], counts[new]),
        )

    def without(
        self,
        X: Any,
        codes: NDArray,
        weight: NDArray | None,
        call_positions: NDArray | None = None,
    ) -> "TrackedRows":
        """The digests after rows are erased.

        Parameters
        ----------
        X, codes, weight
            See `of`.
        call_positions : ndarray of int of shape (n_rows,) or None
            Positions of the rows in the call of the user, for the message; None for 0, 1, ...

        Raises
        ------
        ErasureError
            If a row of positive weight is not tracked, or more often than it is tracked.
        """
        digests, rows = _digests(self.key, X, codes, weight)
        left: dict[int, int] = {}  # by the place of a digest: the rows that are left
        missing = []
        places = np.searchsorted(self.digests, digests).tolist()
        for row, digest, place in zip(rows.tolist(), digests, places, strict=True):
            if self._take(digest, place, left) or self._take_other(X, codes, weight, row, left):
                continue
            missing.append(row)
        if missing:
            named = missing if call_positions is None else np.unique(call_positions[missing])
            raise ErasureError(_refusal(len(missing), len(digests), list(named)))
        counts = self.counts.copy()
        counts[list(left)] = list(left.values())
        gone = [place for place, count in left.items() if not count]
        return TrackedRows(self.key, np.delete(self.digests, gone), np.delete(counts, gone))

    def _are_stored(self, digests: NDArray, at: NDArray) -> NDArray:
        """Whether digests are stored at the places that `searchsorted` found, (n_digests,)."""
        if not self.digests.size:
            return np.zeros(len(digests), dtype=bool)
        return self.digests[np.minimum(at, self.digests.size - 1)] == digests

    def _take(self, digest: Any, place: int, left: dict[int, int]) -> bool:
        """Count one row less at a place of ``left``; False if no row of this digest is left."""
        if place == self.digests.size or self.digests[place] != digest:
            return False
        count = left.get(place, int(self.counts[place]))
        left[place] = max(count - 1, 0)
        return count > 0

    def _take_other(
        self, X: Any, codes: NDArray, weight: NDArray | None, row: int, left: dict[int, int]
    ) -> bool:
        """`_take` for the other roundings of one row, of which the first that is left is taken."""
        one = slice(row, row + 1)
        units, exponents = _in_units(X[one])
        (tail,) = _tails(exponents, codes[one], None if weight is None else weight[one])
        for text in _other_roundings(units):
            (digest,) = _as_numbers(_digest(self.key, text + tail))
            if self._take(digest, int(np.searchsorted(self.digests, digest)), left):
                return True
        return False


def row_digests(key: bytes, X: Any, codes: NDArray) -> NDArray:
    """The digest of each row of weight 1 under a key, in the order of the rows, (n_rows,)."""
    return _digests(key, X, codes, None)[0]


def tracked_rows(model: Any, X: Any, codes: NDArray, weight: NDArray | None) -> TrackedRows | None:
    """The digests of training rows, see `TrackedRows.of`; None for a model that tracks no rows."""
    return TrackedRows.of(X, codes, weight) if getattr(model, "track_rows", False) else None


def tracked_after(
    tracked: TrackedRows | None,
    forget: tuple | None,
    added: tuple | None,
    call_positions: NDArray | None = None,
) -> TrackedRows | None:
    """The digests after rows (X, codes, weight) are erased and others are added.

    ``call_positions`` are the positions of the forget rows in the call of the user.
    """
    if tracked is None:
        return None
    if forget is not None:
        X, codes, weight = forget
        tracked = tracked.without(X, codes, weight, call_positions)
    return tracked if added is None else tracked.with_added(*added)


def _refusal(n_missing: int, n_rows: int, positions: list) -> str:
    """The message for forget rows that are not tracked."""
    listed = ", ".join(str(position) for position in positions[:MAX_LISTED])
    more = len(positions) - MAX_LISTED
    if more > 0:
        listed += f" and {more} more"
    return (
        "Every row to erase must be a training row that the model still holds, got "
        f"{n_missing} of {n_rows} that were never trained on, or were erased before: rows at the "
        f"positions {listed} of the call, counted from 0. Omit them, or pass them with the values, "
        "the label and the sample weight that they had at fit; for a pipeline, call "
        "`unlearn(pipeline, X, y)`. Rows that early stopping held out were not trained on."
    )


def _digests(key: bytes, X: Any, codes: NDArray, weight: NDArray | None) -> tuple[NDArray, NDArray]:
    """Digests of the rows of positive weight, and the positions of these rows, (n_digests,)."""
    out = []
    size = max(CHUNK_NUMBERS // max(X.shape[1], 1), 1)
    for rows in slices(X.shape[0], size):
        units, exponents = _in_units(X[rows])
        tails = _tails(exponents, codes[rows], None if weight is None else weight[rows])
        out += [_digest(key, text + tail) for text, tail in zip(_texts(units), tails, strict=True)]
    digests = _as_numbers(b"".join(out))
    if weight is None:
        return digests, np.arange(len(digests))
    positions = np.flatnonzero(weight > 0)
    return digests[positions], positions


def _digest(key: bytes, text: bytes) -> bytes:
    """The keyed digest of the bytes of a row, 8 bytes."""
    return blake2b(text, digest_size=8, key=key).digest()


def _as_numbers(digests: bytes) -> NDArray:
    """Digests that follow each other as numbers, the same on every machine, (n_digests,)."""
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _in_units(X: Any) -> tuple[Any, NDArray]:
    """Rows in units of their rounding, as float64.

    Returns
    -------
    units : {ndarray, CSR matrix} of shape (n_rows, n_features)
    exponents : ndarray of int of shape (n_rows,)
        The unit of a row is ``2**(exponent - BITS)``.
    """
    X = X.astype(np.float64)
    largest = abs(X).max(axis=1)
    if sparse.issparse(X):
        largest = largest.toarray().ravel()
    # The factor moves the boundaries between two units away from powers of two, which are common.
    exponents = np.maximum(np.frexp(largest * (1.0 - 2.0**-20))[1], LEAST_EXPONENT)
    factors = np.ldexp(1.0, BITS - exponents)
    if sparse.issparse(X):
        X.data *= np.repeat(factors, np.diff(X.indptr))
        return X, exponents
    X *= factors[:, np.newaxis]
    return X, exponents


def _texts(units: Any) -> list[bytes]:
    """The rounded values of each row as bytes: the column and the value, if that is not 0."""
    values = np.rint(units.data if sparse.issparse(units) else units)
    pairs = np.empty((*values.shape, 2), dtype="<i4")
    pairs[..., 0] = units.indices if sparse.issparse(units) else np.arange(units.shape[1])
    pairs[..., 1] = values
    some = values != 0
    if sparse.issparse(units):
        ends = np.concatenate([[0], np.cumsum(some)])[units.indptr]
    else:
        ends = np.concatenate([[0], np.cumsum(some.sum(axis=1))])
    data = (pairs if some.all() else pairs[some]).tobytes()
    bounds = (pairs.itemsize * 2 * ends).tolist()
    return [data[start:end] for start, end in pairwise(bounds)]


def _tails(exponents: NDArray, codes: NDArray, weight: NDArray | None) -> list[bytes]:
    """The unit, the codes of the labels and the weight of each row as bytes."""
    weight = np.ones(len(codes)) if weight is None else weight
    numbers = np.column_stack([exponents, codes, weight.astype("<f8").view("<i8")])
    data = numbers.astype("<i8").tobytes()
    width = 8 * numbers.shape[1]
    return [data[start : start + width] for start in range(0, len(data), width)]


def _other_roundings(row: Any) -> Iterator[bytes]:
    """The bytes of a row (1, n_features) in units, for other roundings of values near a boundary.

    The roundings that differ from the nearest one in the fewest values are the first.
    """
    units = sparse.csr_matrix(row)
    nearest = np.rint(units.data)
    excess = units.data - nearest
    doubtful = np.flatnonzero(np.abs(excess) >= 0.5 - ROUNDING_ERROR)
    doubtful = doubtful[np.argsort(-np.abs(excess[doubtful]), kind="stable")]
    sizes = range(1, len(doubtful) + 1)
    choices = chain.from_iterable(combinations(doubtful.tolist(), size) for size in sizes)
    for chosen in islice(choices, MAX_ROUNDINGS):
        index = list(chosen)
        units.data = nearest.copy()
        units.data[index] += np.sign(excess[index])
        yield _texts(units)[0]
