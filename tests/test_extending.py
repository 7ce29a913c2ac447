"""A curvature, a structure, a family, a composite and a preprocessor from outside the package.

The examples are the Python blocks of CONTRIBUTING.md. Tables are restored after each test.
"""

import pickle
import re
import sys
from copy import deepcopy
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    GammaScorer,
    TunedEpsilonCV,
    learn,
    parameter_distance,
    preview_unlearn,
    rectify,
    unlearn,
)
from sklearn_ssse._gradients import CURVATURES, Curvature
from sklearn_ssse._inverse import INVERSES
from sklearn_ssse._kernels import load
from tests import reference
from tests.check_erasable import check_erasable, snapshot
from tests.reference import relative, theta, without
from tests.warned import LONG_STEP, may_warn

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"
BLOCK = re.compile(r"<!-- example: (.+?) -->\n```python\n(.+?)```", re.DOTALL)
EXAMPLES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
NUMBERS = count()
TIGHT = {"solver": "newton-cholesky", "tol": 1e-10}


def run_examples(*names):
    """A module with the code of some blocks; pickle finds its classes by name."""
    module = ModuleType(f"example_{next(NUMBERS)}")
    sys.modules[module.__name__] = module
    for name in names:
        exec(compile(EXAMPLES[name], f"{PAGE.name}: {name}", "exec"), vars(module))
    return module


@pytest.fixture
def bound(monkeypatch):
    """The curvature "bound"; its entry is removed after the test."""
    monkeypatch.setitem(CURVATURES, "bound", None)
    return run_examples("curvature").bound


@pytest.fixture
def scaled_identity(monkeypatch):
    """The structure "scaled_identity"; its entry is removed after the test."""
    monkeypatch.setitem(INVERSES, "scaled_identity", None)
    return run_examples("structure").ScaledIdentityInverse


@pytest.fixture(scope="module")
def probit():
    """The family of probit regressions."""
    return run_examples("family")


