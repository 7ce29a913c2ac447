"""The rows of a call: honest choices of rows, and the ways in which rows are made wrong."""

from dataclasses import dataclass

import numpy as np

from tests.fuzzing.data import GROUP, SENTINEL, UNKNOWN_LABEL
from tests.fuzzing.options import choose


@dataclass
class Rows:
    """Rows of a call.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns), or None
    y : array-like
        Labels as the user passes them.
    weight : ndarray of shape (n_rows,) or None
    codes : ndarray of int
        Codes of the labels, for the ledger.
    positions : ndarray of int of shape (n_rows,)
        Positions in the data of `fit`, for a bag and for the ledger.
    """

    X: np.ndarray
    y: object
    weight: np.ndarray | None
    codes: np.ndarray
    positions: np.ndarray

    @property
    def counted(self):
        """Whether each row has a positive weight."""
        return np.ones(len(self.codes), bool) if self.weight is None else self.weight > 0


def rows_of(world, index):
    """Rows of the pool as a user passes them."""
    codes = world.codes[index]
    weight = world.weights_of(index)
    return Rows(world.X[index], world.labels(codes), weight, codes, index)


# Honest choices of held rows


def few_rows(world):
    """Up to a twentieth of the rows."""
    kept = world.kept
    return world.rng.choice(kept, int(world.rng.integers(1, max(2, len(kept) // 20))), False)


def many_rows(world):
    """A tenth to a half of the rows."""
    kept = world.kept
    return world.rng.choice(kept, int(len(kept) * world.rng.uniform(0.1, 0.5)) or 1, False)


def one_class(world):
    """A third of a class, or all of it but a few rows, or all of it."""
    codes = world.codes if world.codes.ndim == 1 else world.codes[:, 0]
    members = world.kept[codes[world.kept] == world.rng.integers(world.options["n_classes"])]
    share = choose(world.rng, {0.3: 3, 0.9: 2, 1.0: 1})
    return members[: int(np.ceil(len(members) * share))]


def largest_loss(world):
    """The rows that the model predicts worst."""
    kept = world.kept
    order = np.argsort(world.correct()[kept], kind="stable")
    return kept[order[: 1 + int(world.rng.integers(len(kept) // 5 + 1))]]


def marked_row(world):
    """The row that holds the sentinel, if the model holds it, and another row."""
    return np.union1d(world.kept[:1], one_row(world))


def one_row(world):
    """One row."""
    return world.rng.choice(world.kept, 1)


def no_row(world):
    """No row."""
    return np.zeros(0, int)


HONEST = {
    few_rows: 6,
    many_rows: 3,
    one_row: 2,
    one_class: 2,
    largest_loss: 2,
    marked_row: 1,
    no_row: 0.5,
}

# Wrong rows: each function changes `Rows`. Those of INVALID must be refused.


def with_nan(world, rows):
    rows.X[world.rng.integers(len(rows.X)), 0] = np.nan


def infinite(world, rows):
    rows.X[world.rng.integers(len(rows.X)), -1] = np.inf


def fewer_columns(world, rows):
    rows.X = rows.X[:, 1:]


def more_labels(world, rows):
    rows.y = [*rows.y, rows.y[0]]


def unknown_label(world, rows):
    unknown = UNKNOWN_LABEL if world.names.dtype.kind == "U" else 731
    y = np.array(rows.y, dtype=object)
    y[0] = unknown
    rows.y = y if world.names.dtype.kind == "U" else y.astype(int)


def negative_weights(world, rows):
    rows.weight = np.full(len(rows.codes), -1.0)


def no_rows_at_all(world, rows):
    rows.X = None


def huge_cell(world, rows):
    rows.X[0, world.rng.integers(rows.X.shape[1])] = SENTINEL * 10.0 ** world.rng.integers(-2, 296)


def huge_rows(world, rows):
    rows.X *= 10.0 ** world.rng.uniform(3, 300)


def unscaled(world, rows):
    rows.X = rows.X * world.rng.uniform(5, 100) + world.rng.uniform(-100, 100)


def scaled_twice(world, rows):
    rows.X = rows.X / world.rng.uniform(1, 100) - world.rng.uniform(1, 5)


def swapped_columns(world, rows):
    rows.X = rows.X[:, ::-1].copy()


def wrong_labels(world, rows):
    n_classes = world.options["n_classes"]
    rows.codes = (rows.codes + 1) % n_classes
    rows.y = world.labels(rows.codes)


def wrong_weights(world, rows):
    rows.weight = world.rng.uniform(0, 10, len(rows.codes))


def no_weights(world, rows):
    rows.weight = None


INVALID = {
    with_nan: 1,
    infinite: 1,
    fewer_columns: 1,
    more_labels: 1,
    unknown_label: 1,
    negative_weights: 1,
    no_rows_at_all: 0.5,
}
HOSTILE = {
    huge_cell: 3,
    huge_rows: 2,
    unscaled: 2,
    scaled_twice: 1,
    swapped_columns: 1,
    wrong_labels: 2,
    wrong_weights: 1,
    no_weights: 0.5,
}

# Wrong arguments of an erasure besides the rows; all of them must be refused.


def unknown_preprocessing(world, index):
    return {"preprocessing": "drop"}


def unknown_group(world, index):
    return {"groups": world.groups[index], "forget": [f"{GROUP}-nobody"]}


def groups_alone(world, index):
    return {"groups": world.groups[index]}


def too_few_groups(world, index):
    ids = world.groups[index]
    return {"groups": ids[1:], "forget": list(ids[:1])}


BAD_OPTIONS = {
    unknown_preprocessing: 1,
    unknown_group: 1,
    groups_alone: 1,
    too_few_groups: 1,
}

# Wrong choices of rows of the pool, for an erasure: positions, and whether it must be refused.


def never_in(world):
    return world.rng.choice(np.flatnonzero(~world.held), 5, False), False


def twice(world):
    index = few_rows(world)
    return np.concatenate([index, index]), False


def all_rows(world):
    return world.kept, True


def more_than_all(world):
    return np.concatenate([world.kept, few_rows(world)]), True


WRONG_CHOICES = {never_in: 2, twice: 1, all_rows: 0.5, more_than_all: 0.5}
