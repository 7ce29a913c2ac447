"""attribute_auc against roc_auc_score, and its conventions."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import attribute_auc
from sklearn_ssse.metrics import attribute_auc as public

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
THREE = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + RNG.normal(size=120), [-0.5, 0.7])]
LABELS = (X[:, :2] + RNG.normal(size=(120, 2)) > 0).astype(int)


def test_one_output():
    binary = np.where(THREE == "c", "yes", "no")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, binary)
    expected = roc_auc_score(binary == "yes", model.decision_function(X))
    assert attribute_auc(model, X, binary) == pytest.approx([expected])
    model = LogisticRegression().fit(X, THREE)
    expected = roc_auc_score(THREE, model.predict_proba(X), multi_class="ovr", average=None)
    assert attribute_auc(model, X, THREE) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_outputs():
    assert public is attribute_auc
    model = MultiOutputClassifier(LogisticRegression()).fit(X, LABELS)
    p = np.column_stack([q[:, 1] for q in model.predict_proba(X)])
    assert attribute_auc(model, X, LABELS) == pytest.approx(roc_auc_score(LABELS, p, average=None))
    net = MLPClassifier((4,), max_iter=20, random_state=0).fit(X, LABELS)
    expected = roc_auc_score(LABELS, net.predict_proba(X), average=None)
    assert attribute_auc(net, X, LABELS) == pytest.approx(expected)
    assert attribute_auc(net, X, LABELS.tolist()) == pytest.approx(expected)


def test_areas_that_are_not_defined_are_zero():
    model = LogisticRegression().fit(X, THREE)
    rows = THREE != "b"
    area = attribute_auc(model, X[rows], THREE[rows])
    assert area[1] == 0.0
    proba = model.predict_proba(X[rows])
    expected = [roc_auc_score(THREE[rows] == c, proba[:, i]) for i, c in ((0, "a"), (2, "c"))]
    assert area[[0, 2]] == pytest.approx(expected)


def test_classes_that_the_model_lacks():
    rows = THREE != "b"
    model = LogisticRegression().fit(X[rows], THREE[rows])
    area = attribute_auc(model, X, THREE, classes=np.unique(THREE))
    assert area[1] == 0.5
    assert len(attribute_auc(model, X[rows], THREE[rows])) == 1


def test_wrong_arguments_are_refused():
    model = LogisticRegression().fit(X, THREE)
    with pytest.raises(ValueError, match="labels of 2 attributes for predictions of 3"):
        attribute_auc(model, X, LABELS)
    assert attribute_auc(model, X, THREE[:, np.newaxis]).shape == (3,)
    with pytest.raises(ValueError, match="120"):
        attribute_auc(model, X, THREE[:5])
