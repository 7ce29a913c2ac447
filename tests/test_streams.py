"""Streams of erasures: the conservative curvature, the shares that changed, and the limits."""

import copy
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    parameter_distance,
    preview_unlearn,
    refresh,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._erasure import shares
from sklearn_ssse._erasure.path import KEPT_RATE, kept_share
from sklearn_ssse._erasure.step_size import LARGEST_LOG_ODDS
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._inverse import INVERSES
from tests import reference
from tests.check_erasable import snapshot
from tests.reference import relative, theta, without
from tests.test_structures import kept as restricted
from tests.warned import DAMPED, LARGE_EPSILON, LONG_STEP, REFRESH, STALE, TOO_LONG, may_warn

EXACT = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 500}
STRUCTURES = [
    {"structure": "full"},
    {"structure": "block"},
    {"structure": "block", "block_size": 4},
    {"structure": "diagonal"},
    {"structure": "low_rank", "rank": 30},  # covers every rank here
]


PARAMS = [
    {"curvature": "empirical_fisher"},
    {"curvature": "fisher", "order": 1, "budget": None},
    {"curvature": "fisher", "order": 2, "budget": None},
]


# The conservative curvature


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n", [4, 30])
@pytest.mark.parametrize("name", list(INVERSES))
def test_the_inverse_without_a_part_of_rows_is_a_downdate_by_scaled_rows(name, n, n_outputs):
    """For fewer rows than parameters, and for more."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    deltas = rng.standard_normal((60, n_outputs, n_outputs))
    options = {"rank": 40} if name == "low_rank" else {}

    def rows(some, factors=1.0):
        column = np.broadcast_to(factors, len(X))[some][:, np.newaxis, np.newaxis]
        return Scores([Layer(X[some], deltas[some] * column, True)])

    inverse = INVERSES[name].build(rows(slice(60)), np.ones(6 * n_outputs), **options)
    some = slice(0, n)
    factors = rng.uniform(0.0, 1.0, 60)
    factors[:2] = 0.0, 1.0
    pending = inverse.pending_downdate(rows(some))
    before = snapshot(pending)
    found = pending.inverse_without_part(rows(some), factors[some])
    expected = inverse.downdate(rows(some, factors))
    assert snapshot(pending) == before
    assert relative(found.to_dense(), expected.to_dense()) < 1e-9
    assert relative(found.diagonal, expected.diagonal) < 1e-12


def conservative_by_hand(model, rows, weight, A, structure, added=0.0):
    """The curvature after an erasure, and the share of each forget row that is kept.

    Parameters
    ----------
    rows : tuple (X, y)
        The forget rows.
    A : ndarray of shape (d, d)
        The curvature before it, ridge included.
    structure : dict
    added : ndarray of shape (d, d)
        The curvature of the added rows.
    """
    kind = model._erasure_state.curvature
    width = model.coef_.shape[1] + 1
    P = np.linalg.inv(A + added)
    length = model._erasure_state.path.length
    kept = reference.kept(model, *rows, P, kind, length, KEPT_RATE)
    H = reference.curvature(model, *rows, weight * (1 - kept), kind)
    return A + added - restricted(H, **structure, width=width), kept


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_share_of_later_forget_rows_is_kept(
    binary, four_classes, n_classes, structure, curvature
):
    """The first erasure obeys law 2; a second one subtracts ``1 - kept`` of each row."""
    X, y = binary if n_classes == 2 else four_classes
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    options = {"damping": 0.02, "order": 1, "unlearn_epsilon": 0.8, "budget": None}
    model = ErasableLogisticRegression(curvature=curvature, **structure, **options).fit(X, y, w)
    start = copy.deepcopy(model)
    width = X.shape[1] + 1

    def of_rows(of_model, some):
        H = reference.curvature(of_model, X[some], y[some], w[some], curvature)
        return restricted(H, **structure, width=width)

    ridge = np.diag(model.curvature_.ridge)
    S = np.arange(8)
    g = w[S] @ reference.gradients(model, X[S], y[S])
    if model._erasure_state.residual is not None:
        g = g - model._erasure_state.residual
    model.unlearn(X[S], y[S], sample_weight=w[S])
    rest = np.arange(8, len(y))
    A = of_rows(start, rest) + ridge
    assert relative(np.linalg.inv(model.curvature_.to_dense()), A) < 1e-8
    record = model.erasures_[0]
    assert record.kept_curvature == 0.0
    step = theta(model) - theta(start)
    length = np.sqrt(0.8 * g @ step)  # eps (g^T eps s) for a step eps s
    if not record.leave_out:
        length = np.sqrt(0.8 * w.sum() / w[rest].sum() * g @ step)
    assert record.path_length == pytest.approx(length, rel=1e-7)

    for S in (np.arange(8, 12), np.arange(12, 13)):
        A, kept = conservative_by_hand(model, (X[S], y[S]), w[S], A, structure)
        preview = model.preview_unlearn(X[S], y[S], sample_weight=w[S])
        model.unlearn(X[S], y[S], sample_weight=w[S])
        assert relative(np.linalg.inv(model.curvature_.to_dense()), A) < 1e-7
        assert preview == model.erasures_[-1]
        assert 0.0 < preview.kept_curvature < 1.0
        assert preview.kept_curvature == pytest.approx(kept.mean(), rel=1e-6)
        assert preview.path_length > record.path_length
        record = preview


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_added_rows_enter_in_full(four_classes, structure, curvature):
    X, y = four_classes
    fit = np.arange(200)
    old = np.arange(5)
    new = np.arange(200, 205)
    options = {"damping": 0.02, "order": 1}
    model = ErasableLogisticRegression(curvature=curvature, **structure, **options)
    model.fit(X[fit], y[fit]).unlearn(X[5:12], y[5:12])
    A = np.linalg.inv(model.curvature_.to_dense())
    H = reference.curvature(model, X[new], y[new], np.ones(5), curvature)
    H = restricted(H, **structure, width=6)
    learned = copy.deepcopy(model).learn(X[new], y[new])
    assert relative(np.linalg.inv(learned.curvature_.to_dense()), A + H) < 1e-8
    assert learned.erasures_[-1].kept_curvature == 0.0
    rows = X[old], y[old]
    expected, kept = conservative_by_hand(model, rows, np.ones(5), A, structure, H)
    model.rectify(*rows, X[new], y[new])
    assert relative(np.linalg.inv(model.curvature_.to_dense()), expected) < 1e-7
    assert model.erasures_[-1].kept_curvature == pytest.approx(kept.mean(), rel=1e-6)


@pytest.mark.parametrize("curvature", CURVATURES)
def test_the_step_subtracts_the_forget_rows_in_full(four_classes, curvature):
    X, y = four_classes
    options = {"curvature": curvature, "leave_out": True, "order": 1, "unlearn_epsilon": 1.0}
    model = ErasableLogisticRegression(**options, **EXACT).fit(X, y).unlearn(X[:9], y[:9])
    A = np.linalg.inv(model.curvature_.to_dense())
    S = np.arange(9, 14)
    H = reference.curvature(model, X[S], y[S], np.ones(5), curvature)
    g = reference.gradients(model, X[S], y[S]).sum(axis=0)
    expected = theta(model) + np.linalg.solve(A - H, g)
    assert relative(theta(model.unlearn(X[S], y[S])), expected) < 1e-7


def test_the_share_that_is_kept():
    """It is 0 for a path of length 0, grows with the path and the leverage, and is below 1."""
    h = np.array([0.0, 0.5, 2.0])
    assert not kept_share(h, 0.0).any()
    kept = kept_share(h, 0.5)
    assert np.allclose(kept, 1 - np.exp(-KEPT_RATE * np.sqrt(h) * 0.5))
    assert (kept_share(h, 1.0)[1:] > kept[1:]).all()
    assert kept_share(h, 1e3).max() <= 1.0


def test_the_weight_of_a_row_does_not_change_the_share(binary):
    """A row of weight 2 is the row twice."""
    X, y = binary
    w = np.ones(len(y))
    w[10:13] = 2.0
    twice = np.r_[np.arange(len(y)), 10:13]
    weighted = ErasableLogisticRegression(curvature="fisher", order=1).fit(X, y, w)
    doubled = ErasableLogisticRegression(curvature="fisher", order=1).fit(X[twice], y[twice])
    weighted.unlearn(X[:5], y[:5], sample_weight=w[:5]).unlearn(
        X[10:13], y[10:13], sample_weight=w[10:13]
    )
    S = np.r_[10:13, 10:13]
    doubled.unlearn(X[:5], y[:5]).unlearn(X[S], y[S])
    shares = [model.erasures_[-1].kept_curvature for model in (weighted, doubled)]
    assert shares[0] > 0
    assert shares[0] == pytest.approx(shares[1], rel=1e-2)  # the solver stops elsewhere
    assert relative(theta(weighted), theta(doubled)) < 1e-2


@pytest.mark.parametrize("C", [1.0, 100.0])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_no_more_is_subtracted_than_was_added(real_data, curvature, C):
    """One by one, an eighth of the rows.

    In every direction the stored curvature is at least the curvature of the retained rows at the
    parameters of the fit.
    """
    X, y = real_data["breast_cancer"]
    X = X[:, :6]
    model = ErasableLogisticRegression(curvature=curvature, order=1, C=C, **EXACT).fit(X, y)
    start = copy.deepcopy(model)
    rows = np.random.default_rng(0).permutation(len(y))[:70]
    with may_warn(REFRESH, DAMPED):
        done = erase_one_by_one(model, X, y, rows)
    keep = without(rows[:done], len(y))
    A = reference.curvature(start, X[keep], y[keep], np.ones(keep.sum()), curvature)
    A = A + np.diag(model.curvature_.ridge)
    smallest = np.linalg.eigvals(np.linalg.inv(A @ model.curvature_.to_dense())).real.min()
    assert smallest > 0.999  # .99 if nothing is kept


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("structure", ["full", "block", "diagonal", "low_rank"])
def test_networks_keep_nothing(structure):
    """A cap on the downdate protects them instead."""
    X, y = make_classification(200, 6, n_informative=5, n_redundant=0, random_state=0)
    net = ErasableMLPClassifier(
        (4,), structure=structure, curvature="fisher", max_iter=200, random_state=0
    ).fit(X, y)
    with may_warn(STALE, TOO_LONG, DAMPED, REFRESH):
        for rows in (slice(0, 4), slice(4, 8), slice(8, 12)):
            net.unlearn(X[rows], y[rows])
    assert [record.kept_curvature for record in net.erasures_] == [0.0] * 3
    assert [record.order for record in net.erasures_] == [1] * 3
    lengths = [record.path_length for record in net.erasures_]
    assert 0 < lengths[0] < lengths[1] < lengths[2]


# Recommendations


def balanced(data):
    """120 rows; their classes alternate."""
    X, y = data
    rows = np.column_stack([np.flatnonzero(y == c)[:60] for c in (0, 1)]).ravel()
    return X[rows], y[rows]


@pytest.mark.parametrize(
    ("params", "share"),
    [
        ({"curvature": "empirical_fisher"}, 0.1),
        ({"curvature": "fisher", "order": 1}, 0.1),
        ({"curvature": "fisher", "order": 2}, 0.25),
        ({"curvature": "fisher", "order": 1, "structure": "diagonal"}, 0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("verb", ["unlearn", "learn", "rectify"])
def test_recommended_beyond_a_share_of_the_rows(binary, params, share, verb):
    X, y = balanced(binary)
    each = 2 if verb == "rectify" else 1  # it erases a row and adds one
    S = np.arange(round(share * 120) // each)
    last = [S[-1] + 1]
    model = ErasableLogisticRegression(**params).fit(X, y)
    change = {
        "unlearn": lambda model, some: model.unlearn(X[some], y[some]),
        "learn": lambda model, some: model.learn(X[some], y[some]),
        "rectify": lambda model, some: model.rectify(X[some], y[some], 0.9 * X[some], y[some]),
    }[verb]
    change(model, S)
    assert model.erasures_[0].erased_fraction == pytest.approx(share)
    assert model.refresh_recommended_ == model.erasures_[0].refresh_recommended == ""
    change(model, last)
    reason = model.refresh_recommended_
    assert reason == model.erasures_[1].refresh_recommended
    percent = f"{share + each / 120:.1%}"
    assert reason.startswith(f"{percent} of the training rows were erased or added since")
    assert reason.endswith(f"(at most {share:.0%} is reliable)")


@pytest.fixture
def no_limit_of_effect(monkeypatch):
    """Only the other three shares are limited."""
    for name in (
        "RECOMMENDED",
        "RECOMMENDED_OTHER",
        "RECOMMENDED_SECOND_ORDER",
        "REFUSED",
        "REFUSED_OTHER",
    ):
        monkeypatch.setattr(shares, name, getattr(shares, name)._replace(effect=np.inf))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("curvature", CURVATURES)
def test_the_effect_of_the_forget_rows_by_hand(curvature, n_classes):
    """Each row counts alone, so that one call and single calls from one model count alike."""
    X, y = make_classification(
        90, 5, n_informative=4, n_redundant=0, n_classes=n_classes, random_state=0
    )
    w = np.random.default_rng(0).uniform(0.5, 2.0, 90)
    model = ErasableLogisticRegression(curvature=curvature, order=1).fit(X, y, w)
    state = model._erasure_state
    P = model.curvature_.to_dense()
    expected = 0.0
    for i in range(3):
        row = X[[i]], y[[i]]
        g = w[i] * reference.gradients(model, *row)[0]
        if n_classes == 2 or curvature == "empirical_fisher":
            square = g @ P @ g
        else:  # the largest leverage over the outputs, times the squared norm of the gradient there
            H = w[i] * reference.hessians(model, *row)[0]
            outputs = reference.hessian_at_outputs(model, X[i])
            h = np.linalg.eigvals(P @ H).real.max() / (w[i] * np.trace(outputs))
            x = reference.design(X[[i]], True)[0]
            square = h * (g @ g) / (x @ x)
        H = reference.curvature(model, *row, w[[i]], curvature)
        leverage = np.linalg.eigvals(P @ H).real.max()
        expected += square / (1 - leverage) if curvature == "fisher" else square
    erased = copy.deepcopy(model).unlearn(X[:3], y[:3], sample_weight=w[:3])
    assert erased._erasure_state.path.effect == pytest.approx(expected, rel=1e-6)
    ridge = np.diag(model.curvature_.ridge)
    trace = np.trace(P @ (np.linalg.inv(P) - ridge)) * (w @ w) / w.sum()
    assert state.expected_square == pytest.approx(trace, rel=1e-6)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("many", [False, True])
def test_the_unit_of_the_weights_does_not_matter(binary, curvature, many):
    """Weights w and C / w are the same objective."""
    X, y = binary
    found = []
    for unit in (0.01, 1.0, 100.0):
        w = np.full(len(y), unit)
        params = {"curvature": curvature, "order": 1, "budget": None, **EXACT}
        base = ErasableLogisticRegression(C=1 / unit, **params)
        estimator = MultiOutputClassifier(base) if many else base
        Y = np.column_stack([y, 1 - y]) if many else y
        estimator.fit(X, Y, sample_weight=w)
        for i in range(8):
            unlearn(estimator, X[[i]], Y[[i]], sample_weight=w[[i]])
        model = erasable_models(estimator)[0]
        state = model._erasure_state
        found.append(
            (state.path.effect / state.expected_square, model.erasures_[-1].kept_curvature)
        )
    assert np.allclose(found, found[1], rtol=1e-5)


def test_recommended_and_refused_for_the_influence_of_the_rows(outlier, monkeypatch):
    X, y = outlier
    model = ErasableLogisticRegression(curvature="fisher", order=1, C=100.0).fit(X, y)
    twin = copy.deepcopy(model)
    with may_warn(DAMPED):
        effect = twin.unlearn(X[-1:], y[-1:])._erasure_state.path.effect
    share = effect / model._erasure_state.expected_square
    for limits, refused in ((shares.RECOMMENDED, False), (shares.REFUSED, True)):
        name = "REFUSED" if refused else "RECOMMENDED"
        monkeypatch.setattr(shares, name, limits._replace(effect=0.9 * share))
        erased = copy.deepcopy(model)
        with may_warn(DAMPED):
            erased.unlearn(X[-1:], y[-1:])
        assert erased.refresh_recommended_.startswith("the erased rows had as much influence as")
        if refused:
            with pytest.raises(ErasureError, match="as much influence as"):
                erased.unlearn(X[:1], y[:1])


def rare(n_rare=20):
    """200 rows, the first of which are a rare class, not separable."""
    rng = np.random.default_rng(0)
    y = np.r_[np.ones(n_rare), np.zeros(200 - n_rare)].astype(int)
    X = rng.standard_normal((200, 4))
    X[:n_rare, 0] += 1.5
    return X, y


@pytest.mark.parametrize(
    "params", [{}, {"curvature": "fisher", "order": 2, "budget": None}], ids=str
)
def test_recommended_beyond_a_share_of_a_class(params, no_limit_of_effect):
    X, y = rare()
    model = ErasableLogisticRegression(**params).fit(X, y).unlearn(X[:5], y[:5])
    assert model.refresh_recommended_ == ""
    model.unlearn(X[5:6], y[5:6])
    assert model.refresh_recommended_.startswith("30.0% of the rows of a class were erased since")
    w = np.where(np.arange(200) < 2, 9.0, 1.0)
    model.fit(X, y, w).unlearn(X[:1], y[:1], sample_weight=w[:1])
    assert model.refresh_recommended_ == ""  # 9 of 36
    model.unlearn(X[2:3], y[2:3], sample_weight=w[2:3])
    assert model.refresh_recommended_.startswith("27.8% of the rows of a class")


def heavy():
    """200 rows, of which the first 20 have most of the curvature; their classes alternate."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 5))
    y = np.arange(200) % 2
    X[:, 0] += y
    X[:20] *= 6
    return X, y


