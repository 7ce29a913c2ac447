"""Reports on an erasure: true numbers, honest findings, and no value of a row."""

import copy
import json
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    ErasureReportDisplay,
    gamma_score,
    parameter_distance,
    unlearn,
    verify_erasure,
)
from sklearn_ssse._cli import parser as command
from sklearn_ssse._verification.membership import attack_areas

N = 450
K = 30
EXACT = {"curvature": "fisher", "solver": "newton-cholesky", "tol": 1e-10}
NOTHING = "The parameters of the erased model equal the original's: nothing was erased."


@pytest.fixture(scope="module")
def rows():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


@pytest.fixture(scope="module")
def models(rows):
    X, y = rows
    original = ErasableLogisticRegression(**EXACT).fit(X[:N], y[:N])
    erased = clone(original).fit(X[:N], y[:N]).unlearn(X[:K], y[:K])
    return original, erased, clone(original).fit(X[K:N], y[K:N])


def parts(rows, *names):
    """Keyword arguments of `verify_erasure` for the named sets of rows."""
    X, y = rows
    slices = {"forget": slice(0, K), "retain": slice(K, N), "test": slice(N, None)}
    sides = {"X": X, "y": y}
    return {f"{side}_{n}": sides[side][slices[n]] for n in ("forget", *names) for side in sides}


@pytest.fixture(scope="module")
def report(rows, models):
    original, erased, retrained = models
    return verify_erasure(
        original, erased, **parts(rows, "retain", "test"), retrained=retrained, random_state=0
    )


def test_numbers_are_those_of_the_metrics(rows, models, report):
    X, y = rows
    by_probability = gamma_score(*models, X[:K], y[:K], metric="probability")
    assert report.gamma["probability"] == pytest.approx(by_probability)
    assert report.distance_ratio["euclidean"] == pytest.approx(parameter_distance(*models))
    hessian = parameter_distance(*models, X[K:N], y[K:N], norm="hessian")
    assert report.distance_ratio["hessian"] == pytest.approx(hessian)
    for name, model in zip(("original", "erased", "retrained"), models, strict=True):
        for part, chosen in (("forget", slice(0, K)), ("test", slice(N, None))):
            found = report.scores[name][part]
            assert found["accuracy"] == accuracy_score(y[chosen], model.predict(X[chosen]))
            loss = log_loss(y[chosen], model.predict_proba(X[chosen]), labels=[0, 1])
            assert found["log_loss"] == pytest.approx(loss)
    equal = np.mean(models[1].predict(X[N:]) == models[2].predict(X[N:]))
    assert report.agreement["erased"]["test"]["equal_labels"] == equal


def test_gradient_is_that_of_the_objective(rows, models, report):
    X, y = rows
    for name, model in zip(("original", "erased", "retrained"), models, strict=True):
        residual = model.predict_proba(X[K:N])[:, 1] - y[K:N]
        gradient = np.append(X[K:N].T @ residual + model.coef_[0] / model.C, residual.sum())
        expected = np.linalg.norm(gradient) / (N - K)
        assert report.gradient_left[name] == pytest.approx(expected, rel=1e-6, abs=1e-10)
    # At a minimum of all rows, the gradients of forget and of retained rows cancel.
    assert report.gradient_left["forget_rows"] == pytest.approx(
        report.gradient_left["original"], rel=1e-6
    )


def test_a_good_erasure_has_no_alarm(report):
    assert report.alarms == []
    assert report.distance_ratio["hessian"] < 0.5
    assert report.gradient_left["relative"] < 0.5
    assert report.feature_injection["ratio"] < 0.5
    assert report.feature_injection["before"] > 0.1
    assert set(report.not_computed) <= {"gamma_roc_auc"}
    assert "certificate" in str(report)


@pytest.mark.parametrize("given", [(), ("test",), ("retain",), ("retain", "test")])
@pytest.mark.parametrize("retrain", [False, True])
def test_an_erasure_that_was_not_made_is_found(rows, models, given, retrain):
    retrained = models[2] if retrain else None
    twin = clone(models[0]).fit(rows[0][:N], rows[1][:N])
    found = verify_erasure(models[0], twin, **parts(rows, *given), retrained=retrained)
    assert found.alarms == [NOTHING]


