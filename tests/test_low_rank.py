"""The low-rank sketch against dense matrices: error, bound, and no rows in its state."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from sklearn_ssse._families.base import Batch
from sklearn_ssse._gradients.curvatures import CURVATURES
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._gradients.streams import ScoreStream
from sklearn_ssse._inverse import low_rank, low_rank_rows, nystrom, sketch
from sklearn_ssse._inverse.low_rank import LowRankInverse, Omega, RowBlocks
from tests.reference import relative, without
from tests.test_inverse import CASES, make_scores, take

# How the ridge varies over layers of width 5, from the diagonal of the curvature.
RIDGES = {
    "level": lambda diagonal: np.linspace(0.05, 0.3, diagonal.size),
    "spread": lambda diagonal: np.logspace(-3, 2, diagonal.size),
    "intercept": lambda diagonal: np.where(np.arange(diagonal.size) % 5 == 4, 1e-7 * diagonal, 1.0),
}


def dense_inverse(scores, ridge):
    R = scores.to_dense()
    A = R.T @ R + np.diag(ridge)
    scale = 1 / np.sqrt(np.diag(A))
    return np.linalg.inv(A * scale * scale[:, None]) * scale * scale[:, None]


def wide_scores(n=12, p=150, *, c=1, seed=0, csr=False):
    """Fewer rows than parameters, of decaying scale."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.logspace(0.5, -1, p)
    if csr:
        X = sparse.csr_array(np.where(rng.random((n, p)) < 0.2, X, 0.0))
    return Scores([Layer(X, rng.standard_normal((n, c, c)), True)])


def decaying_scores(eigenvalues, seed=0):
    """As many rows as parameters, with these eigenvalues of the curvature."""
    d = len(eigenvalues)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    return Scores([Layer(np.sqrt(eigenvalues)[:, None] * Q, np.ones((d, 1, 1)), False)])


def whitened_residual(scores, inverse):
    root = np.sqrt(inverse.ridge)
    R = scores.to_dense()
    P = inverse.to_dense() * root * root[:, None]
    return (R / root).T @ (R / root) + np.eye(root.size) - np.linalg.inv(P)


