"""The structure "gradients" inside ErasableNeuralNetClassifier: erased rows leave the curvature."""

import copy
import pickle

import numpy as np
import pytest

from sklearn_ssse import ErasureError
from tests.reference import relative
from tests.test_torch_steps import (  # noqa: F401
    STEPS,
    gradients_of_rows,
    numbers,
    one_torch_thread,
    packed,
    small_cnn,
)
from tests.warned import MINI_BATCHES, may_warn

torch = pytest.importorskip("torch", reason="pip install 'sklearn-ssse[torch]'")
pytest.importorskip("skorch", reason="pip install 'sklearn-ssse[torch]'")

from sklearn_ssse.torch import ErasableNeuralNetClassifier  # noqa: E402

DAMPING = 0.05
LONG = tuple(message for message in STEPS if message != MINI_BATCHES)


def problem(batch_size, **params):
    """A net with the structure, its rows, and the curvature rows of its build."""
    module, X, y = small_cnn()
    net = ErasableNeuralNetClassifier.from_module(
        module,
        X,
        y,
        structure="gradients",
        track_rows=True,
        fisher_batch_size=batch_size,
        damping=DAMPING,
        **params,
    )
    family = net._family()
    batch = family.batch(X.reshape(len(X), -1), y, np.ones(len(y)))
    stream = batch.scores("empirical_fisher", batch_size)
    return net, X, y, stream


def inverse_of(rows, n):
    return np.linalg.inv(rows.T @ rows + n * DAMPING * np.eye(rows.shape[1]))


def test_single_rows_leave_also_after_the_parameters_changed():
    net, X, y, stream = problem(1)
    R = stream.to_dense()
    left = np.arange(len(y))
    for S in ([0, 7], [3], [10, 11, 12]):
        with may_warn(*LONG):
            net.unlearn(X[S], y[S], epsilon=0.2)
        left = np.setdiff1d(left, S)
        assert len(net.curvature_.rows) == len(left)
        assert relative(net.curvature_.to_dense(), inverse_of(R[left], len(y))) < 1e-9


def test_the_structure_equals_the_dense_one_in_the_first_call():
    net, X, y, _ = problem(1, leave_out=True)
    module, *_ = small_cnn()
    dense = ErasableNeuralNetClassifier.from_module(
        module, X, y, structure="full", fisher_batch_size=1, damping=DAMPING, leave_out=True
    )
    with may_warn(*LONG):
        net.unlearn(X[:3], y[:3], epsilon=0.3)
        dense.unlearn(X[:3], y[:3], epsilon=0.3)
    np.testing.assert_allclose(numbers(net), numbers(dense), rtol=1e-8, atol=1e-9)
    assert net.erasures_[-1].margin == pytest.approx(dense.erasures_[-1].margin)


def test_whole_mini_batches_leave_and_the_others_stand_for_all_rows():
    net, X, y, stream = problem(4)
    R = stream.to_dense()
    groups = stream.members
    left = set(range(len(y)))
    for S in ([0], [1, 2], [3]):  # no warning: the curvature belongs to the retained rows
        with may_warn(*LONG):
            net.unlearn(X[S], y[S], epsilon=0.05)
        left -= set(S)
        kept = [i for i, members in enumerate(groups) if set(members) <= left]
        in_curvature = sum(len(groups[i]) for i in kept)
        expected = inverse_of(R[kept] * np.sqrt(len(left) / in_curvature), len(y))
        assert relative(net.curvature_.to_dense(), expected) < 1e-9


def test_no_gradient_of_a_forget_row_is_left_in_a_file():
    net, X, y, stream = problem(5)
    R = stream.to_dense()
    (group,) = [i for i, members in enumerate(stream.members) if 0 in members]
    piece = R[group].astype(np.float64)[:8].tobytes()
    assert piece in pickle.dumps(net)
    with may_warn(*LONG):
        net.unlearn(X[:1], y[:1], epsilon=0.1)
    assert piece not in pickle.dumps(net)


def test_added_rows_join_a_curvature_of_single_rows():
    net, X, y, stream = problem(1)
    R = stream.to_dense()
    new = X[:2] + 0.1
    before = copy.deepcopy(net)
    with may_warn(*LONG):
        net.rectify(X[:2], y[:2], new, y[:2], epsilon=0.1)
    assert len(net.curvature_.rows) == len(y)
    added = before._family().batch(new.reshape(2, -1), y[:2], np.ones(2))
    rows = np.vstack([R[2:], added.scores("empirical_fisher").to_dense()])
    assert relative(net.curvature_.to_dense(), inverse_of(rows, len(y))) < 1e-9
    with may_warn(*LONG):  # the added rows leave again
        net.unlearn(new, y[:2], epsilon=0.1)
    assert relative(net.curvature_.to_dense(), inverse_of(R[2:], len(y))) < 1e-9


def test_added_rows_make_a_curvature_of_mini_batches_stale():
    net, X, y, _ = problem(4)
    with may_warn(*STEPS):
        net.learn(X[:2] + 0.1, y[:2], epsilon=0.1)
    with pytest.raises(ErasureError, match="mini-batches"):
        net.unlearn(X[:2], y[:2])


def test_a_preview_and_a_refused_erasure_leave_the_rows():
    net, X, y, _ = problem(4)
    before = pickle.dumps(net)
    with may_warn(*LONG):
        net.preview_unlearn(X[:3], y[:3])
    with pytest.raises(ErasureError):
        net.unlearn(np.vstack([X[:1], X[:1]]), y[[0, 0]])
    assert pickle.dumps(net) == before


def test_equal_rows_are_counted():
    module, X, y = small_cnn()
    X[1] = X[0]
    y[1] = y[0]
    net = ErasableNeuralNetClassifier.from_module(
        module, X, y, structure="gradients", track_rows=True, fisher_batch_size=1, damping=DAMPING
    )
    with may_warn(*LONG):
        net.unlearn(X[:1], y[:1], epsilon=0.1)
        assert len(net.curvature_.rows) == len(y) - 1
        net.unlearn(X[:1], y[:1], epsilon=0.1)
    assert len(net.curvature_.rows) == len(y) - 2


def test_the_structure_needs_tracked_rows():
    module, X, y = small_cnn()
    with pytest.raises(ErasureError, match="track_rows must be True"):
        ErasableNeuralNetClassifier.from_module(module, X, y, structure="gradients")


@pytest.mark.parametrize("curvature", ["empirical_fisher", "fisher"])
def test_blocks_and_classes(curvature):
    net, X, y, _ = problem(1, curvature=curvature, block_size=40)
    n_rows = len(net.curvature_.rows) // len(y)
    with may_warn(*LONG):
        net.unlearn(X[:4], y[:4], epsilon=0.1)
    assert len(net.curvature_.rows) == n_rows * (len(y) - 4)