# Nearly all predictions are 1/2, so that the curvature of a row is proportional to its square.
SHORT = {"C": 1e-4, "fit_intercept": False}


def curvature_erased(model):
    """Mean share of the diagonal of the curvature, without the ridge, that was erased."""
    inverse = model.curvature_
    return 1 - (inverse.diagonal - inverse.ridge) @ model._erasure_state.diagonal_weights


@pytest.mark.parametrize("curvature", CURVATURES)
def test_recommended_beyond_a_share_of_the_curvature(curvature, no_limit_of_effect):
    """The change after it recommends the refresh; the other shares are within their limits."""
    X, y = heavy()
    model = ErasableLogisticRegression(curvature=curvature, order=1, **SHORT).fit(X, y)
    for i in range(20):
        erased = curvature_erased(model)
        with may_warn(DAMPED):
            model.unlearn(X[[i]], y[[i]])
        if erased > 0.3:
            break
        assert model.refresh_recommended_ == ""
    percent = f"{erased:.1%}"
    assert model.refresh_recommended_.startswith(f"{percent} of the curvature was erased since")
    assert model.erasures_[-1].erased_fraction <= 0.1


def warnings_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if issubclass(w.category, ErasureWarning)]


@pytest.mark.parametrize("kind", ["model", "pipeline", "outputs", "outputs of order 2"])
def test_the_next_change_warns_once(binary, kind):
    """A preview changes nothing and does not warn."""
    X, y = binary
    n_models = 2 if kind.startswith("outputs") else 1
    Y = y if n_models == 1 else np.column_stack([y, 1 - y])
    order = 2 if kind == "outputs of order 2" else 1
    base = ErasableLogisticRegression(curvature="fisher", order=order)
    estimator = {
        "model": base,
        "pipeline": make_pipeline(StandardScaler(), base),
        "outputs": MultiOutputClassifier(base),
        "outputs of order 2": MultiOutputClassifier(base),
    }[kind].fit(X, Y)
    model = erasable_models(estimator)[0]
    k = 16 if order == 1 else 38
    assert warnings_of(lambda: unlearn(estimator, X[:k], Y[:k])) == []
    assert model.refresh_recommended_
    before = snapshot(estimator)
    again = slice(k, k + 1)
    assert warnings_of(lambda: preview_unlearn(estimator, X[again], Y[again])) == []
    assert snapshot(estimator) == before
    with pytest.raises(ErasureWarning):  # an error, as a user may ask for, changes nothing
        unlearn(estimator, X[again], Y[again])
    assert snapshot(estimator) == before
    given = warnings_of(lambda: unlearn(estimator, X[again], Y[again]))
    assert len(given) == n_models
    for text in given:
        assert REFRESH in text
        assert model.erasures_[0].refresh_recommended in text
        assert "Call `refresh` with the retained rows" in text
    for i in range(k + 1, k + 4):
        assert warnings_of(lambda i=i: unlearn(estimator, X[[i]], Y[[i]])) == []
    assert model.refresh_recommended_ == model.erasures_[0].refresh_recommended
    # A refresh starts anew: the next recommendation gives another warning.
    refresh(estimator, X[k + 4 :], Y[k + 4 :])
    assert model.refresh_recommended_ == ""
    S = slice(k + 4, k + 4 + k)
    assert warnings_of(lambda: unlearn(estimator, X[S], Y[S])) == []
    last = slice(2 * k + 4, 2 * k + 5)
    assert len(warnings_of(lambda: unlearn(estimator, X[last], Y[last]))) == n_models