def arrays(value, found):
    """Every array that can be reached from an object."""
    if isinstance(value, np.ndarray):
        found.append(value)
        assert value.base is None or value.base.size == value.size  # no view into a larger array
    elif isinstance(value, list | tuple):
        for item in value:
            arrays(item, found)
    elif hasattr(value, "__dict__"):
        for item in vars(value).values():
            arrays(item, found)
    else:
        assert value is None or isinstance(value, int | float | str)
    return found


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize(("curvature", "n_outputs", "n"), CASES)
class TestLawsIfTheRankIsCovered:
    @pytest.fixture
    def case(self, ridge, curvature, n_outputs, n):
        scores = make_scores(curvature, n_outputs, n)
        values = RIDGES[ridge](scores.diagonal())
        rank = min(scores.n_rows, scores.n_parameters)
        inverse = LowRankInverse.build(scores, values, rank=rank)
        return scores, values, rank, inverse, dense_inverse(scores, values)

    def test_solve_is_the_dense_inverse(self, case, ridge, curvature, n_outputs, n):
        scores, values, _, inverse, dense = case
        v = np.random.default_rng(2).standard_normal((len(dense), 2))
        assert relative(inverse.to_dense(), dense) < 1e-8
        assert relative(inverse.solve(v), dense @ v) < 1e-8
        assert relative(inverse.solve(v[:, 0]), dense @ v[:, 0]) < 1e-8
        assert relative(inverse.diagonal, scores.diagonal() + values) < 1e-12
        assert inverse.condition == pytest.approx(inverse.diagonal @ np.diag(dense), rel=1e-6)
        assert inverse.nbytes >= 8 * inverse.Y.shape[0] * inverse.Y.shape[1]

    def test_downdate_is_a_build_without_the_rows(self, case, ridge, curvature, n_outputs, n):
        scores, values, rank, inverse, dense = case
        for S in (np.arange(2), np.arange(n - 3)):  # fewer and more rows than parameters
            remaining = take(scores, without(S, n))
            rest = LowRankInverse.build(remaining, values, rank=rank)
            smaller = inverse.downdate(take(scores, S))
            assert relative(smaller.to_dense(), dense_inverse(remaining, values)) < 3e-8
            assert relative(smaller.to_dense(), rest.to_dense()) < 1e-8
            assert relative(smaller.diagonal, rest.diagonal) < 1e-8
            assert np.array_equal(smaller.to_dense(), smaller.to_dense().T)
        assert relative(inverse.to_dense(), dense) < 1e-8  # the old one is unchanged

    def test_leverage_and_margin(self, case, ridge, curvature, n_outputs, n):
        scores, _, _, inverse, _ = case
        R, dense, c = scores.to_dense(), inverse.to_dense(), scores.rows_per_sample
        blocks = [R[i * c : (i + 1) * c] @ dense @ R[i * c : (i + 1) * c].T for i in range(n)]
        expected = np.array([np.linalg.eigvalsh(block)[-1] for block in blocks])
        assert relative(inverse.leverage(scores), expected) < 1e-9
        for S in (np.arange(2), np.arange(n - 3)):
            rows = R[: len(S) * c]
            pending = inverse.pending_downdate(take(scores, S))
            margin = np.linalg.eigvalsh(np.eye(len(rows)) - rows @ dense @ rows.T)[0]
            assert pending.margin == pytest.approx(margin, abs=1e-7)
            assert relative(pending.leverage, expected[: len(S)]) < 1e-9
            v = np.ones(len(dense))
            assert relative(pending.solve(v), pending.inverse().solve(v)) < 1e-12

    def test_damped_step_damps_only_large_eigenvalues(self, case, ridge, curvature, n_outputs, n):
        scores, _, _, inverse, dense = case
        rows = scores.to_dense()[: (n - 2) * scores.rows_per_sample]
        L = np.linalg.cholesky(dense)
        m, Q = np.linalg.eigh(L.T @ rows.T @ rows @ L)
        growth = np.where(m > 0.5, 2 - np.log(2 * np.clip(1 - m, 1e-12, None)), 1 / (1 - m))
        v = np.random.default_rng(0).standard_normal(len(dense))
        damped = inverse.pending_downdate(take(scores, np.arange(n - 2))).solve(v, damped=True)
        assert relative(damped, L @ Q @ (growth * (Q.T @ L.T @ v))) < (
            1e-4 if ridge == "intercept" else 1e-7
        )


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize(
    "free", [1.0, 1e-7, 1e-12]
)  # ridge of the intercepts, as a share of their curvature
def test_covers_fewer_rows_than_parameters(csr, c, free):
    scores = wide_scores(c=c, csr=csr)
    diagonal = scores.diagonal()
    ridge = np.where(
        np.arange(diagonal.size) % 151 == 150, free * diagonal, np.linspace(0.5, 2, diagonal.size)
    )
    inverse = LowRankInverse.build(scores, ridge, rank=12 * c)
    assert inverse.C.shape == (24 * c + 8 + c * (free < 1),) * 2
    assert relative(inverse.to_dense(), dense_inverse(scores, ridge)) < 1e-8
    S = np.array([7, 2])
    rest = take(scores, without(S, 12))
    assert relative(inverse.downdate(take(scores, S)).to_dense(), dense_inverse(rest, ridge)) < 1e-8


@pytest.mark.parametrize("rank", [4, 200])
def test_order_weight_and_nothing(rank):
    scores = wide_scores(40)
    ridge = np.ones(scores.n_parameters)
    inverse = LowRankInverse.build(scores, ridge, rank=rank)
    S = np.array([3, 0, 5])
    once, other = (inverse.downdate(take(scores, order)).to_dense() for order in (S, S[::-1]))
    one_by_one = inverse
    for i in S:
        one_by_one = one_by_one.downdate(take(scores, [i]))
    assert relative(once, other) < 1e-10
    assert relative(once, one_by_one.to_dense()) < 1e-10
    a, delta, bias, _ = scores.layers[0]
    weight = np.where(np.isin(np.arange(40), S), 2.0, 1.0)
    heavy = Scores([Layer(a, delta * np.sqrt(weight)[:, None, None], bias)])
    twice = take(scores, [*range(40), *S])
    builds = [LowRankInverse.build(rows, ridge, rank=rank).to_dense() for rows in (heavy, twice)]
    assert relative(*builds) < 1e-10
    nothing = inverse.pending_downdate(take(scores, slice(0)))
    assert nothing.margin == 1.0
    assert relative(nothing.inverse().to_dense(), inverse.to_dense()) < 1e-15