@pytest.mark.parametrize("given", [(), ("test",), ("retain",), ("retain", "test")])
@pytest.mark.parametrize("retrain", [False, True])
def test_a_step_of_the_wrong_sign_is_found(rows, models, given, retrain):
    original, erased, retrained = models
    wrong = clone(original).fit(rows[0][:N], rows[1][:N])
    wrong.coef_ = 2 * original.coef_ - erased.coef_
    wrong.intercept_ = 2 * original.intercept_ - erased.intercept_
    retrained = retrained if retrain else None
    found = verify_erasure(original, wrong, **parts(rows, *given), retrained=retrained)
    text = " ".join(found.alarms)
    assert "The log loss on the forget rows fell" in text
    assert ("The gradient on the retained rows grew" in text) == ("retain" in given)
    assert ("is farther from the retrained model" in text) == (retrain and "retain" in given)
    assert ("is farther from the retrained model" in " ".join(found.findings)) == retrain
    assert found.findings[: len(found.alarms)] == found.alarms


def test_a_solver_that_stops_early_raises_no_alarm(census):
    """With lbfgs and the default tol, the distance measures the solver more than the erasure."""
    X, y = census
    X = X[:8000]
    y = y[:8000]
    original, erased = (ErasableLogisticRegression(curvature="fisher").fit(X, y) for _ in range(2))
    erased.unlearn(X[:20], y[:20])
    found = verify_erasure(
        original, erased, X[:20], y[:20], X[20:], y[20:], retrained="fit", random_state=0
    )
    assert found.gradient_left["retrained"] > 0.1 * found.gradient_left["original"]
    assert found.alarms == []
    assert any("where the solver stopped" in sentence for sentence in found.findings)


def test_missing_inputs_are_listed(rows, models):
    found = verify_erasure(*models[:2], **parts(rows))
    assert set(found.not_computed) == {
        "retrained",
        "gamma_roc_auc",
        "gamma_probability",
        "distance_ratio_euclidean",
        "distance_ratio_hessian",
        "agreement",
        "gradient_left",
        "feature_injection",
        "scores_retain",
        "scores_test",
        "membership_inference",
    }
    assert verify_erasure(*models[:2], **parts(rows), retrained="fit").retrained is None


def test_wrong_arguments_are_refused(rows, models):
    original, erased, _ = models
    given = parts(rows)
    with pytest.raises(ErasureError, match="must be different objects"):
        verify_erasure(original, original, **given)
    with pytest.raises(ErasureError, match="X_test and y_test must be given together"):
        verify_erasure(original, erased, **given, X_test=rows[0])
    with pytest.raises(ErasureError, match="retrained must be"):
        verify_erasure(original, erased, **given, retrained="refit")
    with pytest.raises(ErasureError, match="Labels must be among"):
        verify_erasure(original, erased, given["X_forget"], given["y_forget"] + 7)
    with pytest.raises(ErasureError, match="features"):
        verify_erasure(original, erased, given["X_forget"][:, :3], given["y_forget"])


def test_weighted_models_are_listed(rows):
    X, y = rows
    weight = np.linspace(0.5, 2, N)
    original, erased = (
        ErasableLogisticRegression(**EXACT).fit(X[:N], y[:N], weight) for _ in range(2)
    )
    erased.unlearn(X[:K], y[:K], sample_weight=weight[:K])
    found = verify_erasure(original, erased, **parts(rows, "retain"), retrained="fit")
    for name in ("retrained", "gradient_left", "feature_injection"):
        assert "without sample weights" in found.not_computed[name]