def test_fit_curvature_starts_anew_too(binary):
    X, y = binary
    model = ErasableLogisticRegression(curvature="fisher", order=1).fit(X, y)
    model.unlearn(X[:16], y[:16])
    assert model.refresh_recommended_
    model.fit_curvature(X[16:], y[16:])
    assert model.refresh_recommended_ == ""
    assert model._erasure_state.path.length == 0.0
    record = model.unlearn(X[16:20], y[16:20]).erasures_[-1]
    assert record.kept_curvature == 0.0
    assert record.erased_fraction == pytest.approx(4 / 134)


def test_nothing_is_recommended_or_refused_if_the_parameters_have_not_moved():
    X, y = rare()
    model = ErasableLogisticRegression(unlearn_epsilon=1e-12).fit(X, y)
    for i in [*range(18), *range(20, 120)]:
        model.unlearn(X[[i]], y[[i]])
    assert model.erasures_[-1].erased_fraction > 0.5
    assert model.refresh_recommended_ == ""
    assert max(record.kept_curvature for record in model.erasures_) < 1e-6


# Refusals


def erased_share(curvature, kind):
    """A model, rows and labels, and groups of rows: to the limit, one more, and any others."""
    if kind == "class":
        X, y = rare()
        at = 12 if curvature == "fisher" else 6
        parts = np.arange(at), [at], [50]
        C = 1.0
    else:
        X, y = heavy()
        parts = np.arange(60, 120), [120], [121]
        C = 0.01
    model = ErasableLogisticRegression(curvature=curvature, order=1, C=C).fit(X, y)
    return model, X, y, parts


