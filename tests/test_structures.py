"""Structures, mini-batches and memory, as parameters of the estimator."""

import copy

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasureError,
    ErasureWarning,
    parameter_distance,
)
from sklearn_ssse._erasure import guards
from sklearn_ssse._gradients.streams import SignedStream
from sklearn_ssse._inverse import INVERSES, choice, choose_structure
from sklearn_ssse._utils import memory
from tests import reference
from tests.check_erasable import check_erasable, snapshot
from tests.reference import relative, theta, without
from tests.warned import LONG_STEP, NOT_A_MINIMUM, may_warn

STRUCTURES = [
    {"structure": "block"},
    {"structure": "block", "block_size": 4},
    {"structure": "block", "inversion": "rank1"},
    {"structure": "diagonal"},
    {"structure": "full", "inversion": "rank_b"},
    {"structure": "low_rank", "rank": 30},  # covers every rank here
]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("params", STRUCTURES)
def test_check_erasable(params, n_classes, tmp_path):
    check_erasable(ErasableLogisticRegression(**params, damping=0.01), tmp_path, n_classes)


def kept(A, structure, block_size=None, inversion=None, rank=None, *, width):
    if structure in ("full", "low_rank"):
        return A
    size = 1 if structure == "diagonal" else block_size or width
    block = np.arange(len(A)) // size
    return np.where(block[:, None] == block, A, 0.0)


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("params", STRUCTURES)
def test_step_and_curvature_by_hand(four_classes, params, curvature):
    X, y = four_classes
    n, S, width = len(y), np.arange(6), X.shape[1] + 1
    keep = without(S, n)
    for leave_out in (False, True):
        clf = ErasableLogisticRegression(
            **params, curvature=curvature, damping=0.02, leave_out=leave_out, unlearn_epsilon=0.9
        )
        clf.fit(X, y)
        start, ridge = theta(clf), n * 0.02 * np.eye(theta(clf).size)
        g = reference.gradients(clf, X[S], y[S]).sum(axis=0)
        if curvature == "fisher" and clf.structure_ == "full":
            g = g - reference.residual(clf, X, y)
        A = (
            kept(reference.curvature(clf, X, y, np.ones(n), curvature), **params, width=width)
            + ridge
        )
        rest = (
            kept(
                reference.curvature(clf, X[keep], y[keep], np.ones(keep.sum()), curvature),
                **params,
                width=width,
            )
            + ridge
        )
        assert relative(clf.fisher_inverse_, n * np.linalg.inv(A)) < 1e-9
        clf.unlearn(X[S], y[S])
        step = np.linalg.solve(rest, g) if leave_out else n / (n - 6) * np.linalg.solve(A, g)
        assert relative(theta(clf), start + 0.9 * step) < 1e-9
        assert relative(clf.curvature_.to_dense(), np.linalg.inv(rest)) < 1e-8


def test_csr_blocks(binary):
    X, y = binary
    for params in STRUCTURES:
        dense = ErasableLogisticRegression(**params).fit(X, y)
        rows = ErasableLogisticRegression(**params).fit(sparse.csr_array(X), y)
        assert relative(rows.curvature_.to_dense(), dense.curvature_.to_dense()) < 1e-6


def test_text_in_low_rank():
    """Many sparse columns: the erasure is far closer to retraining than with a diagonal."""
    rng = np.random.default_rng(0)
    X = sparse.random_array((400, 3000), density=0.01, format="csr", random_state=0)
    y = (
        X[:, :1500].sum(axis=1) - X[:, 1500:].sum(axis=1) + 0.5 * rng.standard_normal(400) > 0
    ).astype(int)
    S, distance = np.arange(12), {}
    for structure in ("low_rank", "diagonal", "full"):
        params = {"structure": structure, "curvature": "fisher", "solver": "newton-cg", "tol": 1e-8}
        original, erased = (ErasableLogisticRegression(**params).fit(X, y) for _ in range(2))
        retrained = ErasableLogisticRegression(**params).fit(X[12:], y[12:])
        with may_warn(LONG_STEP):  # 12 of 400 rows, of 3,000 columns
            erased.unlearn(X[S], y[S])
        distance[structure] = parameter_distance(original, erased, retrained)
    assert distance["low_rank"] < 0.15
    assert distance["full"] <= distance["low_rank"] + 0.01
    assert distance["low_rank"] < distance["diagonal"]


