"""``preprocessing="downdate"`` against statistics and pipelines fitted without the rows."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureWarning,
    learn,
    parameter_distance,
    preview_unlearn,
    unlearn,
)
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._families.affine import AffineColumns
from sklearn_ssse.preprocessing import ErasableSimpleImputer, count_values
from tests.check_erasable import snapshot
from tests.warned import DAMPED, LONG_STEP, NO_ROWS, REFRESH, may_warn

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Skipping features:UserWarning"),
]

EXACT = ErasableLogisticRegression(
    curvature="fisher", solver="newton-cholesky", tol=1e-10, max_iter=100
)
NET = ErasableMLPClassifier(
    (6, 5), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=3000, random_state=0
)


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True)


def split(y, share, seed=0):
    S = np.random.default_rng(seed).choice(len(y), max(1, int(share * len(y))), replace=False)
    return S, np.setdiff1d(np.arange(len(y)), S)


def with_missing(X, seed=0):
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < 0.1] = np.nan
    X[:, 0] = np.where(np.isnan(X[:, 0]), 1.0, X[:, 0])  # one column is complete
    return X


def same_statistics(a, b):
    for name in ("mean_", "var_", "scale_", "n_samples_seen_", "statistics_"):
        expected = getattr(b, name, None)
        if name == "n_samples_seen_" and expected is None:
            continue  # scikit-learn's imputer does not count
        if expected is None:
            assert getattr(a, name, None) is None
        else:
            assert np.allclose(getattr(a, name), expected, rtol=1e-10, atol=1e-10)
            assert np.shape(getattr(a, name)) == np.shape(expected)


def downdated(pipe, X, y, S):
    """A pipeline fitted to all rows and erased from, and one fitted without S."""
    model = clone(pipe).fit(X, y)
    with may_warn(*([DAMPED, LONG_STEP] if len(S) > len(y) / 4 else [])):
        unlearn(model, X[S], y[S], preprocessing="downdate")
    keep = np.setdiff1d(np.arange(len(y)), S)
    return model, clone(pipe).fit(X[keep], y[keep])


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5])
@pytest.mark.parametrize(
    "scaler",
    [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False)],
    ids=["both", "scale", "centre"],
)
def test_a_scaler_equals_one_fitted_without_the_rows(wine, scaler, share):
    X, y = wine
    S, _ = split(y, share)
    model, retrained = downdated(make_pipeline(scaler, EXACT), X, y, S)
    same_statistics(model[0], retrained[0])
    assert model[-1].erasures_[0].kept_by == ()


def test_a_column_that_becomes_constant(wine):
    X, y = wine
    X = X.copy()
    X[:, 1], X[:, 2] = 4.7, 0.0
    S, _ = split(y, 0.05)
    X[S, 1], X[S, 2] = 5.1, np.linspace(-1, 1, len(S))
    with pytest.warns(ErasureWarning, match="got 2 columns whose variance the rows dominated"):
        model, retrained = downdated(make_pipeline(StandardScaler(), EXACT), X, y, S)
    same_statistics(model[0], retrained[0])
    assert (model[0].scale_[1:3] == 1).all()


def test_models_without_erased_rows_follow_the_scaler(wine):
    """Models without an erased row, or with rows of weight 0, follow the change of the scaler."""
    X, y = wine
    S, keep = (
        np.flatnonzero(y == 0)[:40],
        np.setdiff1d(np.arange(len(y)), np.flatnonzero(y == 0)[:40]),
    )
    for inner in (EXACT, make_pipeline(FunctionTransformer(), StandardScaler(), EXACT)):
        pipe = make_pipeline(StandardScaler(), OneVsOneClassifier(inner))
        if inner is not EXACT:  # a step that cannot take rescaled columns
            with pytest.raises(ErasureError, match="Put the scaler after it"):
                unlearn(clone(pipe).fit(X, y), X[S], y[S], preprocessing="downdate")
            pipe = make_pipeline(
                StandardScaler(), OneVsOneClassifier(make_pipeline(StandardScaler(), EXACT))
            )
        model, retrained, original = (
            clone(pipe).fit(X, y),
            clone(pipe).fit(X[keep], y[keep]),
            clone(pipe).fit(X, y),
        )
        with may_warn(DAMPED, LONG_STEP):  # two thirds of a class
            unlearn(model, X[S], y[S], preprocessing="downdate")
        pairs = [
            part[-1].estimators_[2] for part in (model, retrained, original)
        ]  # classes 1 and 2
        scores = [
            pair.decision_function(part[0].transform(X))
            for pair, part in zip(pairs, (model, retrained, original), strict=True)
        ]
        assert np.linalg.norm(scores[0] - scores[1]) < 0.3 * max(
            np.linalg.norm(scores[2] - scores[1]), 1.0
        )
        # The columns of this model change with the scaler, and so do its parameters.
        (record,) = erasable_models(pairs[0])[0].erasures_
        assert record.n_erased == 0
    weight = np.ones(len(y))
    weight[:20] = 0.0
    pipe = make_pipeline(StandardScaler(), EXACT).fit(
        X, y, erasablelogisticregression__sample_weight=weight
    )
    before = pipe.predict_proba(X[20:])
    unlearn(pipe, X[:20], y[:20], sample_weight=weight[:20], preprocessing="downdate")
    same_statistics(pipe[0], StandardScaler().fit(X[20:]))
    assert np.abs(pipe.predict_proba(X[20:]) - before).max() < 0.1


def test_a_selection_after_an_imputer(wine):
    X, y = wine
    X = with_missing(X)
    S, keep = split(y, 0.05)
    for scalers in ([StandardScaler()], [StandardScaler(), StandardScaler()]):
        model = make_pipeline(ErasableSimpleImputer(), SelectKBest(k=5), *scalers, EXACT).fit(X, y)
        with pytest.warns(ErasureWarning, match="but not from selectkbest"):
            unlearn(model, X[S], y[S], preprocessing="downdate")
        same_statistics(model[2], StandardScaler().fit(model[:2].transform(X[keep])))


def test_two_imputers_in_a_row(wine):
    X, y = wine
    X = with_missing(X)
    S, _ = split(y, 0.1)
    some = make_column_transformer((ErasableSimpleImputer(), [0, 1, 2, 3]), remainder="passthrough")
    for first in (
        ErasableSimpleImputer(),
        some,
        make_pipeline(StandardScaler(), ErasableSimpleImputer()),
    ):
        pipe = make_pipeline(first, ErasableSimpleImputer(), StandardScaler(), EXACT)
        model, retrained = downdated(pipe, X, y, S)
        same_statistics(model[1], retrained[1])
        same_statistics(model[2], retrained[2])


def test_scalers_fitted_to_other_rows_than_the_imputer(wine):
    """The number of values that were filled in is unknown: refused, and nothing changes."""
    X, y = wine
    X = with_missing(X)
    inner = make_pipeline(StandardScaler(), EXACT)
    labels = np.column_stack([y == 0, y == 1]).astype(int)
    for composite, given in [
        (OneVsOneClassifier(inner), {}),
        (
            BaggingClassifier(inner, n_estimators=2, max_features=0.5, random_state=0),
            {"positions": np.arange(5)},
        ),
    ]:
        model = make_pipeline(ErasableSimpleImputer(), composite).fit(X, y)
        before = snapshot(model)
        with pytest.raises(ErasureError, match="filled in"):
            unlearn(model, X[:5], y[:5], preprocessing="downdate", **given)
        assert snapshot(model) == before
    chain = make_pipeline(ErasableSimpleImputer(), ClassifierChain(inner)).fit(X, labels)
    unlearn(chain, X[:5], labels[:5], preprocessing="downdate")
    for i, part in enumerate(chain[-1].estimators_):
        earlier = np.column_stack([chain[0].transform(X[5:]), labels[5:, :i]])
        same_statistics(part[0], StandardScaler().fit(earlier))


def test_weights_that_a_scaler_was_given(wine):
    """Weights given by the name of the step are needed to downdate it."""
    X, y = wine
    weight = np.random.default_rng(0).uniform(1, 2, len(y))
    pipe = make_pipeline(StandardScaler(), EXACT)
    given = {
        "standardscaler__sample_weight": weight,
        "erasablelogisticregression__sample_weight": weight,
    }
    model = clone(pipe).fit(X, y, **given)
    before = snapshot(model)
    with pytest.raises(ErasureError, match="got rows without"):
        unlearn(model, X[:20], y[:20], preprocessing="downdate")
    assert snapshot(model) == before
    unlearn(model, X[:20], y[:20], sample_weight=weight[:20], preprocessing="downdate")
    same_statistics(model[0], StandardScaler().fit(X[20:], sample_weight=weight[20:]))


def test_weights_are_for_steps_that_requested_them(wine):
    X, y = wine
    weight = np.random.default_rng(0).uniform(5, 10, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight="w")
        model = make_pipeline(scaler, clone(EXACT).set_fit_request(sample_weight=False)).fit(
            X, y, w=weight
        )
        unlearn(model, X[:5], y[:5], sample_weight=weight[:5], preprocessing="downdate")
    same_statistics(model[0], StandardScaler().fit(X[5:], sample_weight=weight[5:]))
    assert model[-1].erasures_[0].weight_erased == 5


def test_a_row_that_dominated_a_variance_is_warned_of(wine):
    rng = np.random.default_rng(1)
    Z = rng.standard_normal((500, 2))
    labels = (Z.sum(axis=1) > 0).astype(int)
    Z[0, 0], labels[0] = 1e6, 1
    net = ErasableMLPClassifier((3,), max_iter=20, random_state=0, unlearn_epsilon=1e-6)
    model = make_pipeline(StandardScaler(), net).fit(Z, labels)
    with pytest.warns(ErasureWarning, match="got 1 columns whose variance the rows dominated"):
        unlearn(model, Z[:1], labels[:1], preprocessing="downdate")


def test_a_cache_is_named(wine, tmp_path):
    X, y = wine
    model = make_pipeline(StandardScaler(), EXACT, memory=str(tmp_path)).fit(X, y)
    assert preview_unlearn(model, X[:3], y[:3]).kept_by == ("standardscaler", "memory")


def test_missing_values_that_a_scaler_skips(wine):
    X, y = wine
    X = with_missing(X)
    S, _ = split(y, 0.1)
    pipe = make_pipeline(StandardScaler(), ErasableSimpleImputer(), EXACT)
    model, retrained = downdated(pipe, X, y, S)
    same_statistics(model[0], retrained[0])
    same_statistics(model[1], retrained[1])


def test_an_imputer_and_the_scaler_after_it(wine):
    """Imputed values change from the old mean to the new, in the scaler's statistics too."""
    X, y = wine
    X = with_missing(X)
    S, _ = split(y, 0.1)
    pipe = make_pipeline(
        ErasableSimpleImputer(), StandardScaler(), StandardScaler(with_mean=False), EXACT
    )
    model, retrained = downdated(pipe, X, y, S)
    for i in range(3):
        same_statistics(model[i], retrained[i])