@pytest.mark.parametrize("rank", [5, 20])
@pytest.mark.parametrize("name", ["exponential", "square"])
def test_error_bound_and_law_of_a_truncated_sketch(name, rank):
    k = np.arange(200)
    eigenvalues = {"exponential": 1e3 * np.exp(-k / 8), "square": 1e3 / (1 + k) ** 2}[name]
    scores = decaying_scores(eigenvalues)
    ridge = np.logspace(-0.5, 0.5, 200)
    inverse = LowRankInverse.build(scores, ridge, rank=rank)
    R = scores.to_dense() / np.sqrt(ridge)
    tail = np.linalg.svd(R, compute_uv=False)[rank] ** 2
    S = np.arange(6)
    smaller, rest = inverse.downdate(take(scores, S)), take(scores, without(S, 200))
    for rows, built in ((scores, inverse), (rest, smaller)):
        error = np.linalg.eigvalsh(whitened_residual(rows, built))
        assert error[-1] <= 3 * tail
        assert error[-1] <= built.discarded <= 1.01 * error.sum()
        assert error[0] > -1e-8  # the sketch is at most K, so the inverse is never too small
    again = LowRankInverse.build(rest, ridge, rank=rank)
    assert relative(smaller.to_dense(), again.to_dense()) < 1e-10
    pending = inverse.pending_downdate(take(scores, S))
    M = np.linalg.inv(
        np.linalg.inv(again.to_dense()) + R[S].T @ R[S] * np.sqrt(ridge) * np.sqrt(ridge)[:, None]
    )
    rows = scores.to_dense()[S]
    assert pending.margin == pytest.approx(1 - np.linalg.eigvalsh(rows @ M @ rows.T)[-1], abs=1e-9)
    assert (
        relative(
            inverse.leverage(scores),
            np.einsum("ij,ij->i", scores.to_dense() @ inverse.to_dense(), scores.to_dense()),
        )
        < 1e-9
    )


def test_foreign_rows_are_refused():
    scores = wide_scores()
    inverse = LowRankInverse.build(scores, np.ones(scores.n_parameters), rank=12)
    foreign = Scores(
        [Layer(10 * wide_scores(2, seed=5).layers[0].inputs, np.ones((2, 1, 1)), True)]
    )
    assert inverse.pending_downdate(foreign).margin <= 0
    assert inverse.pending_downdate(take(scores, slice(None))).margin > 0


def test_rank_by_the_whitened_eigenvalue():
    eigenvalues = np.concatenate([np.geomspace(100, 1, 20), np.full(380, 1e-3)])
    scores = decaying_scores(eigenvalues)
    inverse = LowRankInverse.build(scores, np.ones(400))
    assert inverse.C.shape == (48, 48)
    assert inverse.eigenvalues()[-20] > 0.1 > inverse.eigenvalues()[-21]
    assert inverse.downdate(take(scores, [0])).C.shape == (48, 48)
    flat = LowRankInverse.build(scores, np.full(400, 1e6))
    assert flat.C.shape == (2 * low_rank.MIN_RANK + 8,) * 2
    assert relative(flat.to_dense(), dense_inverse(scores, np.full(400, 1e6))) < 1e-5
    called = LowRankInverse.build(scores, lambda diagonal: 1e6 + 0 * diagonal)
    assert np.array_equal(called.to_dense(), flat.to_dense())


@pytest.mark.parametrize("rank", [5, 20, None])
@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("n", [2, 80])  # fewer and more rows than columns of the sketch
def test_update_is_a_build_with_the_rows(rank, csr, c, n, monkeypatch):
    scores = wide_scores(90, csr=csr, c=c)
    ridge = np.where(np.arange(151 * c) % 151 == 150, 1e-9, 1.0)
    S = np.arange(n)
    whole = LowRankInverse.build(scores, ridge, rank=rank or 20)
    part = LowRankInverse.build(take(scores, without(S, 90)), ridge, rank=rank or 20)
    before = part.to_dense()
    added = part.update(take(scores, S))
    assert relative(added.to_dense(), whole.to_dense()) < 1e-9
    assert relative(added.C, whole.C) < 1e-12
    assert relative(added.diagonal, whole.diagonal) < 1e-12
    assert np.array_equal(part.to_dense(), before)
    assert relative(added.downdate(take(scores, S)).to_dense(), before) < 1e-7
    assert relative(part.update(take(scores, slice(0))).to_dense(), before) < 1e-12
    monkeypatch.setattr(nystrom, "REUSE_OPERATIONS", 0)
    fast = LowRankInverse.build(take(scores, without(S, 90)), ridge, rank=rank or 20).update(
        take(scores, S)
    )
    assert relative(fast.to_dense(), whole.to_dense()) < 1e-8