def test_every_python_block_is_an_example():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```python") == len(EXAMPLES) == 7


def make_estimators(params):
    """Our two estimators with some parameters; the net is damped and takes short steps."""
    net = {"random_state": 0, "solver": "lbfgs", "max_iter": 40, "damping": 0.1}
    return [
        ErasableLogisticRegression(**params),
        ErasableMLPClassifier((4,), unlearn_epsilon=0.05, **net, **params),
    ]


def check_verbs(estimator, X, y):
    """The four functions on a model, in a pipeline, for many outputs, and the searches."""
    Y = np.column_stack([y == y[0], X[:, 0] > 0]).astype(int)
    cases = [
        (estimator, y),
        (make_pipeline(StandardScaler(), estimator), y),
        (MultiOutputClassifier(estimator), Y),
        (VotingClassifier([("a", estimator), ("b", clone(estimator))], voting="soft"), y),
    ]
    for template, targets in cases:
        model = clone(template).fit(X, targets)
        before = snapshot(model)
        records = preview_unlearn(model, X[:3], targets[:3])
        records = records if isinstance(records, list) else [records]
        assert all(record.n_erased == 3 for record in records)
        assert snapshot(model) == before
        loaded = pickle.loads(pickle.dumps(model))
        for part in (model, loaded):
            with may_warn(LONG_STEP):
                unlearn(part, X[:3], targets[:3])
                learn(part, X[:3], targets[:3])
                rectify(part, X[3:5], targets[3:5], X[3:5] + 0.1, targets[3:5])
        assert snapshot(loaded) == snapshot(model)
        if targets is y:
            assert np.isfinite(model.predict_proba(X)).all()


def check_searches(estimator, X, y):
    """`TunedEpsilonCV` and `GridSearchCV` choose an eps, and rows can be erased afterwards."""
    cv = ShuffleSplit(2, test_size=8, random_state=0)
    options = {"epsilons": [0.5, 1.0], "metric": "probability", "trust_best": True}
    tuned = TunedEpsilonCV(estimator, cv=cv, **options).fit(X, y)
    assert tuned.best_epsilon_ in (0.5, 1.0)
    for name in ("mean_distance_ratio", "mean_distance_ratio_hessian"):
        assert np.isfinite(tuned.cv_results_[name]).all()
    unlearn(tuned, X[:3], y[:3])
    scorer = GammaScorer(X, y, metric="probability")
    search = GridSearchCV(estimator, {"unlearn_epsilon": [0.5, 1.0]}, scoring=scorer, cv=cv)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.warns(ErasureWarning, match="holds its GammaScorer"):
        unlearn(search, X[:3], y[:3])
    assert search.best_estimator_.n_samples_remaining_ == len(y) - 3


# Small nets stop before they converge.
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# A curvature


def bound_matrix(n_classes, inputs):
    """The bound of the Hessian, without ridge, by loops."""
    if n_classes == 2:
        output = np.array([[0.25]])
    else:
        output = (np.eye(n_classes) - 1 / n_classes) / 2
    return sum(np.kron(output, np.outer(x, x)) for x in inputs)


@pytest.mark.parametrize("structure", ["full", "block", "low_rank", "diagonal"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_curvature_against_its_dense_twin(bound, binary, four_classes, structure, n_classes):
    X, y = binary if n_classes == 2 else four_classes
    S = np.arange(5)
    n = len(y)
    clf = ErasableLogisticRegression(
        curvature="bound", structure=structure, damping=0.01, unlearn_epsilon=0.8
    )
    clf.fit(X, y)
    inputs = reference.design(X, True)
    ridge = 0.01 * n * np.eye(theta(clf).size)
    rest = bound_matrix(n_classes, inputs[without(S, n)])
    whole = bound_matrix(n_classes, inputs)
    if structure in ("block", "diagonal"):
        size = inputs.shape[1] if structure == "block" else 1
        block = np.arange(len(rest)) // size
        same = block[:, None] == block
        rest = rest * same
        whole = whole * same
    assert relative(clf.curvature_.to_dense(), np.linalg.inv(whole + ridge)) < 1e-8
    start = theta(clf)
    g = reference.gradients(clf, X[S], y[S]).sum(axis=0)
    clf.unlearn(X[S], y[S])
    assert clf.erasures_[0].leave_out
    assert relative(theta(clf) - start, 0.8 * np.linalg.solve(rest + ridge, g)) < 1e-6
    assert relative(clf.curvature_.to_dense(), np.linalg.inv(rest + ridge)) < 1e-7


@unconverged
def test_curvature_in_every_estimator(bound, four_classes, binary, tmp_path):
    X, y = binary
    for estimator in make_estimators({"curvature": "bound"}):
        check_erasable(estimator, tmp_path, 3)
        check_verbs(estimator, X, y)
        check_searches(estimator, X, y)
        automatic = estimator.set_params(unlearn_epsilon="auto").fit(X, y)
        assert automatic.unlearn_epsilon_ > 0


def test_curvature_is_close_to_retraining(bound, binary):
    X, y = binary
    models = [ErasableLogisticRegression(curvature="bound", **TIGHT) for _ in range(3)]
    original = models[0].fit(X, y)
    retrained = models[1].fit(X[4:], y[4:])
    erased = models[2].fit(X, y).unlearn(X[:4], y[:4])
    assert parameter_distance(original, erased, retrained) < 0.6


def test_curvature_with_two_rows_for_a_binary_sample(monkeypatch, bound, binary):
    """Many outputs are planned one by one, with the result of one row of the same square."""

    def halves(proba, targets, link):
        return np.repeat(bound(proba, targets, link), 2, axis=1) / np.sqrt(2)

    entry = Curvature(halves, lambda n_outputs: 2 * n_outputs, True, False, 3e-3)
    monkeypatch.setitem(CURVATURES, "halves", entry)
    X, y = binary
    Y = np.column_stack([y, X[:, 0] > 0]).astype(int)
    erased = {}
    for curvature in ("bound", "halves"):
        clf = ErasableLogisticRegression(curvature=curvature)
        model = unlearn(MultiOutputClassifier(clf).fit(X, Y), X[:4], Y[:4])
        erased[curvature] = [theta(output) for output in model.estimators_]
    assert relative(erased["halves"], erased["bound"]) < 1e-8


# A structure


def test_structure_obeys_the_laws(scaled_identity, four_classes):
    X, y = four_classes
    clf = ErasableLogisticRegression().fit(X, y)
    batch = clf._family().batch(X, y, np.ones(len(y)))
    scores = batch.scores("fisher")
    S = np.arange(30)
    forget = batch.take(S).scores("fisher").collect()
    rest = batch.take(np.arange(30, len(y))).scores("fisher")
    ridge = np.linspace(0.1, 0.3, batch.n_parameters)
    kernels = load("numba")
    inverse = scaled_identity.build(scores, ridge, kernels=kernels)
    before = snapshot(inverse)
    R = scores.to_dense()
    A = R.T @ R + np.diag(ridge)
    dense = np.linalg.inv(A.diagonal().mean() * np.eye(len(A)))
    v = np.random.default_rng(0).standard_normal(len(A))
    assert relative(inverse.to_dense(), dense) < 1e-12
    assert relative(inverse.solve(v), dense @ v) < 1e-12
    pending = inverse.pending_downdate(forget)
    built = scaled_identity.build(rest, ridge, kernels=kernels)
    assert relative(pending.inverse().to_dense(), built.to_dense()) < 1e-12
    assert relative(pending.solve(v), built.solve(v)) < 1e-12
    assert 0 < pending.margin < 1
    assert relative(built.update(forget).to_dense(), inverse.to_dense()) < 1e-12
    assert relative(inverse.update(forget).downdate(forget).to_dense(), dense) < 1e-12
    assert snapshot(inverse) == before
    assert inverse.nbytes == scaled_identity.bytes_needed(scores.shapes)


@unconverged
def test_structure_in_every_estimator(scaled_identity, binary, tmp_path):
    X, y = binary
    for estimator in make_estimators({"structure": "scaled_identity"}):
        check_erasable(estimator, tmp_path, 3)
        check_verbs(estimator, X, y)
        check_searches(estimator, X, y)


def test_structure_of_an_exact_twin(monkeypatch, binary):
    """A subclass of the dense inverse under another name takes the same steps."""

    class Twin(INVERSES["full"]):
        options = ()

        @classmethod
        def build(cls, scores, ridge, *, kernels):
            return super().build(scores, ridge, kernels=kernels, inversion="cholesky")

    monkeypatch.setitem(INVERSES, "twin", Twin)
    X, y = binary
    for params in ({"curvature": "fisher"}, {}):
        dense = ErasableLogisticRegression(**params, inversion="cholesky", structure="full")
        twin = ErasableLogisticRegression(**params, structure="twin")
        for model in (dense, twin):
            model.fit(X, y).unlearn(X[:4], y[:4]).learn(X[:2], y[:2])
        assert np.array_equal(theta(twin), theta(dense))
        assert twin.structure_ == "twin"
    with pytest.raises(ErasureError, match="block_size must be given with structure 'block'"):
        ErasableLogisticRegression(structure="twin", block_size=2).fit(X, y)


def test_tables_are_restored():
    assert list(CURVATURES) == ["empirical_fisher", "fisher"]
    assert list(INVERSES) == ["full", "block", "low_rank", "diagonal"]


# A family


@pytest.mark.parametrize("curvature", ["fisher", "empirical_fisher"])
@pytest.mark.parametrize("structure", ["full", "diagonal"])
def test_family_in_every_verb(probit, binary, curvature, structure, tmp_path):
    X, y = binary
    estimator = probit.ErasableProbit(curvature=curvature, structure=structure)
    check_erasable(estimator, tmp_path)
    check_verbs(estimator, X, y)
    check_searches(estimator, X, y)


def test_family_against_its_dense_twin(probit, binary):
    X, y = binary
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = probit.ErasableProbit(curvature="empirical_fisher", damping=0.1).fit(X, y, weight)
    Z = reference.design(X, True)

    def loss(params, i):
        sign = 2 * y[i] - 1
        return -float(probit.log_ndtr(sign * (Z[i] @ params)))

    G = np.array(
        [reference.numeric_gradient(lambda p, i=i: loss(p, i), model.weights_) for i in range(60)]
    )
    batch = model._family().batch(X[:60], y[:60], weight[:60])
    assert relative(batch.gradients(np.ones((60, 1)))[:, 0], weight[:60] @ G) < 1e-6
    rows = np.sqrt(weight[:60])[:, None] * G
    assert relative(batch.scores("empirical_fisher").gram(), rows.T @ rows) < 1e-6


@pytest.mark.parametrize("curvature", ["fisher", "bound"])
def test_family_is_close_to_retraining(probit, bound, binary, curvature):
    X, y = binary
    original, learned = (probit.ErasableProbit(curvature=curvature).fit(X, y) for _ in range(2))
    erased = deepcopy(original).unlearn(X[:6], y[:6])
    retrained = probit.ErasableProbit(curvature=curvature).fit(X[6:], y[6:])
    limit = 0.15 if curvature == "fisher" else 0.7
    assert parameter_distance(original, erased, retrained) < limit
    assert parameter_distance(retrained, deepcopy(retrained).learn(X[:6], y[:6]), learned) < 0.7
    plain = erased.to_plain()
    assert type(plain) is probit.Probit
    assert np.array_equal(plain.predict_proba(X), erased.predict_proba(X))
    assert erased.fit_curvature(X[6:], y[6:]).n_samples_remaining_ == len(y) - 6


def test_family_rescales_with_its_columns(probit, binary):
    """A scaler is downdated before a model of a third family."""
    X, y = binary
    pipe = make_pipeline(StandardScaler(), probit.ErasableProbit(alpha=1e-6)).fit(X, y)
    unlearn(pipe, X[:4], y[:4], preprocessing="downdate")
    assert np.allclose(pipe[0].mean_, X[4:].mean(axis=0))
    kept = make_pipeline(StandardScaler(), probit.ErasableProbit(alpha=1e-6)).fit(X, y)
    unlearn(kept, X[:4], y[:4])
    assert np.allclose(pipe.predict_proba(X), kept.predict_proba(X), atol=1e-6)


# A composite


@pytest.fixture
def segments(binary):
    X, y = binary
    return np.column_stack([np.arange(len(y)) % 2, X]), y


@pytest.mark.parametrize("way", ["composite from outside", "composite inside"])
def test_composite_erases_from_every_model(segments, way):
    X, y = segments
    kind = run_examples("composite", way).PerSegment
    clf = ErasableLogisticRegression(curvature="fisher")
    model = kind(clf).fit(X, y)
    expected = {}
    for segment in (0, 1):
        rows = X[:, 0] == segment
        twin = clone(clf).fit(X[rows, 1:], y[rows])
        own = rows[:7]
        expected[segment] = twin.unlearn(X[:7][own, 1:], y[:7][own])
    assert unlearn(model, X[:7], y[:7]) is model
    for segment, twin in expected.items():
        assert np.array_equal(theta(model.models_[segment]), theta(twin))


@pytest.mark.parametrize("way", ["composite from outside", "composite inside"])
def test_composite_is_atomic_at_any_place(segments, way):
    """The second model refuses its rows after the first has accepted its own."""
    X, y = segments
    kind = run_examples("composite", way).PerSegment
    clf = ErasableLogisticRegression(curvature="fisher")
    rows = np.r_[[0, 2], np.flatnonzero((X[:, 0] == 1) & (y == y[1]))]
    single = kind(clf).fit(X, y)
    pipe = make_pipeline(StandardScaler(with_mean=False, with_std=False), clone(single)).fit(X, y)
    vote = VotingClassifier([("plain", clf), ("segments", clone(single))], voting="soft").fit(X, y)
    for model in (single, pipe, vote):
        before = snapshot(model)
        with pytest.raises(ErasureError, match="every class"):
            unlearn(model, X[rows], y[rows])
        assert snapshot(model) == before
        unlearn(model, X[:7], y[:7])
        assert snapshot(model) != before


def test_composite_inside_takes_every_verb(segments):
    X, y = segments
    kind = run_examples("composite", "composite inside").PerSegment
    template = kind(ErasableLogisticRegression(curvature="fisher"))
    for model in (template, make_pipeline(StandardScaler(with_std=False), template)):
        fitted = clone(model).fit(X - X.mean(axis=0), y)
        if model is template:
            records = preview_unlearn(fitted, X[:6] - X.mean(axis=0), y[:6])
            assert [record.n_erased for record in records] == [3, 3]
    fitted = template.fit(X, y)
    learn(fitted, X[:4], y[:4])
    rectify(fitted, X[:4], y[:4], X[:4] + np.r_[0, np.full(6, 0.1)], y[:4])
    assert [model.n_samples_remaining_ for model in fitted.models_.values()] == [77, 77]


def test_composite_from_outside_erases_only(segments):
    X, y = segments
    kind = run_examples("composite", "composite from outside").PerSegment
    model = kind(ErasableLogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match="Rows can only be erased from PerSegment"):
        learn(model, X[:4], y[:4])


# A preprocessor


def test_preprocessor_follows_the_scaler(binary):
    """`Centre` is `StandardScaler` without its variance, before and after a scaler."""
    X, y = binary
    module = run_examples("preprocessor")
    clf = ErasableLogisticRegression(curvature="fisher", **TIGHT)
    twin = StandardScaler(with_std=False)
    for make in (
        lambda centre: make_pipeline(centre, clone(clf)),
        lambda centre: make_pipeline(centre, StandardScaler(), clone(clf)),
        lambda centre: make_pipeline(StandardScaler(), centre, clone(clf)),
    ):
        ours, theirs = (make(step).fit(X, y) for step in (module.Centre(), clone(twin)))
        for pipe in (ours, theirs):
            unlearn(pipe, X[:5], y[:5], preprocessing="downdate")
        assert relative(theta(ours[-1]), theta(theirs[-1])) < 1e-9
        assert np.allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
        assert ours[-1].erasures_[0].kept_by == ()
    first = make_pipeline(module.Centre(), clone(clf)).fit(X, y)
    unlearn(first, X[:5], y[:5], preprocessing="downdate")
    assert np.allclose(first[0].mean_, X[5:].mean(axis=0))
    assert first[0].n_rows_ == len(y) - 5


def test_preprocessor_is_atomic(binary):
    X, y = binary
    module = run_examples("preprocessor")
    pipe = make_pipeline(module.Centre(), ErasableLogisticRegression()).fit(X, y)
    before = snapshot(pipe)
    with pytest.raises(ErasureError):
        unlearn(pipe, X[:3], np.array([0, 1, 7]), preprocessing="downdate")
    assert snapshot(pipe) == before