def test_imputer_of_columns_without_a_value(wine):
    X, y = wine
    X = with_missing(X)
    X[:, 3] = np.nan
    S, _ = split(y, 0.1)
    for keep_empty in (True, False):
        imputer = ErasableSimpleImputer(keep_empty_features=keep_empty)
        model, retrained = downdated(make_pipeline(imputer, StandardScaler(), EXACT), X, y, S)
        same_statistics(model[1], retrained[1])


def test_scikit_learns_imputer_with_counts_given(wine):
    X, y = wine
    X = with_missing(X)
    S, keep = split(y, 0.1)
    pipe = make_pipeline(SimpleImputer(), StandardScaler(), EXACT)
    retrained, model = clone(pipe).fit(X[keep], y[keep]), clone(pipe).fit(X, y)
    bare = clone(pipe).fit(X, y)
    with pytest.warns(ErasureWarning, match="but not from simpleimputer"):
        unlearn(bare, X[S], y[S], preprocessing="downdate")
    assert bare[-1].erasures_[0].kept_by == ("simpleimputer",)
    model[0].n_samples_seen_ = count_values(X)
    unlearn(model, X[S], y[S], preprocessing="downdate")
    same_statistics(model[0], retrained[0])
    same_statistics(model[1], retrained[1])


def test_weights_that_a_scaler_requested(wine):
    X, y = wine
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    S, keep = split(y, 0.1)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        pipe = make_pipeline(scaler, clone(EXACT).set_fit_request(sample_weight=True))
        model = clone(pipe).fit(X, y, sample_weight=weight)
        retrained = clone(pipe).fit(X[keep], y[keep], sample_weight=weight[keep])
        unlearn(model, X[S], y[S], sample_weight=weight[S], preprocessing="downdate")
    same_statistics(model[0], retrained[0])
    away = model[-1].coef_ - retrained[-1].coef_
    assert np.linalg.norm(away) < 0.05 * np.linalg.norm(retrained[-1].coef_)