@pytest.mark.parametrize(
    ("curvature", "kind", "limit"),
    [
        ("fisher", "class", "60%"),
        ("empirical_fisher", "class", "30%"),
        ("empirical_fisher", "rows", "30%"),
    ],
)
def test_refused_beyond_a_share(curvature, kind, limit, no_limit_of_effect):
    """The call that exceeds the limit is accepted, the next one is refused, in full."""
    model, X, y, (first, more, others) = erased_share(curvature, kind)
    with may_warn(DAMPED):
        model.unlearn(X[first], y[first])
    with may_warn(REFRESH):
        model.unlearn(X[more], y[more])
    before = snapshot(model)
    for call in (model.unlearn, model.preview_unlearn):
        with pytest.raises(ErasureError, match=f"too much, but .*at most {limit} is reliable"):
            call(X[others], y[others])
    with pytest.raises(ErasureError, match="Call `refresh` with the retained rows, then erase"):
        model.rectify(X[others], y[others], X[others], y[others])
    assert snapshot(model) == before
    # Rows can be added, and after a refresh the rows are erased.
    copy.deepcopy(model).learn(X[others], y[others])
    keep = without(np.r_[first, more], len(y))
    model.refresh(X[keep], y[keep]).unlearn(X[others], y[others])
    assert model.n_samples_remaining_ == keep.sum() - 1


