"""The inverse of every structure, curvature and inversion against dense matrices."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit, softmax

from sklearn_ssse import _kernels
from sklearn_ssse._gradients.curvatures import CURVATURES
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._inverse import INVERSES, INVERSIONS, MODULE_INVERSES, sizes
from sklearn_ssse._inverse.base import PendingDowndate
from sklearn_ssse._kernels import blas, threads
from tests.reference import recurrence, relative, without

CASES = [(c, k, n) for c in CURVATURES for k in (1, 5) for n in (12, 120)]


def make_scores(curvature, n_outputs, n, *, seed=0, csr=False, weight=None):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    logits = rng.standard_normal((n, n_outputs))
    proba = expit(logits) if n_outputs == 1 else softmax(logits, axis=1)
    y = rng.integers(max(2, n_outputs), size=n)
    targets = y[:, None].astype(float) if n_outputs == 1 else np.eye(n_outputs)[y]
    link = "logistic" if n_outputs == 1 else "softmax"
    deltas = CURVATURES[curvature].seed(proba, targets, link)
    if weight is not None:
        deltas = deltas * np.sqrt(weight)[:, None, None]
    return Scores([Layer(sparse.csr_array(X) if csr else X, deltas, True)])


def take(scores, rows):
    return Scores([Layer(a[rows], delta[rows], bias) for a, delta, bias, _ in scores.layers])


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize(("curvature", "n_outputs", "n"), CASES)
def test_factored_rows_equal_the_matrix(curvature, n_outputs, n, csr):
    scores = make_scores(curvature, n_outputs, n, csr=csr)
    layer = scores.layers[0]
    a = layer.inputs.toarray() if csr else layer.inputs
    R = np.array(
        [
            np.outer(delta, [*x, 1]).ravel()
            for x, deltas in zip(a, layer.deltas, strict=True)
            for delta in deltas
        ]
    )
    rng = np.random.default_rng(1)
    V, U = rng.standard_normal((R.shape[1], 3)), rng.standard_normal((R.shape[0], 3))
    assert relative(scores.to_dense(), R) < 1e-14
    assert relative(scores.matvec(V), R @ V) < 1e-13
    assert relative(scores.rmatvec(U), R.T @ U) < 1e-13
    assert relative(scores.gram(), R.T @ R) < 1e-13
    assert relative(scores.diagonal(), np.diag(R.T @ R)) < 1e-13


def test_two_layers_equal_the_matrix():
    rng = np.random.default_rng(0)
    layers = [
        Layer(rng.standard_normal((9, 3)), rng.standard_normal((9, 2, 4)), True),
        Layer(rng.standard_normal((9, 4)), rng.standard_normal((9, 2, 2)), False),
    ]
    scores = Scores(layers)
    R = scores.to_dense()
    assert R.shape == (18, 4 * 4 + 2 * 4)
    V, U = rng.standard_normal((R.shape[1], 2)), rng.standard_normal((18, 2))
    assert relative(scores.matvec(V), R @ V) < 1e-13
    assert relative(scores.rmatvec(U), R.T @ U) < 1e-13
    assert relative(scores.gram(), R.T @ R) < 1e-13
    assert relative(scores.diagonal(), np.diag(R.T @ R)) < 1e-13


# Structure and options of `build`.
BUILDS = [
    *[("full", {"inversion": name}) for name in INVERSIONS],
    ("block", {}),
    ("block", {"inversion": "rank1"}),
    *[("block", {"block_size": size}) for size in (1, 3, 7, 1000)],
    ("block", {"block_size": 3, "inversion": "rank1"}),
    ("diagonal", {}),
    *[("gradients", own) for own in ({}, {"block_size": 7}, {"block_size": 1000})],
]


def restrict(A, structure, block_size=None, inversion=None):
    """The entries of A that the structure keeps, for layers of width 5."""
    if structure == "full" or (structure == "gradients" and block_size is None):
        return A
    size = 1 if structure == "diagonal" else block_size or 5
    block = np.arange(len(A)) // size
    return np.where(block[:, None] == block, A, 0.0)


@pytest.mark.parametrize(("structure", "options"), BUILDS)
@pytest.mark.parametrize(("curvature", "n_outputs", "n"), CASES)
class TestLaws:
    @pytest.fixture
    def case(self, structure, options, curvature, n_outputs, n):
        scores = make_scores(curvature, n_outputs, n)
        ridge = np.linspace(0.05, 0.3, scores.n_parameters)
        R = scores.to_dense()
        inverse = MODULE_INVERSES[structure].build(scores, ridge, **options)
        dense = np.linalg.inv(restrict(R.T @ R, structure, **options) + np.diag(ridge))
        return scores, ridge, R, inverse, dense

    def test_solve_is_the_dense_inverse(self, case, structure, options, curvature, n_outputs, n):
        _, ridge, R, inverse, dense = case
        v = np.random.default_rng(2).standard_normal((len(dense), 2))
        assert relative(inverse.solve(v), dense @ v) < 1e-9
        assert relative(inverse.solve(v[:, 0]), dense @ v[:, 0]) < 1e-9
        assert relative(inverse.to_dense(), dense) < 1e-9
        assert relative(inverse.diagonal, np.diag(R.T @ R) + ridge) < 1e-12
        condition = (np.diag(R.T @ R) + ridge) @ np.diag(dense)
        if structure == "gradients":
            assert inverse.condition >= condition
        else:
            assert inverse.condition == pytest.approx(condition)
        assert inverse.inversion == options.get("inversion", inverse.inversion)
        own = sizes(MODULE_INVERSES[structure], options, len(R))
        assert inverse.nbytes == MODULE_INVERSES[structure].bytes_needed([(n_outputs, 5)], **own)

    def test_downdate_is_a_build_without_the_rows(
        self, case, structure, options, curvature, n_outputs, n
    ):
        scores, ridge, _, inverse, dense = case
        for S in (np.arange(2), np.arange(n - 3)):  # fewer and more rows than parameters
            rest = MODULE_INVERSES[structure].build(take(scores, without(S, n)), ridge, **options)
            smaller = inverse.downdate(take(scores, S))
            assert relative(smaller.to_dense(), rest.to_dense()) < 1e-8
            assert relative(smaller.diagonal, rest.diagonal) < 1e-8
            assert np.array_equal(smaller.to_dense(), smaller.to_dense().T)
        assert relative(inverse.to_dense(), dense) < 1e-9  # the old one is unchanged

    def test_update_is_a_build_with_the_rows(
        self, case, structure, options, curvature, n_outputs, n
    ):
        scores, _, _, inverse, dense = case
        for S in (np.arange(2), np.arange(n - 3)):  # fewer and more rows than parameters
            rest = inverse.downdate(take(scores, S))
            before = rest.to_dense()
            whole = rest.update(take(scores, S))
            assert relative(whole.to_dense(), dense) < 1e-8
            assert relative(whole.diagonal, inverse.diagonal) < 1e-10
            assert np.array_equal(whole.to_dense(), whole.to_dense().T)
            assert np.array_equal(rest.to_dense(), before)  # the old one is unchanged
            assert relative(whole.downdate(take(scores, S)).to_dense(), before) < 1e-8
            ridge = inverse.ridge
            twice = MODULE_INVERSES[structure].build(
                take(scores, [*range(n), *S]), ridge, **options
            )
            assert relative(inverse.update(take(scores, S)).to_dense(), twice.to_dense()) < 1e-8
        assert relative(inverse.update(take(scores, slice(0))).to_dense(), dense) < 1e-9

    def test_order_and_weight(self, case, structure, options, curvature, n_outputs, n):
        scores, ridge, _, inverse, _ = case
        S = np.array([3, 0, 5])
        once, other = inverse.downdate(take(scores, S)), inverse.downdate(take(scores, S[::-1]))
        assert relative(once.to_dense(), other.to_dense()) < 1e-10
        twice = np.ones(n)
        twice[S] = 2
        heavy = make_scores(curvature, n_outputs, n, weight=twice)
        doubled = MODULE_INVERSES[structure].build(take(scores, [*range(n), *S]), ridge, **options)
        assert (
            relative(
                MODULE_INVERSES[structure].build(heavy, ridge, **options).to_dense(),
                doubled.to_dense(),
            )
            < 1e-9
        )
        assert (
            relative(inverse.downdate(take(scores, slice(0))).to_dense(), inverse.to_dense())
            < 1e-15
        )

    def test_leverage_and_margin(self, case, structure, options, curvature, n_outputs, n):
        scores, _, R, inverse, dense = case
        c = scores.rows_per_sample
        blocks = [R[i * c : (i + 1) * c] @ dense @ R[i * c : (i + 1) * c].T for i in range(n)]
        expected = np.array([np.linalg.eigvalsh(block)[-1] for block in blocks])
        assert relative(inverse.leverage(scores), expected) < 1e-9
        L = np.linalg.cholesky(dense)
        for S in (np.arange(2), np.arange(n - 3)):
            rows = R[: len(S) * c]
            leaving = restrict(rows.T @ rows, structure, **options)
            margin = min(1.0, np.linalg.eigvalsh(np.eye(len(L)) - L.T @ leaving @ L)[0])
            pending = inverse.pending_downdate(take(scores, S))
            assert pending.margin == pytest.approx(margin, abs=1e-10)
            assert relative(pending.leverage, expected[: len(S)]) < 1e-9
            v = np.ones(len(dense))
            assert relative(pending.solve(v), pending.inverse().solve(v)) < 1e-8

    def test_damped_step_damps_only_large_eigenvalues(
        self, case, structure, options, curvature, n_outputs, n
    ):
        scores, _, R, inverse, dense = case
        S = np.arange(n - 2)
        pending = inverse.pending_downdate(take(scores, S))
        rows = R[: len(S) * scores.rows_per_sample]
        L = np.linalg.cholesky(dense)
        m, Q = np.linalg.eigh(L.T @ restrict(rows.T @ rows, structure, **options) @ L)
        growth = np.where(m > 0.5, 2 - np.log(2 * np.clip(1 - m, 1e-12, None)), 1 / (1 - m))
        assert m.max() > 0.5
        v = np.random.default_rng(0).standard_normal(len(dense))
        assert relative(pending.solve(v, damped=True), L @ Q @ (growth * (Q.T @ L.T @ v))) < 1e-8


@pytest.mark.parametrize("n_outputs", [1, 5])
def test_extreme_blocks_are_the_other_structures(n_outputs):
    scores = make_scores("fisher", n_outputs, 40)
    ridge = np.linspace(0.05, 0.3, scores.n_parameters)
    full, diagonal = (
        INVERSES[name].build(scores, ridge).to_dense() for name in ("full", "diagonal")
    )
    for size in (scores.n_parameters, 10 * scores.n_parameters):
        assert (
            relative(INVERSES["block"].build(scores, ridge, block_size=size).to_dense(), full)
            < 1e-12
        )
    assert (
        relative(INVERSES["block"].build(scores, ridge, block_size=1).to_dense(), diagonal) < 1e-12
    )


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("n_outputs", [3, 12])  # 12: products of pairs of inputs
def test_blocks_of_several_layers(n_outputs, csr):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 4))
    layers = [
        Layer(sparse.csr_array(a) if csr else a, rng.standard_normal((30, 2, n_outputs)), True),
        Layer(rng.standard_normal((30, n_outputs)), rng.standard_normal((30, 2, 2)), False),
    ]
    scores = Scores(layers)
    R = scores.to_dense()
    A = R.T @ R + np.eye(R.shape[1])
    for size in (None, 7):
        widths = [5] * n_outputs + [n_outputs] * 2 if size is None else [7] * 99
        block = np.repeat(np.arange(len(widths)), widths)[: len(A)]
        expected = np.linalg.inv(np.where(block[:, None] == block, A, 0))
        inverse = INVERSES["block"].build(scores, np.ones(len(A)), block_size=size)
        assert relative(inverse.to_dense(), expected) < 1e-12
        recurrence = INVERSES["block"].build(
            scores, np.ones(len(A)), block_size=size, inversion="rank1"
        )
        assert relative(recurrence.to_dense(), expected) < 1e-12


def test_update_keeps_the_limits_of_the_structures():
    scores = make_scores("fisher", 5, 40)
    ridge = np.linspace(0.05, 0.3, scores.n_parameters)
    for S in (slice(2), slice(30)):
        added = {
            (name, size): INVERSES[name]
            .build(scores, ridge, **size_of(size))
            .update(take(scores, S))
            .to_dense()
            for name, size in [
                ("full", None),
                ("diagonal", None),
                ("block", 1),
                ("block", scores.n_parameters),
            ]
        }
        assert relative(added["block", scores.n_parameters], added["full", None]) < 1e-12
        assert relative(added["block", 1], added["diagonal", None]) < 1e-12


def size_of(block_size):
    return {} if block_size is None else {"block_size": block_size}


@pytest.mark.parametrize("size", [None, 7])
def test_update_of_several_layers(size):
    rng = np.random.default_rng(0)
    layers = [
        Layer(rng.standard_normal((60, 4)), rng.standard_normal((60, 2, 3)), True),
        Layer(rng.standard_normal((60, 3)), rng.standard_normal((60, 2, 2)), False),
    ]
    scores = Scores(layers)
    whole = INVERSES["block"].build(scores, np.ones(21), block_size=size)
    for S in (np.arange(2), np.arange(40)):
        part = INVERSES["block"].build(take(scores, without(S, 60)), np.ones(21), block_size=size)
        assert relative(part.update(take(scores, S)).to_dense(), whole.to_dense()) < 1e-12


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize(
    "k", [3, 4, 40]
)  # fewer rows than all blocks are wide, than some, than none
def test_blocks_of_outputs_take_one_row_for_each_sample(k, csr):
    rng = np.random.default_rng(0)
    a, deltas = rng.standard_normal((60, 4)), rng.standard_normal((60, 5, 3))
    deltas[0, :, 1] = 0.0  # a unit with activation 0
    layers = [
        Layer(sparse.csr_array(a) if csr else a, deltas, True),
        Layer(rng.standard_normal((60, 3)), rng.standard_normal((60, 5, 2)), False),
    ]
    scores, S = Scores(layers), np.arange(k)
    inverse = INVERSES["block"].build(scores, np.full(21, 0.7))
    P, R = inverse.to_dense(), take(scores, S).to_dense()
    pending = inverse.pending_downdate(take(scores, S))
    own = [np.linalg.eigvalsh(rows @ P @ rows.T)[-1] for rows in R.reshape(k, 5, 21)]
    assert_allclose(pending.leverage, own, rtol=1e-10)
    assert_allclose(inverse.leverage(take(scores, S)), own, rtol=1e-10)
    assert_allclose(inverse.solve_rows(take(scores, S)), P @ R.T, rtol=1e-10, atol=1e-14)
    blocks = [slice(5 * j, 5 * j + 5) for j in range(3)] + [slice(15, 18), slice(18, 21)]
    largest = max(
        np.linalg.eigvalsh(R[:, block] @ P[block, block] @ R[:, block].T)[-1] for block in blocks
    )
    assert_allclose(pending.margin, 1 - largest, rtol=1e-10)
    rest = INVERSES["block"].build(take(scores, without(S, 60)), np.full(21, 0.7))
    assert relative(pending.inverse().to_dense(), rest.to_dense()) < 1e-11
    v = rng.standard_normal(21)
    assert_allclose(pending.solve(v), rest.solve(v), rtol=1e-9)


def test_kernels_against_a_dense_inverse():
    rng = np.random.default_rng(0)
    R = rng.standard_normal((600, 40))
    kernels = _kernels.load("numba")
    expected = np.linalg.inv(np.eye(40) + R.T @ R)
    P = np.eye(40)
    kernels.rank_b_update(P, R)  # more rows than one step processes
    assert relative(P, expected) < 1e-11
    stack = np.repeat(np.eye(40)[None], 3, axis=0)
    kernels.rank1_update_blocks(stack, np.stack([R, 2 * R, 0 * R]))
    lower = np.tril_indices(40)
    for block, factor in zip(stack, (1, 4, 0), strict=True):
        assert relative(block[lower], np.linalg.inv(np.eye(40) + factor * R.T @ R)[lower]) < 1e-11


def test_recurrence_equals_the_written_one():
    G = np.random.default_rng(0).standard_normal((40, 7))
    n, damping = len(G), 0.01
    scores = Scores([Layer(G, np.ones((n, 1, 1)), False)])
    inverse = INVERSES["full"].build(scores, np.full(7, n * damping), inversion="rank1")
    assert relative(n * inverse.to_dense(), recurrence(G, n, damping)) < 1e-11


def test_the_recurrence_is_accurate_for_a_tiny_ridge():
    scores = make_scores("empirical_fisher", 1, 120)
    ridge = np.array([1.0, 1.0, 1.0, 1.0, 1e-11])
    built = {
        name: INVERSES["full"].build(scores, ridge, inversion=name).to_dense()
        for name in INVERSIONS
    }
    for name in INVERSIONS:
        assert relative(built[name], built["cholesky"]) < 1e-9


@pytest.mark.parametrize("d", [700, 1030])
def test_both_sizes_of_the_factorisation(d):
    rng = np.random.default_rng(0)
    scores = Scores([Layer(rng.standard_normal((30, d)), np.ones((30, 1, 1)), False)])
    R = scores.to_dense()
    inverse = INVERSES["full"].build(scores, np.ones(d), inversion="cholesky")
    assert relative(inverse.to_dense(), np.linalg.inv(R.T @ R + np.eye(d))) < 1e-12
    assert np.array_equal(inverse.to_dense(), inverse.to_dense().T)
    auto = INVERSES["full"].build(scores, np.ones(d))
    assert auto.inversion == "rank_b"  # far fewer rows than parameters
    assert relative(auto.to_dense(), inverse.to_dense()) < 1e-12


def test_rank1_kernel_writes_one_triangle():
    rng = np.random.default_rng(0)
    P, R = np.eye(6), rng.standard_normal((4, 6))
    P[np.triu_indices(6, 1)] = np.nan
    _kernels.load("numba").rank1_update(P, R)
    expected = np.linalg.inv(np.eye(6) + R.T @ R)
    lower = np.tril_indices(6)
    assert relative(P[lower], expected[lower]) < 1e-13
    assert np.isnan(P[np.triu_indices(6, 1)]).all()


def test_margin_of_no_rows_is_one():
    class Nothing(PendingDowndate):
        spectrum = np.zeros(0)

        def solve(self, v, *, damped=False):
            return v

        def inverse(self):
            return None

    assert Nothing().margin == 1.0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("c", "n_outputs", "width"), [(1, 3, 4), (1, 7, 300), (5, 5, 4), (2, 3, 4)]
)
@pytest.mark.parametrize("csr", [False, True])
def test_gram_whose_deltas_sum_to_zero(c, n_outputs, width, csr, bias):
    """One output omitted, or pairs of either sign: the Gram matrix of the explicit rows."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, width))
    proba = rng.dirichlet(np.full(n_outputs, 0.2), 40)
    deltas = (
        CURVATURES["fisher"].seed(proba, proba, "softmax")[:, :c]
        if c > 1
        else (proba - np.eye(n_outputs)[rng.integers(n_outputs, size=40)])[:, None]
    )
    assert np.abs(deltas.sum(axis=2)).max() < 1e-15
    layer = Layer(sparse.csr_array(a) if csr else a, deltas, bias, True)
    R = Scores([layer]).to_dense()
    gram = Scores([layer]).gram()
    assert relative(gram, R.T @ R) < 1e-14
    assert relative(Scores([layer._replace(simplex=False)]).gram(), R.T @ R) < 1e-14
    assert np.array_equal(gram, gram.T) or csr