def test_retraining_with_the_default_tolerance_raises_no_alarm(rows):
    """The loss of a well-predicted row falls a little if a solver stops elsewhere."""
    X, y = rows
    fell = 0
    plain = LogisticRegression()
    original = clone(plain).fit(X, y)
    for i in range(20):
        retrained = clone(plain).fit(np.delete(X, i, axis=0), np.delete(y, i))
        found = verify_erasure(original, retrained, X[i : i + 1], y[i : i + 1])
        fell += " fell " in " ".join(found.findings)
        assert found.alarms == []
    assert fell


def test_certified_erasures_raise_no_alarm(rows):
    """The perturbation is a part of the objective; another training has another one."""
    X, y = rows
    settings = {"C": 0.1, "curvature": "fisher", "certify": (1.0, 1e-5), "certify_std": 5.0}
    for _ in range(8):
        original = ErasableLogisticRegression(**settings).fit(X[:N], y[:N])
        before = copy.deepcopy(original)
        erased = original.unlearn(X[:5], y[:5])
        given = {"X_retain": X[5:N], "y_retain": y[5:N]}
        found = verify_erasure(before, erased, X[:5], y[:5], **given, retrained="fit")
        assert found.alarms == []
        assert found.gradient_left["relative"] < 0.2
        assert "perturbation" in found.not_computed["retrained"]
        assert "perturbation" in found.not_computed["feature_injection"]
        wrong = copy.deepcopy(before)
        wrong.coef_ = 2 * before.coef_ - erased.coef_
        assert verify_erasure(before, wrong, X[:5], y[:5], **given).alarms
    other = ErasableLogisticRegression(**settings).fit(X[5:N], y[5:N])
    found = verify_erasure(before, erased, X[:5], y[:5], **given, retrained=other)
    assert found.alarms == []
    assert found.distance_ratio == {"euclidean": None, "hessian": None}
    assert any("more than one result" in sentence for sentence in found.findings)


def test_balanced_class_weights(rows):
    """Retraining computes new class weights, which no erasure changes."""
    X, y = rows
    settings = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10}
    original = ErasableLogisticRegression(**settings, curvature="fisher").fit(X[:N], y[:N])
    one = np.flatnonzero(y[:N] == 0)[:10]
    rest = np.setdiff1d(np.arange(N), one)
    given = {"X_retain": X[rest], "y_retain": y[rest]}
    erased = clone(original).fit(X[:N], y[:N]).unlearn(X[one], y[one])
    found = verify_erasure(original, erased, X[one], y[one], **given, retrained="fit")
    assert found.alarms == []
    assert found.gradient_left["relative"] < 0.2
    assert any("class weights" in sentence for sentence in found.findings)
    plain = LogisticRegression(**settings)
    models = [clone(plain).fit(X[some], y[some]) for some in (slice(N), rest)]
    found = verify_erasure(*models, X[one], y[one], **given)
    assert "class_weight='balanced'" in found.not_computed["gradient_left"]


def test_parameters_that_json_has_not(rows):
    X, y = rows
    settings = {"curvature": "fisher", "max_iter": np.int64(200), "tol": np.float32(1e-4)}
    original = ErasableLogisticRegression(**settings).fit(X, y)
    erased = clone(original).fit(X, y).unlearn(X[:5], y[:5])
    found = verify_erasure(original, erased, X[:5], y[:5]).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["models"]["erased"]["max_iter"] == 200


def test_areas_and_intervals():
    rng = np.random.RandomState(0)
    members = np.round(rng.normal(0.5, 1, (2, 40)), 1)  # with ties
    others = np.round(rng.normal(0, 1, (2, 300)), 1)
    areas, samples = attack_areas(members, others, rng)
    target = np.repeat([1, 0], [40, 300])
    for j in range(2):
        expected = roc_auc_score(target, np.concatenate([members[j], others[j]]))
        assert areas[j] == pytest.approx(expected)
        draws = []
        for _ in range(300):
            one = rng.choice(members[j], 40)
            two = rng.choice(others[j], 300)
            draws.append(roc_auc_score(target, np.concatenate([one, two])))
        assert samples[:, j].mean() == pytest.approx(np.mean(draws), abs=0.01)
        assert samples[:, j].std() == pytest.approx(np.std(draws), rel=0.2)