@pytest.mark.parametrize(("curvature", "limit"), [("fisher", 0.65), ("empirical_fisher", 0.4)])
def test_refused_beyond_a_share_of_the_curvature(curvature, limit, no_limit_of_effect):
    X, y = heavy()
    model = ErasableLogisticRegression(curvature=curvature, order=1, **SHORT).fit(X, y)
    twin = copy.deepcopy(model)
    i = 0
    with may_warn(DAMPED, REFRESH):
        while curvature_erased(model) <= limit:
            model.unlearn(X[[i]], y[[i]])
            i += 1
    assert i <= 20
    erased = curvature_erased(model)
    with pytest.raises(ErasureError, match=f"{erased:.1%} of the curvature .*at most {limit:.0%}"):
        model.unlearn(X[[50]], y[[50]])
    # In one call nothing is refused.
    with may_warn(DAMPED):
        twin.unlearn(X[:i], y[:i])
    assert twin.n_samples_remaining_ == 200 - i


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_a_first_call_of_any_size_is_accepted(real_data, params):
    X, y = real_data["wine"]
    for share in (0.5, 0.9, 0.98):
        model = ErasableLogisticRegression(**params).fit(X, y)
        S = np.flatnonzero(y == 1)
        S = S[: int(share * len(S))]
        with may_warn(DAMPED, LONG_STEP):
            model.unlearn(X[S], y[S])
        assert model.n_samples_remaining_ == len(y) - len(S)


