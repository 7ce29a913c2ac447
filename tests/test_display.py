"""Displays: the data they draw, the input they refuse, and the example that uses them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    GammaCurveDisplay,
    GammaScorer,
    TunedEpsilonCV,
    gamma_score,
    unlearn,
)
from sklearn_ssse.display import AccuracyGapDisplay, LeverageDisplay

plt = pytest.importorskip("matplotlib.pyplot", reason="pip install 'sklearn-ssse[plot]'")
plt.switch_backend("Agg")

X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)
SETS = ShuffleSplit(3, test_size=0.1, random_state=0)


@pytest.fixture(autouse=True)
def close_all_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def tuned():
    return TunedEpsilonCV(
        ErasableLogisticRegression(),
        epsilons=[3.0, "auto", 0.1, 0.5],
        cv=SETS,
        metric="probability",
    ).fit(X, Y)


def test_gamma_curve(tuned):
    display = GammaCurveDisplay.from_estimator(tuned)
    results = tuned.cv_results_
    curve, auto = display.ax_.lines[:2]
    assert np.array_equal(curve.get_xdata(), [0.1, 0.5, 3.0])
    assert np.allclose(curve.get_ydata(), results["mean_test_score"][[2, 3, 0]])
    assert np.allclose(auto.get_ydata(), results["mean_test_score"][1])
    assert np.allclose(
        display.ratio_ax_.lines[0].get_ydata(), results["mean_distance_ratio"][[2, 3, 0]]
    )
    assert display.ax_.get_xscale() == "log"
    assert display.figure_ is display.ax_.figure
    labels = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert len(set(labels)) == len(labels) == 7
    euclidean, _, hessian, _ = display.ratio_ax_.lines
    assert np.allclose(hessian.get_ydata(), results["mean_distance_ratio_hessian"][[2, 3, 0]])
    styles = {line.get_linestyle() for line in (curve, euclidean, hessian)}
    assert len(styles) == 3  # distinct without colour
    ax = plt.figure().gca()
    assert GammaCurveDisplay.from_cv_results(results, ax=ax).ax_ is ax
    assert display.plot() is display


@pytest.mark.parametrize("norm", ["euclidean", "hessian"])
def test_gamma_curve_with_one_norm(tuned, norm):
    display = GammaCurveDisplay.from_estimator(tuned, norm=norm)
    key = "mean_distance_ratio" if norm == "euclidean" else "mean_distance_ratio_hessian"
    curve, _ = display.ratio_ax_.lines
    assert np.allclose(curve.get_ydata(), tuned.cv_results_[key][[2, 3, 0]])
    with pytest.raises(ValueError, match="norm must be one of euclidean, hessian, both"):
        display.plot(norm="fisher")


def test_curve_of_a_grid_search(tuned):
    search = GridSearchCV(
        ErasableLogisticRegression(),
        {"unlearn_epsilon": [0.1, 0.5]},
        scoring=GammaScorer(X, Y, metric="probability"),
        cv=SETS,
    ).fit(X, Y)
    display = GammaCurveDisplay.from_estimator(search)
    assert display.ratio_ax_ is None
    assert np.allclose(
        display.gamma[:, 0], [tuned.cv_results_[f"split{i}_test_score"][2] for i in range(3)]
    )
    with pytest.raises(ValueError, match="TunedEpsilonCV"):
        AccuracyGapDisplay.from_estimator(search)
    with pytest.raises(ValueError, match="alone, got unlearn_epsilon, C"):
        GammaCurveDisplay.from_cv_results(search.cv_results_ | {"param_C": [1, 1]})
    with pytest.raises(ValueError, match="no parameter"):
        GammaCurveDisplay.from_cv_results({})


def test_curve_over_multiples(tuned):
    results = tuned.cv_results_ | {
        "param_unlearn_epsilon": ["2*auto", "auto", "0.5*auto", "3 * auto"]
    }
    display = GammaCurveDisplay.from_cv_results(results)
    curve = display.ax_.lines[0]
    assert np.array_equal(curve.get_xdata(), [0.5, 1.0, 2.0, 3.0])
    assert np.allclose(curve.get_ydata(), results["mean_test_score"][[2, 1, 0, 3]])
    assert display.ax_.get_xlabel() == 'eps as a multiple of "auto"'
    with pytest.raises(ValueError, match="got 2 numbers and 2 multiples"):
        GammaCurveDisplay.from_cv_results(
            results | {"param_unlearn_epsilon": ["2*auto", "auto", 0.5, 1.0]}
        )


def test_accuracy_gaps(tuned):
    display = AccuracyGapDisplay.from_estimator(tuned)
    assert np.allclose(display.forget.mean(axis=0), tuned.cv_results_["mean_forget_accuracy_gap"])
    assert np.allclose(
        display.ax_.lines[2].get_ydata(), tuned.cv_results_["mean_retain_accuracy_gap"][[2, 3, 0]]
    )


def test_leverage():
    clf = make_pipeline(StandardScaler(), ErasableLogisticRegression(C=100)).fit(X, Y)
    display = LeverageDisplay.from_estimator(clf, X, Y)
    P, p = clf[-1].curvature_.to_dense(), clf.predict_proba(X)[:, 1]
    R = (p - Y)[:, None] * np.hstack([clf[:-1].transform(X), np.ones((len(X), 1))])
    expected = np.einsum("ij,jk,ik->i", R, P, R)
    assert np.allclose(display.leverage, expected)
    order = np.argsort(-expected)
    assert display.dangerous_.tolist() == order[: (expected > 0.7).sum()].tolist()
    assert f"{display.dangerous_.size} rows" in display.ax_.texts[0].get_text()


def test_missing_matplotlib_is_named(tuned, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-ssse\[plot\]'"):
        GammaCurveDisplay.from_estimator(tuned)


def test_the_example_runs():
    example = Path(__file__).parents[1] / "examples" / "plot_which_eps.py"
    found = runpy.run_path(str(example))
    assert found["tuned"].best_score_ >= found["tuned"].cv_results_["mean_test_score"][0]
    assert set(found["search"].best_params_) == {
        f"clf__{p}" for p in ("curvature", "damping", "unlearn_epsilon")
    }
    X, y, pipe = found["X"], found["y"], found["pipe"]
    train, S = next(found["forget_sets"].split(X, y))
    models = [clone(pipe).fit(X, y), clone(pipe).fit(X, y), clone(pipe).fit(X[train], y[train])]
    unlearn(models[1], X[S], y[S], found["curve"].param_range[0])
    gamma = gamma_score(*models, X[S], y[S], metric="probability")
    assert found["curve"].test_scores[0, 0] == pytest.approx(gamma)
