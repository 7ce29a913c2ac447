"""The curvature rows of each training row, for an inverse that keeps its rows.

A group is a training row, or a mini-batch of training rows, and has the same number of consecutive
rows in the inverse. The groups of forget rows are found by the digests of the tracked rows, also
after the parameters changed, and leave the inverse as a whole.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_ssse._erasure.records import replace_fields
from sklearn_ssse._erasure.tracking import TrackedRows, row_digests

# Largest ratio of the tracked rows to the rows whose mini-batch is in the inverse, without unit.
LARGEST_MISSING_RATIO = 2.0


@dataclass(frozen=True, eq=False, repr=False)
class KeptGroups:
    """The group of each tracked row; no method changes the arrays in place.

    Attributes
    ----------
    digests : ndarray of uint64 of shape (n_rows,)
        Digests of the tracked rows.
    groups : ndarray of int of shape (n_rows,)
        Position of the row's group in the inverse; -1 if the group is no longer in it.
    rows_per_group : int
        Number of curvature rows of a group.
    """

    digests: NDArray
    groups: NDArray
    rows_per_group: int

    @classmethod
    def of(cls, tracked: TrackedRows, X: Any, codes: NDArray, stream: Any) -> "KeptGroups":
        """The groups of training rows whose curvature rows are those of a `ModuleStream`."""
        groups = np.empty(len(codes), dtype=np.int64)
        for group, members in enumerate(stream.members):
            groups[members] = group
        per_group = stream.n_rows // max(len(stream.members), 1)
        return cls(row_digests(tracked.key, X, codes), groups, per_group)

    @property
    def n_groups(self) -> int:
        """Number of groups in the inverse."""
        return int(self.groups.max(initial=-1)) + 1

    @property
    def missing(self) -> float:
        """Number of tracked rows divided by the number of them whose group is in the inverse."""
        return len(self.groups) / max(int((self.groups >= 0).sum()), 1)

    @property
    def are_few(self) -> bool:
        """Whether the inverse is made of too few of the mini-batches."""
        return self.missing > LARGEST_MISSING_RATIO

    def positions(self, groups: NDArray) -> NDArray:
        """Positions of the curvature rows of some groups, (n_groups * rows_per_group,)."""
        own = np.arange(self.rows_per_group)
        return (groups[:, np.newaxis] * self.rows_per_group + own).ravel()

    def without(self, erased: NDArray) -> tuple["KeptGroups", NDArray]:
        """The groups after rows of some digests are erased, and the groups that leave."""
        order = np.argsort(self.digests, kind="stable")
        # Equal digests belong to equal rows, of which the first ones are taken.
        values, counts = np.unique(erased, return_counts=True)
        starts = np.searchsorted(self.digests[order], values)
        taken = [order[start : start + count] for start, count in zip(starts, counts, strict=True)]
        rows = np.concatenate([*taken, np.zeros(0, dtype=np.int64)])
        leaving = np.unique(self.groups[rows])
        leaving = leaving[leaving >= 0]
        is_left = ~np.isin(np.arange(self.n_groups), leaving)
        places = np.append(np.where(is_left, np.cumsum(is_left) - 1, -1), -1)
        groups = places[self.groups]
        kept = KeptGroups(
            np.delete(self.digests, rows), np.delete(groups, rows), self.rows_per_group
        )
        return kept, leaving

    def with_added(self, digests: NDArray, in_curvature: bool) -> "KeptGroups":
        """The groups after rows are added, each a new group, or none of the curvature."""
        new = np.arange(self.n_groups, self.n_groups + len(digests)) if in_curvature else -1
        return KeptGroups(
            np.concatenate([self.digests, digests]),
            np.concatenate([self.groups, np.broadcast_to(new, len(digests))]),
            self.rows_per_group,
        )


def with_kept_rows(change: Any, inverse: Any, forget: Any, added: Any) -> Any:
    """A `RowChange` whose forget rows have the curvature rows that the inverse keeps of them.

    Parameters
    ----------
    change : RowChange
    inverse : AbstractInverse
    forget, added : tuple (X, codes, weight) or None

    Returns
    -------
    RowChange
        The same one if the state has no groups.
    """
    groups = change.before.groups
    if groups is None:
        return change
    tracked = change.before.tracked
    erased = np.zeros(0, dtype=np.uint64)
    if forget is not None:
        erased = _difference(tracked, tracked.without(*forget))
    after, leaving = groups.without(erased)
    if added is not None:
        digests = row_digests(tracked.key, *added[:2])
        after = after.with_added(digests, in_curvature=not change.before.minibatch)
    return change._replace(
        scores=inverse.kept_scores(groups.positions(leaving)),
        new=None if change.before.minibatch else change.new,
        after=replace_fields(change.after, {"groups": after}),
    )


def rescaled(inverse: Any, before: Any, after: Any) -> Any:
    """An inverse whose rows stand for all training rows, also for those that left with a batch.

    ``before`` and ``after`` are the states before and after a change. Without it, the curvature of
    mini-batches would be too small by the rows that left with the forget rows.
    """
    if after.groups is None:
        return inverse
    factor = after.groups.missing / before.groups.missing
    return inverse if factor == 1.0 else inverse.scaled(factor)


def stale_after(after: Any, added: Any) -> str:
    """The reason why the curvature is stale in a state after a change; empty if it is not.

    ``added`` are the added rows, or None.
    """
    groups = after.groups
    is_kept = groups is not None and added is None and not groups.are_few
    if is_kept or not after.minibatch:
        return ""
    return "of mini-batches of the rows before the last change"


def _difference(before: TrackedRows, after: TrackedRows) -> NDArray:
    """Digests of the rows of one object that are not in another, each as often as it is missing."""
    left = np.zeros(len(before.digests), dtype=np.int64)
    left[np.isin(before.digests, after.digests, assume_unique=True)] = after.counts
    return np.repeat(before.digests, before.counts - left)