@pytest.fixture
def outlier(binary):
    """Rows and labels; the last row is far from the others and has the wrong label."""
    X, y = binary
    model = LogisticRegression().fit(X, y)
    far = 3 * model.coef_[0] / np.linalg.norm(model.coef_)
    return np.vstack([X, far]), np.r_[y, 0]


@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_the_log_odds_of_a_forget_row_after_a_recommendation(outlier, params):
    """Before it, the same erasure is accepted."""
    X, y = outlier
    k = 16 if params.get("order") != 2 else 38
    model = ErasableLogisticRegression(C=0.1, **params).fit(X, y)
    # A large eps makes a long step.
    last = {"X": X[-1:], "y": y[-1:], "epsilon": 20.0}
    moved = copy.deepcopy(model)
    with may_warn(LARGE_EPSILON, LONG_STEP):
        moved.unlearn(**last)
    change = moved.decision_function(X[-1:]) - model.decision_function(X[-1:])
    assert abs(change) > LARGEST_LOG_ODDS
    model.unlearn(X[:k], y[:k])
    assert model.refresh_recommended_
    with may_warn(REFRESH):
        model.unlearn(X[k : k + 1], y[k : k + 1])
    before = snapshot(model)
    for call in (model.unlearn, model.preview_unlearn):
        with pytest.raises(ErasureError, match=r"log-odds of the forget rows by more than 0.5 on"):
            call(**last)
    assert snapshot(model) == before
    model.learn(X[-1:], y[-1:])  # is not refused
    copy.deepcopy(model).unlearn(X[-1:], y[-1:], 1e-3)
    model.refresh(np.vstack([X[k + 1 :], X[-1:]]), np.r_[y[k + 1 :], y[-1]])
    with may_warn(LARGE_EPSILON, LONG_STEP):
        model.unlearn(**last)