def test_sparse_rows(wine):
    X, y = wine
    X = sparse.csr_matrix(np.where(np.median(X, axis=0) < X, X, 0.0))
    S, _ = split(y, 0.05)
    model, retrained = downdated(make_pipeline(StandardScaler(with_mean=False), EXACT), X, y, S)
    same_statistics(model[0], retrained[0])
    assert np.allclose(model.predict_proba(X), retrained.predict_proba(X), atol=0.02)


@pytest.mark.parametrize("solver", ["lbfgs", "liblinear"])
@pytest.mark.parametrize("structure", ["full", "block"])
def test_closer_to_the_retrained_pipeline(cancer, structure, solver, monkeypatch):
    """Closer than with kept statistics, or without the gradient of the penalty's change."""
    X, y = cancer
    pipe = make_pipeline(
        StandardScaler(), clone(EXACT).set_params(structure=structure, solver=solver)
    )
    fitted, distances = clone(pipe).fit(X, y), []
    for seed in range(4):
        S, keep = split(y, 0.02, seed)
        models = [fitted, unlearn(deepcopy(fitted), X[S], y[S])]
        models.append(unlearn(deepcopy(fitted), X[S], y[S], preprocessing="downdate"))
        with monkeypatch.context() as patch:
            patch.setattr(
                "sklearn_ssse._families.base.Family.penalty_gradient_offset",
                property(lambda self: 0.0, lambda self, value: None),
            )
            models.append(unlearn(deepcopy(fitted), X[S], y[S], preprocessing="downdate"))
        goal = clone(pipe).fit(X[keep], y[keep]).decision_function(X)
        distances.append([np.linalg.norm(model.decision_function(X) - goal) for model in models])
    nothing, kept, left, uncorrected = np.sum(distances, axis=0)
    assert left < 0.1 * nothing
    assert left < 0.3 * kept
    assert left < 0.3 * uncorrected


