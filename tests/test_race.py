"""The race of `examples/benchmarks`: its measures, its page and the packages that take part."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.preprocessing import scale

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "examples" / "benchmarks"
RESULTS = BENCHMARKS / "results" / "race.json"
NO_PANDAS = "pip install 'sklearn-ssse[test]'"
NO_PEERS = "pip install 'sklearn-ssse[benchmarks]' && pip install --no-deps pyDVL==0.10.0"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    """The scripts of the folder can be imported."""
    pytest.importorskip("pandas", reason=NO_PANDAS)
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def tiny(n_classes=2):
    X, y = make_classification(
        600, 6, n_informative=4, n_classes=n_classes, flip_y=0.2, random_state=0
    )
    return scale(X), y


@pytest.fixture(scope="module")
def race(tmp_path_factory):
    """Measures of every method that needs no package, at each size, on two and three classes."""
    pytest.importorskip("pandas", reason=NO_PANDAS)
    sys.path.insert(0, str(BENCHMARKS))
    import race as script
    import race_child
    from race_methods import methods
    from race_truth import Truth, write_task

    found = {}
    for n_classes in (2, 3):
        folder = tmp_path_factory.mktemp("race") / "task"
        X, y = tiny(n_classes)
        write_task("tiny", lambda X=X, y=y: (X[:500], X[500:], y[:500], y[500:]), folder)
        truth = Truth(folder)
        for i, (name, method) in enumerate(methods().items()):
            if hasattr(method, "package"):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # as in the script
                race_child.main(folder, name, folder / str(i))
            report = json.loads((folder / f"{i}.json").read_text())
            measures = script.measured(truth, folder / str(i), report)
            found[n_classes, name] = report, measures
    yield found
    sys.path.remove(str(BENCHMARKS))


def ratios(race, n_classes, name):
    """Distance ratios in both norms, by size."""
    return [(m["hessian"], m["euclidean"]) for m in race[n_classes, name][1].values()]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_doing_nothing_has_ratio_one_and_gamma_zero(race, n_classes):
    np.testing.assert_allclose(ratios(race, n_classes, "nothing"), 1, rtol=1e-9)
    assert all(m["gamma"] == 0 for m in race[n_classes, "nothing"][1].values())


@pytest.mark.parametrize("name", ["influence, dense", "certified removal, std 0"])
def test_newton_steps_are_close_to_retraining_for_few_rows(race, name):
    assert race[2, name][1]["10"]["hessian"] < 0.1


def test_the_methods_that_train_themselves_have_a_ratio_to_their_own_retraining(race):
    for n_classes in (2, 3):
        assert race[n_classes, "DeltaGrad"][0]["own"] < 0.5
    assert race[2, "certified removal, std 1"][0]["own"] < 0.5
    assert race[2, "ours, Fisher"][0]["own"] is None


def test_an_ensemble_has_gamma_but_no_distance(race):
    for measures in race[2, "SISA, 10 shards"][1].values():
        assert np.isnan(measures["hessian"])
        assert 0 <= measures["gamma"] <= 1


@pytest.mark.parametrize("name", ["retraining", "warm start"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_retraining_has_ratio_zero(race, n_classes, name):
    np.testing.assert_allclose(ratios(race, n_classes, name), 0, atol=1e-6)
    for measures in race[n_classes, name][1].values():
        assert measures["gamma"] > 1 - 1e-6
        assert measures["forget gap"] == 0
        assert measures["test gap"] == 0


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ours_is_closer_to_retraining_than_doing_nothing(race, n_classes):
    for name in ("ours, Fisher", "ours, second order"):
        assert np.max(ratios(race, n_classes, name)) < 0.5
        assert all(m["gamma"] > 0.5 for m in race[n_classes, name][1].values())


def test_every_method_is_measured_or_has_a_reason(race):
    for report, measures in race.values():
        assert len(measures) == len(report["erase"])
        assert len(measures) == 3 or report["left out"]
        if report["erase"]:
            assert report["prepare"] >= 0
            assert min(report["erase"].values()) >= 0


def test_the_norm_of_the_hessian_is_the_one_of_parameter_distance(tmp_path):
    from race_truth import Truth, write_task
    from sklearn.linear_model import LogisticRegression

    from sklearn_ssse import parameter_distance

    X, y = tiny(3)
    write_task("tiny", lambda: (X, X[:50], y, y[:50]), tmp_path)
    truth = Truth(tmp_path)
    theta = truth.original + np.random.default_rng(0).normal(0, 0.01, truth.original.shape)

    def fitted(parameters):
        model = LogisticRegression(C=1.0)
        model.classes_ = np.arange(3)
        model.coef_ = parameters[:, :-1]
        model.intercept_ = parameters[:, -1]
        return model

    keep = np.setdiff1d(np.arange(len(y)), truth.sets[10])
    models = [fitted(p) for p in (truth.original, theta, truth.retrained[10])]
    expected = parameter_distance(*models, X[keep], y[keep], norm="hessian")
    assert truth.ratios(10, theta)[1] == pytest.approx(expected, rel=1e-6)


def test_the_best_scale_recovers_a_step_of_the_wrong_length(tmp_path):
    from race_truth import Truth, write_task

    X, y = tiny()
    write_task("tiny", lambda: (X, X[:50], y, y[:50]), tmp_path)
    truth = Truth(tmp_path)
    need = truth.retrained[10] - truth.original
    euclidean, hessian, best = truth.ratios(10, truth.original + 5 * need)
    assert (euclidean, hessian) == pytest.approx((4, 4))
    assert best == pytest.approx(0, abs=1e-6)


def test_a_process_beyond_its_limit_is_left_out_with_the_reason(tmp_path):
    from race import run_method

    report = run_method("nothing", tmp_path, tmp_path / "0", 0.01)
    assert report["erase"] == {}
    assert all("longer than the limit" in reason for reason in report["left out"].values())


def test_the_page_has_the_stored_numbers():
    from race_page import BEGIN, END, PAGE, tables

    generated = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert generated.strip() == tables(json.loads(RESULTS.read_text())).strip()


def test_a_method_that_is_both_closer_and_faster_is_named():
    from race_page import verdict

    def method(seconds, ratio):
        measures = {"hessian": ratio, "euclidean": ratio, "gamma": 1.0}
        return {"erase": {"1": seconds}, "measures": {"1": measures}}

    rivals = {"slower": method(5.0, 0.01), "worse": method(0.1, 0.5)}
    fair = {"methods": {"ours": method(1.0, 0.1)} | rivals}
    assert '"ours": no method measured here is both closer and faster.' in verdict(fair)
    fair["methods"]["winner"] = method(0.1, 0.01)
    assert "**winner is both closer to retraining and faster** for 1 row." in verdict(fair)
    faster = "worse is faster than every method of this library for 1 row: 100 ms. Ratio 0.5, "
    assert faster + "beside 0.1 of the closest" in verdict(fair)
    fair["methods"]["twin"] = method(0.1, 0.101)
    assert '"ours": **twin is as close to retraining, and faster**, for 1 row.' in verdict(fair)


def test_a_task_that_was_measured_at_another_time_has_its_own_conditions():
    from race_page import machine, own_conditions

    results = json.loads(RESULTS.read_text())
    other = results["setting"] | {"date": "2020-02-02"}
    assert own_conditions({"setting": results["setting"]}, results) == ""
    assert own_conditions({"setting": other}, results).strip() == machine(other)


def test_the_quick_race_runs():
    command = [sys.executable, BENCHMARKS / "race.py", "--quick"]
    for name in ("nothing", "ours, Fisher", "pyDVL, Hessian"):
        command += ["--method", name]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert "| ours, Fisher |" in out.stdout
    assert "| pyDVL, Hessian |" in out.stdout or "pydvl is not installed: pip" in out.stdout


# The peers, if they are installed.


def peer(name):
    """A peer of the race and the shared model, on two classes."""
    from comparators import Retraining
    from race_methods import methods

    method = methods()[name]
    pytest.importorskip(method.package, reason=NO_PEERS)
    X, y = tiny()
    shared = Retraining().prepare(X, y)
    return method.prepare(X, y, theta=shared.theta), shared


def newton(shared, index):
    """The Newton step with the Hessian of all rows, divided by n - k instead of n."""
    hessian = shared.objective.hessian(shared.theta, shared.rows)
    gradient = shared.objective.loss_gradient(shared.theta, shared.rows.take(index)).ravel()
    n = len(shared.rows)
    return np.linalg.solve(hessian, gradient) * n / (n - len(index))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["pyDVL, Hessian", "curvlinops, Hessian", "pyinfluence"])
def test_the_hessian_of_a_peer_gives_the_newton_step(name):
    method, shared = peer(name)
    index = np.arange(10)
    step = (method.erase(index).theta - shared.theta).ravel()
    # pyDVL and curvlinops penalise the intercept, too: 1 / C beside n rows.
    np.testing.assert_allclose(step, newton(shared, index), rtol=0.05, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["curvlinops, Hessian", "curvlinops, empirical Fisher"])
def test_the_operators_of_curvlinops_equal_the_dense_matrices(name):
    method, shared = peer(name)
    theta, rows, n = shared.theta, shared.rows, len(shared.rows)
    dense = shared.objective.loss_hessian(theta, rows)
    if "Fisher" in name:
        gradients = (shared.objective.probabilities(theta, rows) - rows.Y) * rows.Z
        dense = gradients.T @ gradients
    operator = method.operator().to_scipy() @ np.eye(len(dense))
    np.testing.assert_allclose(operator, dense / n, atol=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_the_gauss_newton_matrix_of_pydvl_depends_on_the_batches():
    from comparators.peers import PyDVL

    pytest.importorskip("pydvl", reason=NO_PEERS)
    _, shared = peer("pyDVL, Gauss-Newton")
    X, y = tiny()
    steps = [
        PyDVL("Gauss-Newton", size).prepare(X, y, theta=shared.theta).erase([0]).theta
        - shared.theta
        for size in (50, 200)
    ]
    assert not np.isclose(*(np.linalg.norm(step) for step in steps), rtol=0.5)


@pytest.mark.filterwarnings("ignore")
def test_statsmodels_erases_one_row_of_the_model_without_a_penalty():
    from comparators import Retraining

    method, _ = peer("statsmodels GLM")
    X, y = tiny()
    free = Retraining().prepare(X, y, C=1e6)
    moved = free.copy().erase([3]).theta - free.theta
    step = method.copy().erase([3]).theta - method.theta
    assert np.linalg.norm(step - moved) < 0.1 * np.linalg.norm(moved)
    with pytest.raises(ValueError, match="must erase one row"):
        method.erase([4, 5])