@pytest.mark.parametrize("refused", ["share", "log-odds"])
def test_refusals_of_many_outputs(refused, no_limit_of_effect):
    """One output is refused, so that none changes."""
    X, y = rare()
    other = (X[:, 1] + np.cos(9 * X[:, 2]) > 0).astype(int)
    Y = np.column_stack([y, other])
    many = MultiOutputClassifier(ErasableLogisticRegression(curvature="fisher", order=1)).fit(X, Y)
    k = 13 if refused == "share" else 8
    with may_warn(REFRESH, DAMPED):
        for i in range(k):
            unlearn(many, X[[i]], Y[[i]])
    before = snapshot(many)
    epsilon = None if refused == "share" else 300.0
    match = "65.0% of the rows" if refused == "share" else "log-odds"
    with pytest.raises(ErasureError, match=f"output 0: .*{match}"):
        unlearn(many, X[15:16], Y[15:16], epsilon)
    assert snapshot(many) == before


def test_sparse_rows(binary):
    """CSR rows have the same stream."""
    X, y = binary
    dense, rows = (
        ErasableLogisticRegression(curvature="fisher", order=1, **EXACT).fit(data, y)
        for data in (X, sparse.csr_array(X))
    )
    with may_warn(REFRESH):
        for S in (slice(0, 5), slice(5, 12), slice(12, 20), slice(20, 21)):
            dense.unlearn(X[S], y[S])
            rows.unlearn(sparse.csr_array(X[S]), y[S])
    assert relative(theta(rows), theta(dense)) < 1e-8
    assert rows.erasures_[-1].kept_curvature == pytest.approx(dense.erasures_[-1].kept_curvature)


# Whole streams


def retrained(X, y, keep, C):
    return LogisticRegression(C=C, **EXACT).fit(X[keep], y[keep])


def small_data(real_data, name):
    if name == "iris":
        X, y = load_iris(return_X_y=True)
        return scale(X), y
    return real_data[name]