def test_nets_are_closer_to_retraining_too(wine):
    X, y = wine
    net = clone(NET).set_params(
        hidden_layer_sizes=(3,), alpha=0.1, tol=1e-9, max_iter=10_000, damping=1e-4
    )
    pipe = make_pipeline(StandardScaler(), net.set_params(curvature="fisher", unlearn_epsilon=1.0))
    fitted, distances = clone(pipe).fit(X, y), []
    for seed in range(3):
        S, keep = split(y, 0.03, seed)
        retrained = clone(pipe).fit(X[keep], y[keep])
        with may_warn(DAMPED):  # five rows dominate the curvature of few rows
            kept = unlearn(deepcopy(fitted), X[S], y[S])
            left = unlearn(deepcopy(fitted), X[S], y[S], preprocessing="downdate")
        same_statistics(left[0], retrained[0])
        goal = retrained.predict_proba(X)
        distances.append([np.linalg.norm(model.predict_proba(X) - goal) for model in (kept, left)])
    kept, left = np.transpose(distances)
    assert (left < kept).all()


@pytest.mark.parametrize("structure", ["full", "block"])
@pytest.mark.parametrize(
    "model",
    [
        EXACT,
        clone(EXACT).set_params(curvature="empirical_fisher"),
        NET,
        clone(NET).set_params(solver="adam"),
    ],
    ids=["fisher", "empirical", "net", "adam"],
)
def test_changed_columns_leave_the_predictions_equal(wine, model, structure):
    """Equal predictions; gradients T g; the curvature of the new columns with the old ridge."""
    X, y = wine
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    rng = np.random.default_rng(0)
    moved = AffineColumns(rng.uniform(0.5, 2, X.shape[1]), rng.standard_normal(X.shape[1]))
    model = clone(model).set_params(structure=structure, max_iter=50).fit(X, y)
    family, weight = model._family(), np.ones(len(y))
    twin = family.with_columns(moved, len(y))
    before, after = family.batch(X, y, weight), twin.batch(moved.rows(X), y, weight)
    groups = np.eye(3)[y]
    T = np.column_stack(
        [transposed_jacobian(moved, unit, family.shapes) for unit in np.eye(family.n_parameters)]
    )
    assert np.allclose(after.gradients(groups), T @ before.gradients(groups), atol=1e-9)
    penalty = family.penalty(len(y))
    assert np.allclose(
        twin.penalty_gradient_offset, T @ (penalty * family.theta) - penalty * twin.theta
    )
    rows = after.scores(model.curvature).to_dense()
    expected = rows.T @ rows + np.diag(model.curvature_.ridge)
    if structure == "block":
        units = np.repeat(
            np.arange(sum(n for n, _ in family.shapes)),
            np.concatenate([[width] * n for n, width in family.shapes]),
        )
        expected = expected * (units[:, np.newaxis] == units)
    inverse = model.curvature_.with_columns(moved, family.shapes)
    assert np.allclose(inverse.to_dense() @ expected, np.eye(len(expected)), atol=1e-6)
    assert np.allclose(inverse.diagonal, expected.diagonal())


def transposed_jacobian(moved, vector, shapes):
    """``T v`` in a loop."""
    n_outputs, width = shapes[0]
    out = vector.copy()
    M = np.eye(width)
    M[:-1, :-1], M[:-1, -1] = np.diag(moved.scale), moved.shift
    for i in range(n_outputs):
        out[i * width : (i + 1) * width] = M @ vector[i * width : (i + 1) * width]
    return out