def test_update_of_a_sketch_that_covers_the_rank_is_full():
    scores = wide_scores(40, 60)
    ridge = np.linspace(0.5, 2, 61)
    for n in (3, 39):
        added = LowRankInverse.build(take(scores, slice(n, None)), ridge, rank=60).update(
            take(scores, slice(n))
        )
        assert relative(added.to_dense(), dense_inverse(scores, ridge)) < 1e-10
        assert added.discarded < 1e-8


@pytest.mark.parametrize("c", [1, 3])
def test_nothing_of_the_rows_remains(c):
    scores = wide_scores(40, csr=True, c=c)
    ridge = np.where(np.arange(151 * c) % 151 == 150, 1e-9, 1.0)
    inverse = LowRankInverse.build(scores, ridge, rank=10)
    before = [np.copy(a) for a in arrays(inverse, [])]
    S = np.array([4, 9])
    smaller = inverse.downdate(take(scores, S))
    rest = LowRankInverse.build(take(scores, without(S, 40)), ridge, rank=10)
    found, expected = arrays(smaller, []), arrays(rest, [])
    assert [a.shape for a in found] == [b.shape for b in expected]
    for a, b in zip(found, expected, strict=True):
        if a is not smaller.factor:  # unique up to signs
            assert np.abs(a - b).max(initial=0) <= 1e-9 * np.abs(b).max(initial=1)
    assert relative(smaller.factor @ smaller.factor.T, rest.factor @ rest.factor.T) < 1e-8
    assert all(np.array_equal(a, b) for a, b in zip(arrays(inverse, []), before, strict=True))


def test_reused_products_agree_with_the_sketch(monkeypatch):
    scores = wide_scores(60, csr=True)
    ridge = np.where(np.arange(151) == 150, 1e-9, 1.0)
    exact = LowRankInverse.build(scores, ridge, rank=20)
    monkeypatch.setattr(nystrom, "REUSE_OPERATIONS", 0)
    monkeypatch.setattr(sketch, "BLOCK_BYTES", 1000)  # several blocks
    fast = LowRankInverse.build(scores, ridge, rank=20)
    for i in range(30):
        exact, fast = (inverse.downdate(take(scores, [i])) for inverse in (exact, fast))
    assert fast.reused == 30
    assert relative(fast.to_dense(), exact.to_dense()) < 1e-9
    assert relative(fast.G, exact.G) < 1e-12
    monkeypatch.setattr(nystrom, "REUSE_ERROR", 0.0)
    assert fast.downdate(take(scores, [30])).reused == 0


def test_two_thousand_single_rows():
    rng = np.random.default_rng(0)
    scores = Scores([Layer(rng.standard_normal((2100, 30)), np.ones((2100, 1, 1)), True)])
    ridge = np.where(np.arange(31) == 30, 1e-6, 1.0)
    inverse = LowRankInverse.build(scores, ridge, rank=10)
    for i in range(2000):
        inverse = inverse.downdate(take(scores, [i]))
    rest = LowRankInverse.build(take(scores, slice(2000, None)), ridge, rank=10)
    assert relative(inverse.to_dense(), rest.to_dense()) < 1e-6


class Chunked(Batch):
    """Rows in chunks."""

    def __init__(self, scores, chunk_size):
        self.all, self.chunk_size, self.shapes = scores, chunk_size, scores.shapes
        self.n_samples, self.n_parameters = scores.n_samples, scores.n_parameters

    def rows_per_sample(self, curvature):
        return self.all.rows_per_sample

    def layers(self, rows, curvature):
        return take(self.all, rows).layers