def erase_one_by_one(model, X, y, rows):
    """Erase until a call is refused; return the number of erased rows."""
    for done, i in enumerate(rows):
        try:
            model.unlearn(X[[i]], y[[i]])
        except ErasureError:
            return done
    return len(rows)


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("C", [0.01, 1.0])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_random_streams(real_data, name, C, params):
    """Two orders: no warning and no refusal before a tenth, and no accuracy is lost."""
    X, y = small_data(real_data, name)
    n = len(y)
    original = ErasableLogisticRegression(C=C, **params).fit(X, y)
    for seed in (0, 1):
        model = copy.deepcopy(original)
        rows = np.random.default_rng(seed).permutation(n)[: n // 2]
        tenth = n // 10
        assert erase_one_by_one(model, X, y, rows[:tenth]) == tenth  # warnings are errors here
        with may_warn(REFRESH, DAMPED, LONG_STEP):
            done = tenth + erase_one_by_one(model, X, y, rows[tenth:])
        keep = without(rows[:done], n)
        goal = retrained(X, y, keep, C)
        assert model.score(X[keep], y[keep]) > goal.score(X[keep], y[keep]) - 0.05
        ratio = parameter_distance(original, model, goal)
        assert ratio < 1 or model.refresh_recommended_
        assert np.abs(theta(model)).max() < 10 * np.abs(theta(original)).max()


@pytest.mark.parametrize("params", PARAMS, ids=str)
@pytest.mark.parametrize("kind", ["by class", "largest loss first"])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_hard_streams_ruin_no_model(real_data, name, kind, params):
    X, y = small_data(real_data, name)
    n = len(y)
    original = ErasableLogisticRegression(**params).fit(X, y)
    loss = -np.log(original.predict_proba(X)[np.arange(n), y])
    rows = np.argsort(y if kind == "by class" else -loss, kind="stable")[: n // 2]
    model = copy.deepcopy(original)
    with may_warn(REFRESH, DAMPED, LONG_STEP):
        done = erase_one_by_one(model, X, y, rows)
    assert done < len(rows) or kind == "largest loss first"  # a class is refused before its end
    keep = without(rows[:done], n)
    goal = retrained(X, y, keep, 1.0)
    assert model.score(X[keep], y[keep]) > goal.score(X[keep], y[keep]) - 0.05
    assert np.abs(theta(model)).max() < 10 * np.abs(theta(original)).max()


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_a_stream_with_refreshes_remains_close(real_data, name, order):
    """To half of the rows, refreshed whenever it is recommended or a call is refused."""
    X, y = small_data(real_data, name)
    n = len(y)
    params = {"curvature": "fisher", "order": order, "budget": None}
    start = ErasableLogisticRegression(**params).fit(X, y)
    original = retrained(X, y, np.ones(n, dtype=bool), 1.0)
    model = start
    rows = np.random.default_rng(0).permutation(n)[: n // 2]
    n_refreshes = 0
    ratios = []
    for done, i in enumerate(rows):
        keep = without(rows[:done], n)
        if model.refresh_recommended_:
            goal = retrained(X, y, keep, 1.0)
            ratios.append(parameter_distance(original, model, goal))
            model.refresh(X[keep], y[keep])
            assert parameter_distance(original, model, goal) < 0.01
            n_refreshes += 1
        with may_warn(DAMPED, LONG_STEP):
            model.unlearn(X[[i]], y[[i]])
    assert 1 <= n_refreshes <= 12
    assert max(ratios) < (0.35 if order == 1 else 0.5)  # one step that is not trusted: .45


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_recommends_a_refresh_in_a_stream_from_one_class(real_data):
    X, y = real_data["wine"]
    plain = MLPClassifier((8,), max_iter=300, random_state=0, learning_rate_init=0.01).fit(X, y)
    net = ErasableMLPClassifier.from_estimator(plain, X, y, curvature="fisher")
    members = np.flatnonzero(y == 1)
    for done, i in enumerate(members[:40], 1):
        with may_warn(STALE, TOO_LONG, DAMPED, REFRESH):
            net.unlearn(X[[i]], y[[i]])
        if done > 0.25 * len(members):
            break
    assert net.refresh_recommended_ == net.erasures_[-1].refresh_recommended
    assert "of the" in net.refresh_recommended_
    keep = without(members[:done], len(y))
    net.refresh(X[keep], y[keep])
    assert net.refresh_recommended_ == ""
    with may_warn(STALE, TOO_LONG):
        net.unlearn(X[keep][:1], y[keep][:1])