def test_two_thousand_downdates_one_by_one():
    X, y = make_classification(2600, 20, n_informative=10, flip_y=0.3, random_state=0)
    for params in ({}, {"structure": "block", "block_size": 6}, {"structure": "diagonal"}):
        clf = ErasableLogisticRegression(**params, damping=1e-4, unlearn_epsilon=1e-12).fit(X, y)
        fresh = copy.deepcopy(clf).set_params(damping=1e-4 * 2600 / 600)
        with may_warn(NOT_A_MINIMUM):  # it was fitted to other rows, too
            fresh.fit_curvature(X[2000:], y[2000:])
        for i in range(2000):
            clf.unlearn(X[i : i + 1], y[i : i + 1])
        assert relative(clf.curvature_.to_dense(), fresh.curvature_.to_dense()) < 1e-6
        assert clf.n_samples_remaining_ == 600


# Mini-batches


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
@pytest.mark.parametrize("size", [2, 7, 50])
def test_mini_batches_are_unbiased(four_classes, size, curvature):
    X, y = four_classes
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y))
    clf = ErasableLogisticRegression(curvature=curvature).fit(X, y, weight)
    exact = reference.curvature(clf, X, y, weight, curvature)
    for order in (np.argsort(y, kind="stable"), np.random.default_rng(0).permutation(len(y))):
        batch = clf._family().batch(X[order], y[order], weight[order])
        grams = np.array([SignedStream(batch, curvature, size, seed).gram() for seed in range(400)])
        error = grams.mean(axis=0) - exact
        assert (np.abs(error) < 5.5 * grams.std(axis=0) / np.sqrt(400)).all()
        assert relative(grams.mean(axis=0), exact) < 0.1


def test_mini_batches_make_fewer_rows(four_classes):
    X, y = four_classes
    clf = ErasableLogisticRegression().fit(X, y)
    batch = clf._family().batch(X, y, np.ones(len(y)))
    stream = batch.scores("empirical_fisher", 7)
    rows = np.concatenate([chunk.to_dense() for chunk in stream.chunks()])
    assert rows.shape == (35, 24)  # 240 rows: 34 batches of 7 and one of 2
    assert stream.n_rows == 35
    assert relative(stream.gram(), rows.T @ rows) < 1e-13
    assert relative(stream.diagonal(), np.diag(rows.T @ rows)) < 1e-13
    csr = clf._family().batch(sparse.csr_array(X), y, np.ones(len(y))).scores("empirical_fisher", 7)
    assert relative(csr.gram(), stream.gram()) < 1e-13


@pytest.mark.parametrize("structure", INVERSES)
def test_mini_batches_cannot_be_unmixed(binary, structure):
    X, y = binary
    clf = ErasableLogisticRegression(
        fisher_batch_size=5, structure=structure, damping=0.1, unlearn_epsilon=1.0
    ).fit(X, y)
    start, inverse = theta(clf), clf.curvature_.to_dense()
    with pytest.warns(ErasureWarning, match="fit_curvature"):
        clf.unlearn(X[:4], y[:4])
    g = reference.gradients(ErasableLogisticRegression().fit(X, y), X[:4], y[:4]).sum(axis=0)
    assert relative(theta(clf), start + 150 / 146 * inverse @ g) < 1e-9
    assert np.isnan(clf.erasures_[0].margin)
    before = snapshot(clf)
    with pytest.raises(ErasureError, match="fit_curvature"):
        clf.unlearn(X[4:6], y[4:6])
    assert snapshot(clf) == before
    clf.fit_curvature(X[4:], y[4:])
    with pytest.warns(ErasureWarning, match="fit_curvature"):
        clf.unlearn(X[4:6], y[4:6])