def test_erasures_one_after_the_other(wine):
    X, y = wine
    S, keep = split(y, 0.06)
    pipe = make_pipeline(StandardScaler(), EXACT)
    model, retrained = clone(pipe).fit(X, y), clone(pipe).fit(X[keep], y[keep])
    for part in np.array_split(S, 3):
        unlearn(model, X[part], y[part], preprocessing="downdate")
    same_statistics(model[0], retrained[0])
    assert np.allclose(model.predict_proba(X), retrained.predict_proba(X), atol=0.01)


def test_columns_of_several_kinds(wine):
    """Sums are downdated; categories, orders and selections are kept, and named."""
    X, y = wine
    X = np.column_stack([X, np.round(X[:, 0])])
    S, keep = split(y, 0.05)
    columns = make_column_transformer(
        (make_pipeline(ErasableSimpleImputer(), StandardScaler()), [3, 0, 1]),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), [13]),
        (MinMaxScaler(), [2]),
        ("drop", [4]),
        ("passthrough", [5]),
        remainder=StandardScaler(),
    )
    pipe = make_pipeline(columns, SelectKBest(k=12), StandardScaler(), EXACT)
    model = clone(pipe).fit(X, y)
    expected = (
        "columntransformer__onehotencoder",
        "columntransformer__minmaxscaler",
        "selectkbest",
    )
    before = snapshot(model)
    assert preview_unlearn(model, X[S], y[S], preprocessing="downdate").kept_by == expected
    assert snapshot(model) == before
    with pytest.warns(
        ErasureWarning, match="not from columntransformer__onehotencoder, columntransformer__minmax"
    ):
        unlearn(model, X[S], y[S], preprocessing="downdate")
    assert model[-1].erasures_[0].kept_by == expected
    parts = model[0].named_transformers_
    same_statistics(parts["remainder"], StandardScaler().fit(X[keep][:, 6:13]))
    same_statistics(parts["pipeline"][1], StandardScaler().fit(X[keep][:, [3, 0, 1]]))
    # The scaler after it equals one fitted to the remaining rows as now transformed.
    same_statistics(model[2], StandardScaler().fit(model[:2].transform(X[keep])))


def test_a_frame_with_names(wine):
    pandas = pytest.importorskip("pandas")
    X, y = pandas.DataFrame(wine[0]).add_prefix("c"), wine[1]
    S, keep = split(y, 0.05)
    columns = ColumnTransformer(
        [("scale", StandardScaler(), ["c3", "c1"])], remainder="passthrough"
    )
    pipe = make_pipeline(columns, EXACT).set_output(transform="pandas")
    model, retrained = clone(pipe).fit(X, y), clone(pipe).fit(X.iloc[keep], y[keep])
    unlearn(model, X.iloc[S], y[S], preprocessing="downdate")
    same_statistics(
        model[0].named_transformers_["scale"], retrained[0].named_transformers_["scale"]
    )
    assert np.allclose(model.predict_proba(X), retrained.predict_proba(X), atol=0.02)


def test_steps_before_one_that_cannot_be_downdated_are_kept(wine):
    X, y = wine
    S, keep = split(y, 0.05)
    pipe = make_pipeline(
        StandardScaler(), PCA(5), FunctionTransformer(), make_pipeline(StandardScaler(), EXACT)
    )
    model = clone(pipe).fit(X, y)
    with pytest.warns(ErasureWarning, match="but not from standardscaler, pca"):
        unlearn(model, X[S], y[S], preprocessing="downdate")
    assert model[-1][-1].erasures_[0].kept_by == ("standardscaler", "pca")
    same_statistics(model[0], StandardScaler().fit(X))
    same_statistics(model[-1][0], StandardScaler().fit(model[:3].transform(X[keep])))


@pytest.mark.parametrize(
    "composite", [OneVsRestClassifier, OneVsOneClassifier, MultiOutputClassifier, ClassifierChain]
)
def test_many_models_after_one_scaler(wine, composite):
    X, y = wine
    labels = (
        np.column_stack([y == 0, y == 1]).astype(int)
        if "Multi" in composite.__name__ + "Multi"
        else y
    )
    labels = labels if composite in (MultiOutputClassifier, ClassifierChain) else y
    S, keep = split(y, 0.05)
    pipe = make_pipeline(StandardScaler(), composite(EXACT))
    model, retrained = clone(pipe).fit(X, labels), clone(pipe).fit(X[keep], labels[keep])
    unlearn(model, X[S], labels[S], preprocessing="downdate")
    same_statistics(model[0], retrained[0])
    for a, b in zip(erasable_models(model), erasable_models(retrained), strict=True):
        assert np.linalg.norm(a.coef_ - b.coef_) < 0.1 * np.linalg.norm(b.coef_)