def test_seed_of_the_intervals(rows, models, report):
    given = parts(rows, "retain", "test")
    again = verify_erasure(*models[:2], **given, retrained=models[2], random_state=0)
    assert again.membership_inference == report.membership_inference


def pipeline(X, y):
    return make_pipeline(StandardScaler(), ErasableLogisticRegression(**EXACT)).fit(X, y)


def search(X, y):
    model = ErasableLogisticRegression(**EXACT)
    return GridSearchCV(model, {"C": [0.1, 1.0]}, cv=2).fit(X, y)


def votes(X, y):
    members = [(str(c), ErasableLogisticRegression(C=c, **EXACT)) for c in (0.1, 1.0)]
    return VotingClassifier(members, voting="soft").fit(X, y)


def outputs(X, y):
    return MultiOutputClassifier(ErasableLogisticRegression(**EXACT)).fit(X, y)


@pytest.mark.parametrize("make", [pipeline, search, votes, outputs])
def test_composites(rows, make):
    X, y = rows
    if make is outputs:
        y = np.column_stack([y, X[:, 0] > 0])
    original = make(X[:N], y[:N])
    erased = unlearn(make(X[:N], y[:N]), X[:K], y[:K])
    given = parts((X, y), "retain", "test")
    found = verify_erasure(original, erased, **given, retrained="fit", random_state=0)
    ratios = {f"distance_ratio_{norm}" for norm in ("euclidean", "hessian")}
    # The scaler of the retrained pipeline has other columns.
    assert set(found.not_computed) - {"gamma_roc_auc"} == (ratios if make is pipeline else set())
    assert found.alarms == []
    assert found.gamma["probability"] > 0.5
    assert found.gradient_left["relative"] < 0.5
    assert found.feature_injection["ratio"] < 0.5
    assert make is pipeline or found.distance_ratio["hessian"] < 0.5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks(rows):
    X, y = rows
    net = ErasableMLPClassifier((4,), max_iter=60, random_state=0, curvature="fisher")
    original, erased = (clone(net).fit(X[:N], y[:N]) for _ in range(2))
    erased.unlearn(X[:K], y[:K])
    found = verify_erasure(original, erased, **parts(rows, "retain", "test"), retrained="fit")
    assert set(found.not_computed) <= {"gamma_roc_auc"}
    assert found.feature_injection["measure"] == "prediction"
    assert any("more than one result" in sentence for sentence in found.findings)


PLANTED = 76543.21875


def test_no_value_of_a_row_in_any_form(rows, tmp_path):
    pandas = pytest.importorskip("pandas")
    X, y = rows
    frame = pandas.DataFrame(X).add_prefix("secretcolumn")
    frame.iloc[0, 0] = PLANTED
    labels = np.where(y == 1, "secretlabel", "otherlabel")
    original = pipeline(frame[:N], labels[:N])
    erased = unlearn(pipeline(frame[:N], labels[:N]), frame[:K], labels[:K])
    given = parts((frame, labels), "retain", "test")
    found = verify_erasure(original, erased, **given, retrained="fit")
    found.save_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for text in (page, found._repr_html_(), str(found), repr(found), json.dumps(found.to_dict())):
        for secret in ("secretcolumn", "secretlabel", "otherlabel", "76543", "76,543"):
            assert secret not in text


def test_page_is_one_file_without_scripts(report):
    page = report._repr_html_()
    assert not re.search(r"<script|<link|<img|https?://|url\(|@import|\son\w+=", page)
    for name in ("prefers-color-scheme: dark", "@media print", "@media (max-width"):
        assert name in page
    assert "Membership inference" in page
    assert "NaN" not in page


def test_dict_is_json(report):
    found = report.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == "sklearn-ssse/erasure-report/1"
    assert found["time"].endswith("+00:00")
    assert found["n_rows"] == {"forget": K, "retain": N - K, "test": 569 - N}


