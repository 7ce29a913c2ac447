"""Progress through scikit-learn's callbacks (from 1.9 on), and `verbose`."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, TunedEpsilonCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def data():
    return make_classification(
        300, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.3, random_state=0
    )


class Recorder:
    """A callback that stores the names of the tasks that the library itself reports."""

    max_propagation_depth = 0

    def __init__(self):
        self.begun, self.ended, self.open = [], [], 0

    def setup(self, estimator, context):
        self.open += 1

    def teardown(self, estimator, context):
        self.open -= 1

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.begun.append((context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None):
        self.ended.append((context.estimator_name, context.task_name))


class Propagated(Recorder):
    max_propagation_depth = None


def with_callbacks(estimator, recorder):
    if not hasattr(estimator, "set_callbacks"):
        pytest.skip("callbacks need scikit-learn 1.9")
    return estimator.set_callbacks(recorder)


@pytest.mark.parametrize("structure", ["full", "block", "diagonal", "low_rank"])
@pytest.mark.parametrize(
    "model",
    [
        ErasableLogisticRegression(),
        ErasableMLPClassifier((4,), solver="lbfgs", max_iter=20, random_state=0),
    ],
)
def test_the_curvature_reports_every_pass(data, model, structure, monkeypatch):
    monkeypatch.setattr("sklearn_ssse._erasure.fit_curvature.LONG_WORK", 0)
    model = model.__class__(**model.get_params() | {"structure": structure})
    silent, recorder = model.__class__(**model.get_params()).fit(*data), Recorder()
    with_callbacks(model, recorder).fit(*data)
    assert recorder.open == 0
    assert sorted(recorder.begun) == sorted(recorder.ended)
    tasks = [name for _, name in recorder.begun]
    tasks = tasks[tasks.index("curvature") :]
    assert tasks[:3] == ["curvature", "inverse", "rows"]
    assert tasks[-1] == "calibration"
    assert np.array_equal(model.fisher_inverse_, silent.fisher_inverse_)
    again = len(recorder.begun)
    model.fit_curvature(*data)
    assert [name for _, name in recorder.begun[again:]] == tasks


def test_a_chunk_is_a_part_of_its_pass(data, monkeypatch):
    """One part for each chunk, without its rows."""
    monkeypatch.setattr("sklearn_ssse._erasure.fit_curvature.LONG_WORK", 0)
    X, y = (np.concatenate([part] * 4) for part in data)  # 1,200 rows
    monkeypatch.setattr("sklearn_ssse._families.linear.CHUNK_BYTES", 8 * 6 * 100)
    recorder = Recorder()
    with_callbacks(ErasableLogisticRegression(structure="diagonal"), recorder).fit(X, y)
    assert [name for _, name in recorder.begun].count("rows") == 1 + 12
    assert [name for _, name in recorder.begun].count("inverse") == 1


def test_short_work_is_silent(data):
    recorder = Recorder()
    with_callbacks(ErasableLogisticRegression(structure="diagonal"), recorder).fit(*data)
    assert "curvature" not in [name for _, name in recorder.begun]


def test_a_failed_build_ends_the_report(data, monkeypatch):
    monkeypatch.setattr("sklearn_ssse._erasure.fit_curvature.LONG_WORK", 0)
    monkeypatch.setattr(ErasableLogisticRegression, "_calibrate", lambda *args: 1 / 0)
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        with_callbacks(ErasableLogisticRegression(), recorder).fit(*data)
    assert recorder.open == 0


def test_a_failed_fit_ends_the_report(data):
    recorder = Recorder()
    model = with_callbacks(ErasableLogisticRegression(device="cpu", backend="numba"), recorder)
    with pytest.raises(ValueError, match="device"):
        model.fit(*data)
    assert recorder.open == 0


def test_a_search_reports_its_sets(data, monkeypatch):
    monkeypatch.setattr("sklearn_ssse._erasure.fit_curvature.LONG_WORK", 0)
    tuned = TunedEpsilonCV(
        make_pipeline(StandardScaler(), ErasableLogisticRegression()),
        epsilons=[1.0],
        cv=ShuffleSplit(3, test_size=0.1, random_state=0),
        metric="probability",
    )
    own, all_levels = Recorder(), Propagated()
    with_callbacks(tuned, own).fit(*data)
    tasks = ["all rows", "forget set 0", "forget set 1", "forget set 2"]
    assert [name for _, name in own.begun if _ == "TunedEpsilonCV"] == ["fit", *tasks]
    assert [name for _, name in own.ended if _ == "TunedEpsilonCV"] == [*tasks, "fit"]
    tuned.set_callbacks(all_levels).fit(*data)
    assert ("ErasableLogisticRegression", "curvature") in all_levels.begun
    assert all_levels.open == 0


@pytest.mark.parametrize(
    ("model", "parent"),
    [
        (
            ErasableLogisticRegression(verbose=1, max_iter=5),
            LogisticRegression(verbose=1, max_iter=5),
        ),
        (
            ErasableMLPClassifier((4,), verbose=True, max_iter=5, random_state=0),
            MLPClassifier((4,), verbose=True, max_iter=5, random_state=0),
        ),
    ],
)
def test_verbose_is_the_parents(data, model, parent, capfd):
    parent.fit(*data)
    expected = capfd.readouterr().out
    model.fit(*data)
    assert capfd.readouterr().out == expected