def test_bagged_models_after_one_scaler(wine):
    X, y = wine
    S, keep = split(y, 0.02)
    pipe = make_pipeline(
        StandardScaler(), BaggingClassifier(EXACT, n_estimators=3, max_features=0.5, random_state=0)
    )
    model = clone(pipe).fit(X, y)
    original = model.predict_proba(X)
    unlearn(model, X[S], y[S], preprocessing="downdate", positions=S)
    same_statistics(model[0], StandardScaler().fit(X[keep]))
    assert np.abs(model.predict_proba(X) - original).max() < 0.2


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"structure": "diagonal"}, "structure='full'"),
        ({"structure": "low_rank"}, "structure='full'"),
        ({"structure": "block", "block_size": 5}, "without block_size"),
        ({"fit_intercept": False}, "with_mean=False"),
    ],
)
def test_structures_that_cannot_be_rescaled_are_refused_and_unchanged(wine, params, what):
    X, y = wine
    model = make_pipeline(StandardScaler(), clone(EXACT).set_params(**params)).fit(X, y)
    before = snapshot(model)
    with pytest.raises(ErasureError, match=what):
        unlearn(model, X[:3], y[:3], preprocessing="downdate")
    assert snapshot(model) == before
    scaled = make_pipeline(
        StandardScaler(with_mean=False), clone(EXACT).set_params(fit_intercept=False)
    ).fit(X, y)
    unlearn(scaled, X[:3], y[:3], preprocessing="downdate")
    same_statistics(scaled[0], StandardScaler(with_mean=False).fit(X[3:]))


def test_errors_change_nothing(wine):
    X, y = wine
    inner = MultiOutputClassifier(make_pipeline(PCA(3), EXACT))
    labels = np.column_stack([y == 0, y == 1]).astype(int)
    model = make_pipeline(StandardScaler(), inner).fit(X, labels)
    before = snapshot(model)
    with pytest.raises(ErasureError, match="Put the scaler after it"):
        unlearn(model, X[:3], labels[:3], preprocessing="downdate")
    assert snapshot(model) == before
    X = with_missing(X)
    X[10:, 3] = np.nan
    for first in (StandardScaler(), ErasableSimpleImputer()):
        model = make_pipeline(first, ErasableSimpleImputer(), EXACT).fit(X, y)
        before = snapshot(model)
        with pytest.raises(ErasureError, match="1 columns of"):
            unlearn(model, X[:10], y[:10], preprocessing="downdate")
        assert snapshot(model) == before


def moved_only(pipe, X, y, S):
    """The pipeline after a downdate with a step of nearly no length."""
    return unlearn(deepcopy(pipe), X[S], y[S], 1e-14, preprocessing="downdate")


@pytest.mark.parametrize(
    "branch", [StandardScaler(), make_pipeline(ErasableSimpleImputer(), StandardScaler())]
)
def test_weights_of_a_column_transformer(wine, branch):
    X, y = wine
    columns = ColumnTransformer(
        [("a", branch, [0, 1, 2]), ("b", StandardScaler(), [3, 4])], transformer_weights={"a": 10}
    )
    pipe = make_pipeline(columns, EXACT).fit(X, y)
    S, keep = split(y, 0.1)
    assert np.allclose(
        moved_only(pipe, X, y, S).decision_function(X), pipe.decision_function(X), rtol=0, atol=1e-9
    )
    erased = unlearn(deepcopy(pipe), X[S], y[S], preprocessing="downdate")
    retrained = clone(pipe).fit(X[keep], y[keep])
    assert parameter_distance(pipe, erased, retrained) < 0.2


def test_weights_of_a_column_transformer_before_a_scaler(wine):
    """Values that were filled in are weighted, too."""
    X, y = with_missing(wine[0][:, :4]), wine[1]
    S, keep = split(y, 0.1)
    columns = ColumnTransformer(
        [("a", ErasableSimpleImputer(), [0, 1]), ("b", ErasableSimpleImputer(), [2, 3])],
        transformer_weights={"a": 10},
    )
    pipe = make_pipeline(columns, StandardScaler(), EXACT).fit(X, y)
    unlearn(pipe, X[S], y[S], preprocessing="downdate")
    retrained = clone(pipe[:2]).fit(X[keep])
    assert np.allclose(pipe[1].mean_, retrained[1].mean_, rtol=1e-10)
    assert np.allclose(pipe[1].var_, retrained[1].var_, rtol=1e-9)