@pytest.mark.parametrize("csr", [False, True])
def test_streams_and_several_layers(csr, monkeypatch):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((90, 30)) < 0.3, 1.0, 0.0)
    layers = [
        Layer(sparse.csr_array(X) if csr else X, rng.standard_normal((90, 2, 4)), True),
        Layer(rng.standard_normal((90, 4)), rng.standard_normal((90, 2, 2)), False),
    ]
    scores = Scores(layers)
    ridge = np.linspace(0.5, 2, scores.n_parameters)
    whole = LowRankInverse.build(scores, ridge, rank=15)
    monkeypatch.setattr(low_rank_rows, "SLICE_SIZE", 500)
    monkeypatch.setattr(sketch, "COLUMN_GROUP", 7)
    for chunk_size in (4, 1000):  # chunks are joined and divided
        stream = ScoreStream(Chunked(scores, chunk_size), None)
        streamed = LowRankInverse.build(stream, ridge, rank=15)
        assert relative(streamed.to_dense(), whole.to_dense()) < 1e-10
        assert relative(streamed.leverage(stream), whole.leverage(scores)) < 1e-10
    S = np.arange(5)
    rest = LowRankInverse.build(take(scores, without(S, 90)), ridge, rank=15)
    assert relative(whole.downdate(take(scores, S)).to_dense(), rest.to_dense()) < 1e-10


def test_csr_is_dense():
    proba = expit(np.random.default_rng(0).standard_normal((30, 1)))
    deltas = CURVATURES["fisher"].seed(proba, (proba > 0.5).astype(float), "logistic")
    X = wide_scores(30, csr=True).layers[0].inputs
    ridge = np.ones(151)
    built = []
    for inputs in (X, X.toarray()):
        scores = Scores([Layer(inputs, deltas, True)])
        inverse = LowRankInverse.build(scores, ridge, rank=6)
        pending = inverse.pending_downdate(take(scores, [2, 3]))
        built.append(
            (
                inverse.to_dense(),
                pending.inverse().to_dense(),
                pending.spectrum,
                inverse.leverage(scores),
            )
        )
    for a, b in zip(*built, strict=True):
        assert relative(a, b) < 1e-12


def test_pickle():
    scores = wide_scores()
    inverse = LowRankInverse.build(scores, np.ones(scores.n_parameters), rank=5)
    again = pickle.loads(pickle.dumps(inverse))
    assert np.array_equal(again.to_dense(), inverse.to_dense())
    smaller = [one.downdate(take(scores, [1, 2])).to_dense() for one in (again, inverse)]
    assert np.array_equal(*smaller)


def test_omega_is_orthonormal_nested_and_made_by_rows():
    omega = Omega(50, np.array([3, 49]), 20)
    dense = np.hstack(omega.column_groups(np.ones(50)))
    assert relative(dense.T @ dense, np.eye(22)) < 1e-13
    assert np.array_equal(dense[3], np.eye(22)[0])
    positions = np.array([0, 7, 47])
    assert np.array_equal(
        omega.random_rows(positions), np.delete(dense, [3, 49], axis=0)[positions, 2:]
    )
    assert np.array_equal(np.hstack(omega.first(5).column_groups(np.ones(50))), dense[:, :7])
    assert np.array_equal(
        np.hstack(Omega(50, np.array([3, 49]), 5).column_groups(np.ones(50))), dense[:, :7]
    )


def test_row_blocks_share_what_does_not_change(monkeypatch):
    monkeypatch.setattr(sketch, "BLOCK_BYTES", 100)
    A = np.random.default_rng(0).standard_normal((23, 6))
    blocks = RowBlocks(A)
    at = np.array([0, 1, 9, 22])
    changed = blocks.replace(at, np.zeros((4, 6)))
    assert np.array_equal(blocks.array(), A)
    assert np.array_equal(np.flatnonzero(~changed.array().any(axis=1)), at)
    assert (
        sum(a is b for a, b in zip(blocks.blocks, changed.blocks, strict=True))
        == len(blocks.blocks) - 3
    )
    assert np.array_equal(blocks.take(at), A[at])
    v, few = np.ones((23, 2)), np.zeros((23, 1))
    few[4] = 2.0
    assert relative(blocks.tdot(v), A.T @ v) < 1e-14
    assert relative(blocks.tdot(few), A.T @ few) < 1e-14
    assert relative(blocks.dot(np.ones((6, 2))), A @ np.ones((6, 2))) < 1e-14