def test_jobs_in_threads_equal_jobs_in_turn(monkeypatch):
    rng = np.random.default_rng(0)
    layer = Layer(rng.standard_normal((50, 70)), rng.standard_normal((50, 1, 9)), True)
    expected, result = np.zeros((9, 71, 71)), np.zeros((9, 71, 71))
    Scores([layer]).add_unit_grams([expected])
    monkeypatch.setattr(threads, "THREAD_OPERATIONS", 0)
    Scores([layer]).add_unit_grams([result])
    assert relative(result, expected) < 1e-14

    def fail(job):
        raise ValueError(job)

    with pytest.raises(ValueError, match="0"):
        threads.each(fail, [0, 1], 1)


@pytest.mark.parametrize(("operations", "blocks"), [(1, 10), (3e6, 4), (1e7, 1), (1e9, 1)])
def test_blocks_are_grouped_into_jobs_large_enough_for_a_thread(operations, blocks, monkeypatch):
    done = []
    monkeypatch.setattr(
        threads, "each", lambda function, jobs, operations: done.append((jobs, operations))
    )
    threads.each_some(None, 10, operations)
    ((jobs, of_a_job),) = done
    assert [i for job in jobs for i in range(10)[job]] == list(range(10))
    assert jobs[0] == slice(0, blocks)
    assert of_a_job >= threads.THREAD_OPERATIONS


def test_the_last_of_several_threads_removes_the_limit():
    before = [library.num_threads for library in threads._blas().lib_controllers]
    first, second = threads.one_thread(), threads.one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert all(library.num_threads == 1 for library in threads._blas().lib_controllers)
    second.__exit__(None, None, None)
    assert [library.num_threads for library in threads._blas().lib_controllers] == before


@pytest.mark.parametrize(
    "shape", [(5, 1), (64, 1), (64, 3), (3, 128, 20), (2, 128, 21), (2, 33, 4), (64, 0)]
)
def test_outer_products(shape):
    U = np.random.default_rng(0).standard_normal(shape)
    product = blas.outer(U)
    assert np.allclose(product, np.einsum("...ik,...jk->...ij", U, U), rtol=1e-12, atol=1e-12)
    assert np.array_equal(product, np.swapaxes(product, -1, -2))