def test_whole_weights_are_distinguished_from_none(wine):
    X, y = wine
    w = np.random.default_rng(0).integers(1, 4, len(y)).astype(float)
    S, keep = split(y, 0.1)
    pipe, here, there = (
        make_pipeline(StandardScaler(), EXACT),
        "standardscaler__sample_weight",
        "erasablelogisticregression__sample_weight",
    )
    for given in ({here: w, there: w}, {there: w}, {here: w}):
        model = clone(pipe).fit(X, y, **given)
        for rows in (S[:3], S[3:]):
            unlearn(model, X[rows], y[rows], sample_weight=w[rows], preprocessing="downdate")
        scaler = StandardScaler().fit(X[keep], sample_weight=w[keep] if here in given else None)
        assert np.allclose(model[0].mean_, scaler.mean_, rtol=1e-12)
        assert np.allclose(model[0].var_, scaler.var_, rtol=1e-10)
        gone = sum(record.weight_erased for record in model[-1].erasures_)
        assert gone == (w[S].sum() if there in given else len(S))
    same = np.where(np.arange(len(y)) % 2, 0.5, 1.5)  # their sum is the number of rows
    model = clone(pipe).fit(X, y, **{there: same})
    with pytest.warns(ErasureWarning, match="taken to be fitted without"):
        unlearn(model, X[S], y[S], sample_weight=same[S], preprocessing="downdate")
    assert np.allclose(model[0].mean_, X[keep].mean(axis=0), rtol=1e-12)


def test_weights_of_a_scaler_are_found_beside_class_weights(wine):
    X, y = wine
    w = np.random.default_rng(0).integers(1, 3, len(y)).astype(float)
    given = {
        f"{name}__sample_weight": w for name in ("standardscaler", "erasablelogisticregression")
    }
    model = make_pipeline(
        StandardScaler(), clone(EXACT).set_params(class_weight={0: 1, 1: 10, 2: 1})
    ).fit(X, y, **given)
    first, S = np.flatnonzero(y == 0)[:10], np.flatnonzero(y > 0)[:3]
    unlearn(model, X[first], y[first], 1e-9, sample_weight=w[first])
    unlearn(model, X[S], y[S], 1e-9, sample_weight=w[S], preprocessing="downdate")
    assert model[0].n_samples_seen_ == w.sum() - w[S].sum()


def test_rows_that_a_net_held_out_are_no_weights(wine):
    X, y = wine
    pipe = make_pipeline(
        StandardScaler(),
        ErasableMLPClassifier((4,), max_iter=20, early_stopping=True, random_state=0),
    )
    pipe.fit(X, y)
    with pytest.warns(ErasureWarning, match="taken to be fitted without"):
        unlearn(pipe, X[:5], y[:5], 0.01, sample_weight=np.full(5, 2.0), preprocessing="downdate")
    assert pipe[0].n_samples_seen_ == len(y) - 5


def test_foreign_rows_are_refused(wine):
    X, y = wine
    pipe = make_pipeline(StandardScaler(), EXACT).fit(X, y)
    before = snapshot(pipe)
    with pytest.raises(
        ErasureError, match=r"must have been in its training data, got rows .* in 13 columns"
    ):
        unlearn(pipe, 100 * X[:3], y[:3], preprocessing="downdate")
    assert snapshot(pipe) == before


@pytest.mark.parametrize("size", [1e155, 1e200, 1e305])
def test_rows_whose_squares_overflow_are_refused_without_a_runtime_warning(wine, size):
    X, y = wine
    pipe = make_pipeline(StandardScaler(), EXACT).fit(X, y)
    before = snapshot(pipe)
    S = X[:3].copy()
    S[0, 4] = size
    with (
        warnings.catch_warnings(action="error", category=RuntimeWarning),
        pytest.raises(ErasureError, match="rows"),
    ):
        unlearn(pipe, S, y[:3], preprocessing="downdate")
    assert snapshot(pipe) == before


def test_added_rows_do_not_change_the_meaning_of_a_scalers_count(wine):
    """The count of a scaler that was fitted without weights is no weight after `learn`."""
    X, y = wine
    order = np.random.default_rng(0).permutation(len(y))
    rest, new = order[:-30], order[-30:]
    pipe = make_pipeline(StandardScaler(), EXACT).fit(X[rest], y[rest])
    with may_warn(REFRESH):
        learn(pipe, X[new], y[new])
    few = new[:2]
    with may_warn(REFRESH):
        learn(pipe, X[few], y[few], sample_weight=np.full(2, 3.0))
    assert pipe[-1].erasures_[-1].weight_added == 6.0


