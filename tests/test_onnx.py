"""Export to ONNX: equal predictions, and the same file as for scikit-learn's own class."""

import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier, unlearn
from sklearn_ssse.onnx import register_converters

MODELS = {
    "linear": ErasableLogisticRegression(),
    "net": ErasableMLPClassifier((5,), max_iter=50, random_state=0, unlearn_epsilon=1.0),
}


@pytest.fixture
def export():
    """Outputs of the ONNX model of an estimator for rows, and its size."""
    skl2onnx = pytest.importorskip("skl2onnx", reason="pip install 'sklearn-ssse[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'sklearn-ssse[onnx]'")
    register_converters()

    def run(model, X):
        blob = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
        return *runtime.InferenceSession(blob).run(None, {"X": X}), len(blob)

    return run


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
@pytest.mark.parametrize("model", MODELS)
def test_after_an_erasure(real_data, export, model, name):
    X, y = real_data[name]
    X = X.astype(np.float32)
    pipe = make_pipeline(StandardScaler(), clone(MODELS[model])).fit(X, y)
    unlearn(pipe, X[:5], y[:5])
    for fitted in (pipe, pipe[-1], pipe[-1].to_plain()):
        labels, proba, _ = export(fitted, X)
        assert np.array_equal(labels, fitted.predict(X))
        assert np.abs(proba - fitted.predict_proba(X)).max() < 1e-5
    small = 50 + len(type(pipe[-1]).__name__)  # the name of the operator
    assert export(pipe[-1], X)[-1] < export(pipe[-1].to_plain(), X)[-1] + small


def test_outputs(real_data, export):
    X, y = real_data["wine"]
    X, Y = X.astype(np.float32), np.column_stack([y == 0, y > 1]).astype(int)
    outer = MultiOutputClassifier(ErasableLogisticRegression()).fit(X, Y)
    labels, proba, _ = export(outer, X)
    assert np.array_equal(labels, outer.predict(X))
    assert np.abs(proba - np.array(outer.predict_proba(X))).max() < 1e-5


def test_missing_skl2onnx_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn-ssse\[onnx\]'"):
        register_converters()