@pytest.mark.parametrize("quantity", ["log_loss", "accuracy", "membership_inference"])
def test_display(report, rows, models, quantity):
    plt = pytest.importorskip("matplotlib.pyplot")
    display = ErasureReportDisplay.from_report(report, quantity=quantity)
    assert len(display.ax_.get_legend().get_texts()) == 3
    assert display.plot(display.ax_, quantity=quantity) is display
    plt.close(display.figure_)
    with pytest.raises(ValueError, match="quantity must be one of"):
        display.plot(quantity="other")
    less = verify_erasure(*models[:2], **parts(rows))
    if quantity == "membership_inference":
        with pytest.raises(ValueError, match="must hold membership_inference"):
            ErasureReportDisplay.from_report(less, quantity=quantity)


@pytest.fixture
def folder(rows, models, tmp_path, monkeypatch):
    """A folder with both models and the three files of rows."""
    pandas = pytest.importorskip("pandas")
    skops = pytest.importorskip("skops.io")
    monkeypatch.chdir(tmp_path)
    skops.dump(models[0], "model.skops")
    skops.dump(models[1], "erased.skops")
    X, y = rows
    frame = pandas.DataFrame(X).add_prefix("c").assign(income=y)
    for name, chosen in (("rows", slice(0, K)), ("retain", slice(K, N)), ("test", slice(N, None))):
        frame[chosen].to_csv(f"{name}.csv", index=False)
    return tmp_path


def run(*args):
    return command.main(["verify", *map(str, args)])


ROWS = ["--rows", "rows.csv", "--target", "income"]


def test_command(folder, capsys, report):
    files = ["--retain", "retain.csv", "--test", "test.csv", "--html", "r.html"]
    args = ["model.skops", "erased.skops", *ROWS, *files, "--retrain", "--record", "r.json"]
    assert run(*args) == 0
    assert "Report on an erasure" in capsys.readouterr().out
    record = json.loads((folder / "r.json").read_text())
    assert record["report"]["membership_inference"].keys() == report.scores.keys()
    assert record["report"]["gamma"]["probability"] == pytest.approx(
        report.gamma["probability"], abs=1e-3
    )
    assert record["erased_model"] == "erased.skops"
    assert len(record["erased_sha256"]) == 64
    assert (folder / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(SystemExit) as stop:
        run(*args)
    assert stop.value.code == 2
    assert run(*args, "--force") == 0


def test_command_ends_with_1_if_nothing_was_erased(folder, models, capsys):
    skops = pytest.importorskip("skops.io")
    skops.dump(models[0], "said.skops")
    assert run("model.skops", "said.skops", *ROWS, "--html", "r.html") == 1
    assert NOTHING in capsys.readouterr().out
    assert "Failure:" in (folder / "r.html").read_text()
    assert run("model.skops", "no.skops", *ROWS) == 1
    assert "no.skops" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["model.skops", "erased.skops", *ROWS, "--retrain"],
        ["model.skops", "model.skops", *ROWS],
        ["model.skops", "erased.skops", *ROWS, "--html", "rows.csv", "--force"],
        ["model.skops", "erased.skops", *ROWS, "--html", "a", "--record", "a"],
        ["model.skops", "erased.skops", *ROWS, "--html", "nowhere/a"],
        ["model.skops", *ROWS],
    ],
)
def test_wrong_commands(folder, wrong):
    with pytest.raises(SystemExit) as stop:
        run(*wrong)
    assert stop.value.code == 2


def test_a_step_that_refuses_rows_is_named():
    """An encoder that has not seen a category; the category is not quoted."""
    rng = np.random.default_rng(0)
    X = rng.choice(["a", "b"], (80, 1)).astype(object)
    y = rng.integers(0, 2, 80)
    pipe = make_pipeline(OneHotEncoder(), ErasableLogisticRegression(curvature="fisher")).fit(X, y)
    erased = unlearn(copy.deepcopy(pipe), X[:5], y[:5])
    X[0, 0] = "planted"
    with pytest.raises(ErasureError, match=r"onehotencoder.* must hold categories that were seen"):
        verify_erasure(pipe, erased, X[:5], y[:5])