@pytest.mark.parametrize("preprocessing", ["keep", "downdate"])
def test_a_cross_fitted_encoder_is_warned_of(wine, preprocessing):
    X, y = wine[0].copy(), wine[1]
    X[:, 0] = np.arange(len(y)) % 5
    pipe = make_pipeline(
        make_column_transformer((TargetEncoder(), [0]), (StandardScaler(), [1])), EXACT
    ).fit(X, y)
    by_labels = "columntransformer encodes a row at fit by the labels of other rows"
    # With "downdate" a second warning names the encoder among the steps that keep the rows.
    with may_warn("The rows were erased"), pytest.warns(ErasureWarning, match=by_labels):
        unlearn(pipe, X[:5], y[:5], preprocessing=preprocessing)


def test_transformers_that_write_into_their_input(wine):
    X = with_missing(wine[0])
    y, given = wine[1], X.copy()
    S, keep = split(y, 0.1)
    pipe = make_pipeline(ErasableSimpleImputer(copy=False), StandardScaler(copy=False), EXACT).fit(
        X.copy(), y
    )
    preview_unlearn(pipe, given[S], y[S], preprocessing="downdate")
    rows = given[S]
    unlearn(pipe, rows, y[S], preprocessing="downdate")
    assert np.array_equal(rows, X[S], equal_nan=True)
    retrained = make_pipeline(ErasableSimpleImputer(), StandardScaler()).fit(X[keep])
    assert np.array_equal(pipe[0].n_samples_seen_, retrained[0].n_samples_seen_)
    assert np.allclose(pipe[1].mean_, retrained[1].mean_, rtol=1e-10)
    columns = ColumnTransformer([("scale", StandardScaler(copy=False), slice(0, 4))])
    pipe = make_pipeline(columns, EXACT).fit(wine[0].copy(), y)
    unlearn(pipe, wine[0][S].copy(), y[S], preprocessing="downdate")
    assert np.allclose(
        pipe[0].named_transformers_["scale"].mean_, wine[0][keep, :4].mean(axis=0), rtol=1e-12
    )


def test_a_column_by_its_position_remains_a_column(wine):
    pandas = pytest.importorskip("pandas")
    frame, y = pandas.DataFrame(wine[0][:, :3], columns=list("abc")), wine[1]
    lengths = FunctionTransformer(lambda column: column.astype(str).str.len().to_frame())
    columns = ColumnTransformer([("length", lengths, 0), ("scale", StandardScaler(), [1, 2])])
    pipe = unlearn(
        make_pipeline(columns, EXACT).fit(frame, y), frame[:9], y[:9], preprocessing="downdate"
    )
    assert np.allclose(pipe[0].named_transformers_["scale"].mean_, frame.iloc[9:, 1:].mean())


@pytest.mark.parametrize("columns", [["b"], [1], slice(1, 2), np.array([False, True, False])])
def test_frames_without_columns_that_are_dropped(wine, columns):
    pandas = pytest.importorskip("pandas")
    frame, y = pandas.DataFrame(wine[0][:, :3], columns=list("abc")), wine[1]
    pipe = make_pipeline(ColumnTransformer([("scale", StandardScaler(), columns)]), EXACT).fit(
        frame, y
    )
    unlearn(pipe, frame[["b"]].iloc[:9], y[:9], preprocessing="downdate")
    assert pipe[0].named_transformers_["scale"].mean_ == pytest.approx(frame["b"].iloc[9:].mean())


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_columns_and_rows_without_values(wine):
    X = with_missing(wine[0])
    X[:, 2], X[0], y = np.nan, np.nan, wine[1]
    w = np.ones(len(y))
    w[1:4] = 0.0
    pipe = make_pipeline(StandardScaler(), ErasableSimpleImputer(), EXACT)
    with np.errstate(all="ignore"):
        pipe.fit(X, y)
        retrained = StandardScaler().fit(X[1:])
    unlearn(pipe, X[:1], y[:1], preprocessing="downdate")
    assert np.allclose(pipe[0].var_, retrained.var_, equal_nan=True)
    assert np.isnan(pipe[0].var_[2])
    given = {
        f"{name}__sample_weight": w for name in ("standardscaler", "erasablelogisticregression")
    }
    pipe = make_pipeline(StandardScaler(), EXACT).fit(wine[0], y, **given)
    before = pipe[0].mean_.copy()
    with may_warn(NO_ROWS):
        unlearn(pipe, wine[0][1:4], y[1:4], sample_weight=w[1:4], preprocessing="downdate")
    assert np.array_equal(pipe[0].mean_, before)


def test_caches_inside_are_named(wine, tmp_path):
    X, y = wine
    inner = make_pipeline(StandardScaler(), memory=str(tmp_path))
    pipe = make_pipeline(inner, make_pipeline(StandardScaler(), EXACT, memory=str(tmp_path))).fit(
        X, y
    )
    kept = preview_unlearn(pipe, X[:3], y[:3]).kept_by
    assert {"pipeline-1__memory", "pipeline-2__memory"} <= set(kept)