def test_mini_batches_offer_no_leave_out(binary):
    X, y = binary
    with pytest.raises(ErasureError, match="fisher_batch_size=1"):
        ErasableLogisticRegression(fisher_batch_size=4, leave_out=True).fit(X, y)
    clf = ErasableLogisticRegression(fisher_batch_size=4, curvature="fisher").fit(X, y)
    assert not clf.preview_unlearn(X[:3], y[:3]).leave_out
    with pytest.raises(ErasureError, match="fit_curvature"):
        clf.set_params(leave_out=True).unlearn(X[:3], y[:3])


# The choice of the structure, and memory


def test_automatic_structure(monkeypatch):
    none = {"block_size": None, "rank": None, "inversion": "auto"}

    def chosen(*shapes, **given):
        return choose_structure(INVERSES, "auto", list(shapes), {**none, **given})

    assert chosen((1, 100)) == ("full", {})
    assert chosen((5, 101), inversion="rank1") == ("full", {"inversion": "rank1"})
    assert chosen((10, 1000)) == ("block", {})
    assert chosen((10, 1000), inversion="rank1") == ("block", {"inversion": "rank1"})
    assert chosen((1, 100), block_size=10) == ("block", {"block_size": 10})
    assert chosen((1, 50_000)) == ("low_rank", {})
    assert chosen((1, 100), rank=5) == ("low_rank", {"rank": 5})
    assert chosen((3, 10**7))[0] == "diagonal"
    assert chosen((50, 65), (10, 51)) == ("block", {})
    assert chosen((10, 65), (10, 11)) == ("full", {})
    monkeypatch.setattr(choice, "available_bytes", lambda: 5 * 10**8)
    assert chosen((1, 3000))[0] != "full"


def test_options_of_other_structures(binary):
    cases = [
        (
            {"structure": "full", "block_size": 5},
            "block_size must be given with structure 'block' only",
        ),
        (
            {"structure": "diagonal", "inversion": "rank1"},
            "inversion must be given with structure 'full' or 'block' only",
        ),
        ({"structure": "diagonal", "block_size": 2}, "block_size must be given"),
        ({"device": "cpu"}, "device must be given with backend 'torch' only"),
    ]
    for params, message in cases:
        with pytest.raises(ErasureError, match=message):
            ErasableLogisticRegression(**params).fit(*binary)


def test_memory_is_checked_first(binary, monkeypatch):
    monkeypatch.setattr(choice, "available_bytes", lambda: 2.5 * 10**8)
    with pytest.raises(
        ErasureError,
        match=r"250 MB, got structure='full' for 5000 parameters, which takes 800 MB .*'diagonal'",
    ):
        choose_structure(INVERSES, "full", [(1, 5000)], {})
    monkeypatch.setattr(guards, "available_bytes", lambda: 100)
    clf = ErasableLogisticRegression(structure="diagonal").fit(*binary)
    with pytest.raises(ErasureError, match="dense inverse of 7 parameters"):
        _ = clf.fisher_inverse_


def test_available_memory():
    assert memory.available_bytes() > 10**7
    assert memory.readable(12) == "12 bytes"
    assert memory.readable(12_300_000) == "12.3 MB"
    assert memory.readable(5e12) == "5e+03 GB"


@pytest.mark.parametrize("structure", INVERSES)
def test_a_chunk_is_all_that_is_dense(structure, monkeypatch):
    """No (n, d) matrix: every array that is made in a build is smaller."""
    from sklearn_ssse._gradients import scores

    X, y = make_classification(20_000, 60, n_informative=10, random_state=0)
    clf = ErasableLogisticRegression(structure=structure, unlearn_epsilon=1.0).fit(X, y)
    biggest = []
    original = scores.Scores.__init__

    def init(self, layers):
        original(self, layers)
        biggest.append(self.n_samples)

    monkeypatch.setattr(scores.Scores, "__init__", init)
    clf.fit_curvature(X, y)
    assert max(biggest) <= 8192
