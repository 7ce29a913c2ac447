"""The structures for large nets: the exact inverse from kept curvature rows, and its limits."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from sklearn_ssse import ErasureError
from sklearn_ssse._gradients import Layer, Scores
from sklearn_ssse._inverse import (
    MODULE_INVERSES,
    choice,
    choose_structure,
    kept_rows,
    low_rank_rows,
)
from tests.reference import relative, without

GRADIENTS = MODULE_INVERSES["gradients"]
D = 90
SHAPES = [(4, 15), (10, 3)]


class Stream:
    """Curvature rows in chunks of 7 rows, with the interface of `ScoreStream`."""

    rows_per_sample = 1
    n_parameters = D
    shapes = SHAPES

    def __init__(self, rows):
        self.rows = rows
        self.n_samples = self.n_rows = len(rows)

    def chunks(self):
        for start in range(0, len(self.rows), 7):
            yield explicit(self.rows[start : start + 7])

    def diagonal(self):
        return np.square(self.rows, dtype=np.float64).sum(axis=0)


def explicit(rows):
    return Scores([Layer(rows, np.ones((len(rows), 1, 1)), False)])


def make_rows(n, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((n, D)).astype(dtype)


RIDGE = np.linspace(0.5, 3.0, D)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("block_size", [None, 25, 500])
def test_equals_the_dense_structures_on_a_stream(block_size, dtype, monkeypatch):
    monkeypatch.setattr(kept_rows, "SLAB_ELEMENTS", 300)  # 10 columns at a time
    R = make_rows(30, dtype=dtype)
    other = ("full", {}) if block_size is None else ("block", {"block_size": block_size})
    dense = MODULE_INVERSES[other[0]].build(explicit(R.astype(float)), RIDGE, **other[1])
    inverse = GRADIENTS.build(Stream(R), RIDGE, block_size=block_size)
    assert relative(inverse.to_dense(), dense.to_dense()) < 1e-10
    assert relative(inverse.diagonal, dense.diagonal) < 1e-12
    v = make_rows(3, seed=1)
    assert relative(inverse.solve(v.T), dense.solve(v.T)) < 1e-10
    assert relative(inverse.solve(v[0]), dense.solve(v[0])) < 1e-10
    for rows in (R[:4], make_rows(4, seed=2) / 10):
        pending = inverse.pending_downdate(explicit(rows))
        expected = dense.pending_downdate(explicit(rows.astype(float)))
        assert pending.margin == pytest.approx(expected.margin, abs=1e-10)
        assert pending.max_leverage == pytest.approx(expected.max_leverage)
        assert relative(pending.leverage, expected.leverage) < 1e-9
        for damped in (False, True):
            step = expected.solve(v[0], damped=damped)
            assert relative(pending.solve(v[0], damped=damped), step) < 1e-8
        assert relative(pending.inverse().to_dense(), expected.inverse().to_dense()) < 1e-8
    assert inverse.leverage_is_bounded == (block_size != 25)
    copied = pickle.loads(pickle.dumps(inverse))
    assert np.array_equal(copied.to_dense(), inverse.to_dense())


def test_many_rows_are_stored_as_float32(monkeypatch):
    R = make_rows(30)
    exact = GRADIENTS.build(Stream(R), RIDGE)
    assert exact.nbytes == GRADIENTS.bytes_needed(SHAPES, 30)
    monkeypatch.setattr(kept_rows, "FLOAT64_ELEMENTS", 30 * D - 1)
    rounded = GRADIENTS.build(Stream(R), RIDGE)
    assert rounded.nbytes == GRADIENTS.bytes_needed(SHAPES, 30) == exact.nbytes - 4 * 30 * D
    assert relative(rounded.to_dense(), exact.to_dense()) < 1e-6
    smaller = rounded.downdate(explicit(R[:3]))  # float64 rows equal their rounded copies
    assert len(smaller.rows) == 27


@pytest.mark.parametrize("block_size", [None, 25])
def test_rows_are_removed_by_position(block_size):
    R = make_rows(30)
    inverse = GRADIENTS.build(Stream(R), RIDGE, block_size=block_size)
    before = inverse.to_dense()
    smaller = inverse.without_rows([4, 17])
    rest = np.delete(R, [4, 17], axis=0)
    built = GRADIENTS.build(Stream(rest), RIDGE, block_size=block_size)
    assert relative(smaller.to_dense(), built.to_dense()) < 1e-12
    assert relative(smaller.diagonal, built.diagonal) < 1e-12
    assert np.array_equal(smaller.rows.dense(slice(0, D)), rest)
    assert np.array_equal(inverse.to_dense(), before)
    again = smaller.without_rows([0]).without_rows(np.array([], dtype=int))
    assert np.array_equal(again.rows.dense(slice(0, D)), rest[1:])
    none = again.without_rows(range(27))
    assert relative(none.to_dense(), np.diag(1 / RIDGE)) < 1e-15
    with pytest.raises(IndexError):
        smaller.without_rows([28])


def test_a_removed_row_is_deleted():
    """Each row is an array of its own, so that no view keeps the memory of another row."""
    R = make_rows(30)
    inverse = GRADIENTS.build(Stream(R), RIDGE)
    assert all(row.base is None for row in inverse.rows.rows)
    S = [3, 3, 8, 20]
    doubled = inverse.update(explicit(R[[3]]))
    smaller = doubled.downdate(explicit(R[S]))
    assert np.array_equal(smaller.rows.dense(slice(0, D)), R[without([3, 8, 20], 30)])
    assert (smaller.rows.weights == 1).all()
    same = smaller.downdate(explicit(np.zeros((2, D))))
    assert len(same.rows) == len(smaller.rows)  # rows of zeros are not kept


@pytest.mark.parametrize("block_size", [None, 25])
def test_scaled_rows(block_size):
    """A factor for all rows: they are shared, and are found again in the curvature."""
    R = make_rows(30)
    inverse = GRADIENTS.build(Stream(R), RIDGE, block_size=block_size)
    scaled = inverse.downdate(explicit(R[:1] / 2)).scaled(1.2).scaled(1.5)
    assert all(row is same for row, same in zip(scaled.rows.rows, inverse.rows.rows, strict=False))
    root = np.sqrt(1.8)
    expected = GRADIENTS.build(Stream(root * R), RIDGE, block_size=block_size)
    expected = expected.downdate(explicit(root * R[:1] / 2))
    assert relative(scaled.to_dense(), expected.to_dense()) < 1e-11
    assert relative(scaled.diagonal, expected.diagonal) < 1e-12
    positions = np.array([4, 17])
    kept = scaled.kept_scores(positions)
    assert relative(kept.to_dense(), root * R[positions]) < 1e-15
    for smaller in (scaled.downdate(kept), scaled.without_rows(positions)):
        assert len(smaller.rows) == 29
        without_them = expected.downdate(explicit(root * R[positions]))
        assert relative(smaller.to_dense(), without_them.to_dense()) < 1e-9
    assert scaled.kept_scores(np.zeros(0, dtype=int)).n_rows == 0


@pytest.mark.parametrize("block_size", [None, 25])
def test_rows_that_are_not_rows_of_the_build(block_size):
    """The gradient of a row at changed parameters: exact, and cancelled by adding it again."""
    R = make_rows(30)
    moved = 0.5 * R[:3] + 0.05 * make_rows(3, seed=1)
    inverse = GRADIENTS.build(Stream(R), RIDGE, block_size=block_size)
    smaller = inverse.downdate(explicit(np.concatenate([moved, R[9:10]])))
    later = smaller.update(explicit(make_rows(2, seed=2))).downdate(explicit(R[10:12]))
    assert np.array_equal(later.rows.weights, [*[1] * 29, -1, -1, -1])
    kept = np.concatenate([np.delete(R, [9, 10, 11], axis=0), make_rows(2, seed=2)])
    signed = Scores([Layer(kept, np.ones((29, 1, 1)), False)])
    other = ("full", {}) if block_size is None else ("block", {"block_size": block_size})
    expected = MODULE_INVERSES[other[0]].build(signed, RIDGE, **other[1])
    expected = expected.downdate(explicit(moved))
    assert relative(later.to_dense(), expected.to_dense()) < 1e-9
    assert relative(later.diagonal, expected.diagonal) < 1e-12
    v = make_rows(1, seed=3)[0]
    pending = later.pending_downdate(explicit(kept[3:5]))
    assert relative(pending.solve(v), expected.downdate(explicit(kept[3:5])).solve(v)) < 1e-9
    back = later.update(explicit(moved))
    assert len(back.rows) == 29
    with pytest.raises(ErasureError, match="positive definite"):
        inverse.downdate(explicit(10 * moved))


def test_a_curvature_that_overflows_or_is_singular():
    R = make_rows(30)
    with pytest.raises(ErasureError, match="must be finite"):
        GRADIENTS.build(Stream(1e200 * R), RIDGE)
    for ridge in (np.zeros(D), 1e-12 * RIDGE):
        with pytest.raises(ErasureError, match="positive definite"):
            GRADIENTS.build(Stream(R), ridge)
    inverse = GRADIENTS.build(Stream(R), lambda diagonal: RIDGE + 0 * diagonal)
    assert np.array_equal(inverse.ridge, RIDGE)
    for factor in (1e9, 1e200):
        with pytest.raises(ErasureError, match="far more curvature"):
            inverse.update(explicit(factor * R[:2]))


def test_memory_of_kept_rows_is_checked_first(monkeypatch):
    shapes = [(1, 270_000)]

    def choose(structure, n_rows, **given):
        return choose_structure(MODULE_INVERSES, structure, shapes, given, n_rows)

    monkeypatch.setattr(choice, "available_bytes", lambda: 6e9)
    assert choose("gradients", 4000, block_size=70_000)[0] == "gradients"
    message = (
        r"6 GB, got structure='gradients' for 270000 parameters and 6000 curvature rows, which "
        r"takes 7.84 GB .* 'diagonal'. A larger fisher_batch_size"
    )
    with pytest.raises(ErasureError, match=message):
        choose("gradients", 6000)
    with pytest.raises(ErasureError, match=r"takes .* to build. Choose .* 'gradients'"):
        choose("block", 800, block_size=70_000)
    with pytest.raises(ErasureError, match="rank must be given with structure 'low_rank' only"):
        choose("gradients", 800, rank=3)


def test_gradient_rows_are_kept_on_request_only(monkeypatch):
    """They are personal data: "auto" takes another structure in any memory."""
    for free in (1e9, 1e12):
        monkeypatch.setattr(choice, "available_bytes", lambda free=free: free)
        name, _ = choose_structure(MODULE_INVERSES, "auto", [(1, 270_000)], {}, 100)
        assert name != "gradients"


def test_low_rank_of_float32_rows_in_slices(monkeypatch):
    """The rows are divided into slices of two, and added in float64."""
    R = make_rows(30, dtype=np.float32)
    monkeypatch.setattr(low_rank_rows, "DIVIDED_SIZE", 2 * D)
    inverse = MODULE_INVERSES["low_rank"].build(Stream(R), RIDGE, rank=30)
    dense = MODULE_INVERSES["full"].build(explicit(R.astype(float)), RIDGE)
    assert relative(inverse.to_dense(), dense.to_dense()) < 1e-9
    smaller = inverse.downdate(explicit(R[:4]))
    assert relative(smaller.to_dense(), dense.downdate(explicit(R[:4])).to_dense()) < 1e-8


def test_factored_and_sparse_rows():
    rng = np.random.default_rng(0)
    X = sparse.random_array((12, 14), density=0.4, format="csr", random_state=0)
    scores = Scores([Layer(X, rng.standard_normal((12, 2, 6)), True)])
    dense = MODULE_INVERSES["full"].build(scores, RIDGE)
    inverse = GRADIENTS.build(scores, RIDGE)
    assert relative(inverse.to_dense(), dense.to_dense()) < 1e-11
    assert relative(inverse.leverage(scores), dense.leverage(scores)) < 1e-9
