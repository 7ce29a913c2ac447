"""SISA: an ensemble whose members see disjoint shards, retrained from checkpoints."""

import numpy as np

from comparators.base import Comparator

# Tolerance of the training on the slices before the last one of a shard.
CHECKPOINT_TOL = 1e-4


class SISA(Comparator):
    """Sharded, isolated, sliced, aggregated training (Bourtoule et al. 2021, section IV).

    Each shard trains a member of its own: on its slice 1, from there on slices 1 and 2, and so on,
    with the parameters kept after each. An erasure restarts each shard of S at the checkpoint
    before its first slice with a row of S. The member then is the retrained one; the ensemble is
    not the model of all rows.

    Rows are assigned at random. A slice after which the rows of the shard still lack a class is not
    trained on alone, because an intercept without a penalty has no minimum there.

    Cost: O(n d^2) for each Newton step on each of about (slices + 1) / 2 passes, to prepare; the
    same for the shards of S, to erase.

    Parameters
    ----------
    shards, slices : int, default=10, 3
        Number of shards, and of slices of each.
    vote : {"mean", "majority"}, default="mean"
        The probabilities are the mean over the members, or the shares of their votes.
    tol : float, default=1e-10
        See `Objective.minimise`; for the last slice.
    seed : int, default=0
        Seed of the assignment.
    """

    reference = "Bourtoule et al. 2021"
    outcome = "ensemble"
    needs_rows = "all"
    trains_itself = True

    def __init__(self, shards=10, slices=3, vote="mean", tol=1e-10, seed=0):
        self.shards = shards
        self.slices = slices
        self.vote = vote
        self.tol = tol
        self.seed = seed
        self.name = f"SISA, {shards} shards"

    def _prepare(self):
        order = np.random.default_rng(self.seed).permutation(len(self.rows))
        parts = np.array_split(order, self.shards * self.slices)
        self.parts = [parts[s :: self.shards] for s in range(self.shards)]
        self.checkpoints = [[None] * self.slices for _shard in self.parts]
        for shard in range(self.shards):
            self._train(shard, 0)

    def _erase(self, index):
        self.retrained = {}
        for shard, parts in enumerate(self.parts):
            hit = [np.isin(part, index).any() for part in parts]
            if any(hit):
                first = hit.index(True)
                self.parts[shard] = [np.setdiff1d(part, index) for part in parts]
                self.retrained[shard] = first
                self._train(shard, first)

    def _train(self, shard, first):
        """Train a shard from one of its slices on; the checkpoints before it stay."""
        kept = self.checkpoints[shard]
        theta = kept[first - 1] if first else None
        for i in range(first, self.slices):
            rows = self.rows.take(np.concatenate(self.parts[shard][: i + 1]))
            last = i == self.slices - 1
            if last or self._has_all_classes(rows):
                tol = self.tol if last else CHECKPOINT_TOL
                theta = self.objective.minimise(rows, theta, tol)[0]
            kept[i] = theta

    def _has_all_classes(self, rows):
        """Whether each class has a row."""
        counts = rows.Y.sum(axis=0)
        return counts.min() > 0 and (len(counts) > 1 or counts[0] < len(rows))

    def _probabilities(self, rows):
        """Mean probabilities or shares of votes of the members, (n, n_classes)."""
        members = [
            self.both_classes(self.objective.probabilities(kept[-1], rows))
            for kept in self.checkpoints
        ]
        if self.vote == "majority":
            members = [np.eye(p.shape[1])[p.argmax(axis=1)] for p in members]
        return np.mean(members, axis=0)
