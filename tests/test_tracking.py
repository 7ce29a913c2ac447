"""Tracked rows: with ``track_rows=True`` a model erases a training row once, and no other row."""

import copy
import json
import pickle
import re
import struct
import warnings

import joblib
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import (
    check_dict_unchanged,
    check_estimators_overwrite_params,
    check_estimators_pickle,
    check_fit_idempotent,
)

import sklearn_ssse
from sklearn_ssse import (
    ErasableLogisticRegression,
    ErasableMLPClassifier,
    ErasureError,
    preview_rectify,
    preview_unlearn,
    rectify,
    refresh,
    unlearn,
)
from sklearn_ssse._cli import parser as command
from sklearn_ssse._composites import erasable_models
from sklearn_ssse._erasure import tracking
from sklearn_ssse._erasure.tracking import TrackedRows
from tests.check_erasable import snapshot
from tests.warned import DAMPED, LONG_STEP, PREFIT, REFRESH, STALE, may_warn

UNKNOWN = "Every row to erase must be a training row that the model still holds"
COMMON_CHECKS = [
    check_dict_unchanged,
    check_estimators_overwrite_params,
    check_estimators_pickle,
    check_fit_idempotent,
]
ANY = (DAMPED, LONG_STEP, PREFIT, REFRESH, STALE)


def logistic(**params):
    params = {"curvature": "fisher", "budget": None, **params}
    return ErasableLogisticRegression(track_rows=True, **params)


def cancer(n=None):
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:n], y[:n]


def tracked(model):
    return model._erasure_state.tracked


def holds(model, X, codes, weight=None):
    """Whether a model tracks these rows and no others."""
    own = tracked(model)
    digests = tracking._digests(own.key, X, codes, weight)[0]
    distinct, counts = np.unique(digests, return_counts=True)
    return np.array_equal(own.digests, distinct) and np.array_equal(own.counts, counts)


def refused_at(call, *args, **options):
    """The positions that the error of a call names."""
    with may_warn(*ANY), pytest.raises(ErasureError, match=UNKNOWN) as error:
        call(*args, **options)
    (listed,) = re.findall("at the positions (.*?) of the call", str(error.value))
    return [int(number) for number in re.findall(r"\d+", listed.split(" and ")[0])]


def refusal(call, *args):
    """The message of the error of a call; empty if it succeeds."""
    try:
        with may_warn(*ANY):
            call(*args)
    except ErasureError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def fitted():
    X, y = cancer()
    return logistic().fit(X, y), X, y


class TestOneModel:
    @pytest.fixture
    def model(self, fitted):
        return copy.deepcopy(fitted[0])

    def test_600_of_600_second_erasures_are_refused(self):
        """Without tracked rows, nearly all of them pass: `bench_tracking.py` counts 596."""
        X, y = cancer()
        X = np.vstack([X, X[:31] + 1e-3])
        y = np.concatenate([y, y[:31]])
        model = logistic().fit(X, y)
        refused = 0
        for i in range(600):
            row = slice(i, i + 1)
            once = copy.copy(model)
            with may_warn(*ANY):
                once.unlearn(X[row], y[row])
                assert once.n_samples_remaining_ == 599
                refused += refused_at(once.unlearn, X[row], y[row]) == [0]
        assert refused == 600

    def test_untracked_by_default(self, fitted):
        _, X, y = fitted
        model = ErasableLogisticRegression(curvature="fisher").fit(X, y)
        assert tracked(model) is None
        model.unlearn(X[:1], y[:1]).unlearn(X[:1], y[:1])

    @pytest.mark.parametrize("change", ["value", "label", "both columns"])
    def test_a_row_that_was_never_there(self, model, fitted, change):
        _, X, y = fitted
        other = X[20:40].copy()
        labels = y[20:40].copy()
        if change == "value":
            other[3, 7] *= 1 + 1e-6
        elif change == "label":
            labels[3] = 1 - labels[3]
        else:
            other[3, [0, 1]] = other[3, [1, 0]]
        before = snapshot(model)
        assert refused_at(model.unlearn, other, labels) == [3]
        assert refused_at(model.preview_unlearn, other, labels) == [3]
        assert snapshot(model) == before

    def test_the_message_names_positions_and_no_value(self, model, fitted):
        _, X, y = fitted
        other = X[:30].copy()
        other[4:14] += 0.125
        with pytest.raises(ErasureError) as error:
            model.unlearn(other, y[:30])
        message = str(error.value)
        assert "got 10 of 30" in message
        assert "at the positions 4, 5, 6, 7, 8 and 5 more of the call, counted from 0" in message
        assert "sample weight" in message
        assert not any(f"{value:.4g}" in message for value in other[4])

    def test_order_does_not_matter_and_digests_are_removed(self, model, fitted):
        _, X, y = fitted
        other = copy.copy(model)
        model.unlearn(X[:20], y[:20])
        other.unlearn(X[:20][::-1], y[:20][::-1])
        assert holds(model, X[20:], y[20:])
        assert holds(other, X[20:], y[20:])

    def test_duplicates_are_counted(self, fitted):
        _, X, y = fitted
        X = np.vstack([X, X[:1], X[:1]])
        y = np.concatenate([y, y[:1], y[:1]])
        model = logistic().fit(X, y)
        assert refused_at(model.unlearn, X[[5, 0, 0, 0, 0]], y[[5, 0, 0, 0, 0]]) == [4]
        model.unlearn(X[[0, 0]], y[[0, 0]])
        assert holds(model, X[1:-2], y[1:-2]) is False
        model.unlearn(X[:1], y[:1])
        assert holds(model, X[1:-2], y[1:-2])
        assert refused_at(model.unlearn, X[:1], y[:1]) == [0]

    def test_learn_and_rectify(self, fitted):
        _, X, y = fitted
        model = logistic().fit(X[10:], y[10:])
        assert refused_at(model.unlearn, X[:10], y[:10]) == [0, 1, 2, 3, 4]
        model.learn(X[:10], y[:10])
        assert holds(model, X, y)
        model.unlearn(X[:10], y[:10])
        assert holds(model, X[10:], y[10:])
        assert refused_at(model.unlearn, X[:10], y[:10]) == [0, 1, 2, 3, 4]
        wrong = X[10:20] + 0.01
        assert refused_at(model.rectify, wrong, y[10:20], X[10:20], y[10:20]) == [0, 1, 2, 3, 4]
        model.rectify(X[10:20], y[10:20], wrong, y[10:20])
        assert holds(model, np.vstack([wrong, X[20:]]), y[10:])
        model.learn(wrong[:1], y[10:11]).unlearn(wrong[[0, 0]], y[[10, 10]])
        assert refused_at(model.preview_rectify, wrong[:1], y[10:11], X[:1], y[:1]) == [0]

    def test_unlearn_learn_unlearn(self, model, fitted):
        _, X, y = fitted
        model.unlearn(X[:5], y[:5]).learn(X[:5], y[:5]).unlearn(X[:5], y[:5])
        assert holds(model, X[5:], y[5:])

    def test_weights(self):
        X, y = cancer(200)
        weight = np.tile([0.0, 1.0, 2.0, 0.5], 50)
        model = logistic(class_weight="balanced").fit(X, y, weight)
        assert tracked(model).n_rows == model.n_samples_remaining_ == 150
        wrong = weight[:8].copy()
        wrong[[2, 4]] = [1.0, 0.5]  # another weight, and a row that had weight 0
        assert refused_at(model.unlearn, X[:8], y[:8], sample_weight=wrong) == [2, 4]
        with may_warn("Rows need weights"):
            model.unlearn(X[1:2], y[1:2])  # without a weight, a row has weight 1
            assert refused_at(model.unlearn, X[2:3], y[2:3]) == [0]
        model.unlearn(X[2:8], y[2:8], sample_weight=weight[2:8])
        assert holds(model, X[8:], y[8:], weight[8:])

    def test_fit_curvature_and_refresh_draw_a_new_key(self, model, fitted):
        _, X, y = fitted
        keys = {tracked(model).key}
        model.unlearn(X[:5], y[:5])
        assert tracked(model).key in keys
        for compute in (model.fit_curvature, model.refresh):
            compute(X[5:], y[5:])
            assert holds(model, X[5:], y[5:])
            keys.add(tracked(model).key)
        assert len(keys) == 3
        model.set_params(track_rows=False).refresh(X[5:], y[5:])
        assert tracked(model) is None

    def test_from_estimator(self, fitted):
        _, X, y = fitted
        plain = LogisticRegression().fit(X, y)
        model = ErasableLogisticRegression.from_estimator(
            plain, X, y, curvature="fisher", track_rows=True
        )
        model.unlearn(X[:5], y[:5])
        assert refused_at(model.unlearn, X[4:6], y[4:6]) == [0]
        assert not hasattr(model.to_plain(), "_erasure_state")

    def test_an_error_leaves_the_digests(self, model, fitted, monkeypatch):
        _, X, y = fitted
        monkeypatch.setattr(type(model.curvature_), "without", None)
        with pytest.raises(TypeError):
            model.unlearn(X[:5], y[:5])
        assert holds(model, X, y)


class TestForms:
    """The same rows in another form have the same digests."""

    def test_sparse_and_dense(self):
        X, y = cancer(150)
        X[abs(X) < 0.5] = 0.0
        model = logistic().fit(sparse.csr_matrix(X), y)
        signed = X[:20].copy()
        signed[signed == 0] = -0.0
        model.unlearn(signed[:10], y[:10])
        explicit = sparse.csr_matrix(
            (X[10:20].ravel(), np.tile(np.arange(30), 10), np.arange(0, 301, 30)), shape=(10, 30)
        )
        assert explicit.nnz == 300
        model.unlearn(explicit, y[10:20])
        assert holds(model, X[20:], y[20:])
        dense = logistic().fit(X, y).unlearn(sparse.csr_array(X[:10]), y[:10])
        assert holds(dense, sparse.csr_matrix(X[10:]), y[10:])

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, int])
    def test_types_of_numbers(self, dtype):
        X, y = cancer(150)
        X = (4 * X).astype(dtype)
        model = logistic().fit(X, y).unlearn(X[:5], y[:5])
        model.unlearn(X[5:10].astype(np.float64), y[5:10])
        model.unlearn(X[10:15].tolist(), y[10:15].tolist())
        assert refused_at(model.unlearn, X[14:15], y[14:15]) == [0]

    def test_labels_of_any_type(self):
        X, y = load_iris(return_X_y=True)
        names = np.array(["a", "b", "ä"], dtype=object)[y]
        model = logistic(max_iter=500).fit(X, names)
        assert refused_at(model.unlearn, X[49:52], names[[49, 51, 0]]) == [2]
        model.unlearn(X[49:52], names[49:52].tolist())
        assert holds(model, np.delete(X, [49, 50, 51], 0), np.delete(y, [49, 50, 51]))

    def test_multilabel_network(self):
        X, y = cancer(200)
        Y = np.column_stack([y, X[:, 0] > 0, X[:, 1] > 0]).astype(int)
        net = ErasableMLPClassifier((4,), solver="lbfgs", random_state=0, track_rows=True)
        net.fit(X, Y)
        assert refused_at(net.unlearn, X[:3], 1 - Y[:3]) == [0, 1, 2]
        with may_warn(*ANY):
            net.unlearn(X[:3], Y[:3])
        assert holds(net, X[3:], Y[3:])

    def test_early_stopping(self):
        """Rows that were held out were not trained on."""
        X, y = cancer()
        net = ErasableMLPClassifier((4,), early_stopping=True, random_state=0, track_rows=True)
        net.fit(X, y)
        assert tracked(net).n_rows == net.n_samples_remaining_ == 512
        messages = [refusal(net.preview_unlearn, X[i : i + 1], y[i : i + 1]) for i in range(569)]
        refused = [message for message in messages if message]
        assert len(refused) == 57
        assert all("early stopping held out" in message for message in refused)

    @pytest.mark.parametrize("svd_solver", ["full", "covariance_eigh"])
    def test_a_projection_with_other_last_bits(self, svd_solver):
        X, y = load_breast_cancer(return_X_y=True)
        pca = PCA(svd_solver=svd_solver)
        pipe = make_pipeline(StandardScaler(), pca, logistic()).fit(X, y)
        fitted = pca.fit_transform(pipe[0].transform(X))
        assert not np.array_equal(fitted[:1], pipe[:2].transform(X[:1]))
        for i in range(0, 569, 7):
            preview_unlearn(pipe, X[i : i + 1], y[i : i + 1])
        with may_warn(*ANY):
            unlearn(pipe, X[:20], y[:20])
        assert refused_at(unlearn, pipe, X[:1], y[:1]) == [0]


class TestRounding:
    """The digests of rows that differ by rounding errors, and of rows that differ by more."""

    @pytest.mark.parametrize("kind", ["random", "halves", "powers of two"])
    def test_errors_of_a_projection_are_tolerated(self, kind):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 20)) * 10.0 ** rng.integers(-3, 4, 20)
        if kind == "halves":  # each value lies between two integers of the rounding
            X = (rng.integers(-(2**20), 2**20, X.shape) + 0.5) * 2.0**-30
            X[:, 0] = 0.75
            X = X[:, :6]
        elif kind == "powers of two":
            X = 2.0 ** rng.integers(-3, 4, X.shape)
        codes = np.zeros(300, dtype=int)
        own = TrackedRows.of(X, codes, None)
        noise = 2.0**-44 * abs(X).max(axis=1, keepdims=True)
        own.without(X + noise * rng.uniform(-1, 1, X.shape), codes, None)

    def test_other_rows_are_told_apart(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(300, 20))
        codes = np.zeros(300, dtype=int)
        own = TrackedRows.of(X, codes, None)
        other = X.copy()
        other[np.arange(300), rng.integers(0, 20, 300)] += 2.0**-28 * abs(X).max(axis=1)
        with pytest.raises(ErasureError, match="got 300 of 300"):
            own.without(other, codes, None)

    def test_multiples_of_a_row_are_told_apart(self):
        X = np.random.default_rng(0).normal(size=(300, 20))
        codes = np.zeros(300, dtype=int)
        own = TrackedRows.of(X, codes, None)
        with pytest.raises(ErasureError, match="got 300 of 300"):
            own.without(2 * X, codes, None)

    def test_the_digests_depend_on_the_key(self):
        X = np.random.default_rng(0).normal(size=(300, 20))
        codes = np.zeros(300, dtype=int)
        one, other = (TrackedRows.of(X, codes, None).digests for _ in range(2))
        assert not np.intersect1d(one, other).size

    def test_chunks_and_extreme_rows(self, monkeypatch):
        X = np.vstack([np.zeros(4), np.full(4, 1e308), np.full(4, 1e-200), np.eye(4), -np.eye(4)])
        codes = np.arange(11) % 2
        whole = TrackedRows.of(X, codes, None)
        assert whole.n_rows == len(whole.digests) == 11
        monkeypatch.setattr(tracking, "CHUNK_NUMBERS", 9)
        for form in (X, sparse.csr_matrix(X)):
            emptied = whole.without(form, codes, None)
            assert emptied.n_rows == 0
            again = emptied.with_added(form, codes, None)
            assert np.array_equal(again.digests, whole.digests)


def outputs(y):
    return np.column_stack([y, 1 - y, np.arange(len(y)) % 2])


VOTES = [("a", logistic()), ("b", logistic(C=0.1))]
# Name: the composite, its labels, and its options for the first 20 rows.
COMPOSITES = {
    "multi-output": (MultiOutputClassifier(logistic(order=1)), outputs, {}),
    "multi-output, second order": (MultiOutputClassifier(logistic(order=2)), outputs, {}),
    "one against the rest": (OneVsRestClassifier(logistic()), None, {}),
    "one against one": (OneVsOneClassifier(logistic()), None, {}),
    "chain": (ClassifierChain(logistic()), outputs, {}),
    "votes": (VotingClassifier(VOTES), None, {}),
    "bagging": (
        BaggingClassifier(logistic(max_iter=500), n_estimators=4, random_state=0),
        None,
        {"positions": np.arange(20)},
    ),
    "search": (GridSearchCV(logistic(max_iter=500), {"C": [0.1, 1.0]}, cv=2), None, {}),
    "pipeline": (make_pipeline(StandardScaler(), logistic()), None, {}),
}


class TestComposites:
    @pytest.mark.parametrize("name", COMPOSITES)
    def test_once_and_never_twice(self, name):
        model, labels, options = COMPOSITES[name]
        X, y = load_iris(return_X_y=True)
        order = np.random.default_rng(0).permutation(150)
        X = X[order] + 1e-3 * np.arange(150)[:, np.newaxis]
        y = y[order] if labels is None else labels((y[order] > 0).astype(int))
        model = clone(model).fit(X, y)
        with may_warn(*ANY):
            unlearn(model, X[:10], y[:10], **_first(options, slice(0, 10)))
        before = [tracked(part) for part in erasable_models(model)]
        again = np.array([12, 3, 13, 4, 14])
        where = refused_at(unlearn, model, X[again], y[again], **_first(options, again))
        assert where
        assert set(where) <= {1, 3}
        assert [tracked(part) for part in erasable_models(model)] == before
        assert refused_at(preview_unlearn, model, X[again], y[again], **_first(options, again))
        if name != "bagging":
            assert refused_at(rectify, model, X[again], y[again], X[again] + 0.1, y[again]) == where
            assert (
                refused_at(preview_rectify, model, X[again], y[again], X[again], y[again]) == where
            )
        with may_warn(*ANY):
            unlearn(model, X[10:20], y[10:20], **_first(options, slice(10, 20)))
        for part in erasable_models(model):
            assert tracked(part).n_rows == part.n_samples_remaining_

    def test_positions_are_those_of_the_call(self):
        """Each pair of one against one is given some of the rows."""
        X, y = load_iris(return_X_y=True)
        model = OneVsOneClassifier(logistic(max_iter=500)).fit(X, y)
        rows = np.array([0, 60, 120, 61, 121])
        other = X[rows]
        other[[2, 4]] += 0.01
        with pytest.raises(ErasureError, match=r"In class 0 .* against 2") as error:
            unlearn(model, other, y[rows])
        assert "got 2 of 3" in str(error.value)
        assert "at the positions 2, 4 of the call" in str(error.value)

    def test_outputs_are_erased_together(self, monkeypatch):
        X, y = cancer(100)
        Y = outputs(y)
        model = MultiOutputClassifier(logistic(order=1)).fit(X, Y)
        monkeypatch.setattr(ErasableLogisticRegression, "_plan_erasure", None)
        unlearn(model, X[:5], Y[:5])
        assert all(
            holds(part, X[5:], own[5:]) for part, own in zip(model.estimators_, Y.T, strict=True)
        )

    def test_groups(self):
        X, y = cancer(120)
        person = np.arange(120) // 3
        model = logistic().fit(X, y)
        unlearn(model, X, y, groups=person, forget=[3, 5])
        assert holds(model, X[~np.isin(person, [3, 5])], y[~np.isin(person, [3, 5])])
        assert refused_at(unlearn, model, X, y, groups=person, forget=[4, 5]) == [15, 16, 17]

    def test_frozen_and_calibrated(self):
        X, y = cancer(200)
        model = logistic().fit(X[:150], y[:150])
        calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(X[150:], y[150:])
        assert refused_at(unlearn, calibrated, X[148:152], y[148:152]) == [2, 3]
        with may_warn(*ANY):
            unlearn(calibrated, X[148:150], y[148:150])
        assert tracked(model).n_rows == 148

    def test_transformers_that_are_downdated_or_fitted_anew(self):
        X, y = load_breast_cancer(return_X_y=True)
        pipe = make_pipeline(StandardScaler(), logistic()).fit(X, y)
        with pytest.raises(ErasureError, match="needs a model without tracked rows"):
            unlearn(pipe, X[:5], y[:5], preprocessing="downdate")
        unlearn(pipe, X[:5], y[:5])
        refresh(pipe, X[5:], y[5:], preprocessing="refit")
        assert refused_at(unlearn, pipe, X[4:6], y[4:6]) == [0]
        unlearn(pipe, X[5:8], y[5:8])


def _first(options, rows):
    return {name: values[rows] for name, values in options.items()}


def _through(how, model, folder):
    if how == "pickle":
        return pickle.loads(pickle.dumps(model))
    if how == "copy":
        return copy.deepcopy(model)
    if how == "joblib":
        path = folder / str(tracked(model).n_rows)
        joblib.dump(model, path)
        return joblib.load(path, mmap_mode="r")
    skops = pytest.importorskip("skops.io")
    return skops.loads(skops.dumps(model), trusted=sklearn_ssse.TRUSTED_TYPES)


class TestFiles:
    @pytest.mark.parametrize("how", ["pickle", "copy", "joblib", "skops"])
    def test_round_trip(self, fitted, how, tmp_path):
        model, X, y = fitted
        loaded = _through(how, model, tmp_path).unlearn(X[:5], y[:5])
        loaded = _through(how, loaded, tmp_path)
        assert refused_at(loaded.unlearn, X[:6], y[:6]) == [0, 1, 2, 3, 4]
        loaded.unlearn(X[5:10], y[5:10]).learn(X[:5], y[:5])
        assert holds(loaded, np.delete(X, range(5, 10), 0), np.delete(y, range(5, 10)))

    def test_the_key_is_not_shown(self, fitted):
        model = fitted[0]
        own = tracked(model)
        shown = f"{model!r} {model.get_params()} {model._erasure_state!r} {own!r} {own}"
        with pytest.raises(ErasureError) as error:
            model.unlearn(fitted[1][:1] + 1, fitted[2][:1])
        shown += str(error.value)
        assert "TrackedRows(n_rows=569)" in shown
        for secret in (repr(own.key), own.key.hex(), str(own.digests[0]), hex(own.digests[0])):
            assert secret not in shown
        assert not any(
            key in json.dumps(vars(model.preview_learn(*fitted[1:])), default=str)
            for key in (own.key.hex(), repr(own.key))
        )

    def test_a_file_holds_no_value_of_a_row(self):
        X, y = cancer(100)
        planted = 0.7071823941235
        X[17, 3] = planted
        model = logistic().fit(X, y)
        text = pickle.dumps(model)
        assert tracked(model).digests.tobytes() in text
        for form in ("<d", ">d", "<f"):
            assert struct.pack(form, planted) not in text
        for value in X[:, 5]:
            assert struct.pack("<d", value) not in text
        own = tracked(model)
        assert own.digests.nbytes + own.counts.nbytes == 1600

    @pytest.mark.parametrize("kind", [ErasableLogisticRegression, ErasableMLPClassifier])
    def test_common_checks(self, kind):
        """scikit-learn's checks of pickles, clones and repeated fits."""
        params = {"max_iter": 20} if kind is ErasableMLPClassifier else {}
        model = kind(track_rows=True, **params)
        for check in COMMON_CHECKS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(kind.__name__, clone(model))


class TestCommandLine:
    @pytest.fixture
    def files(self, tmp_path, monkeypatch):
        pandas = pytest.importorskip("pandas")
        skops = pytest.importorskip("skops.io")
        monkeypatch.chdir(tmp_path)
        X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        pandas.concat([X, y], axis=1)[:5].to_csv("rows.csv", index=False)
        for name, track_rows in {"tracked": True, "plain": False}.items():
            model = ErasableLogisticRegression(curvature="fisher", track_rows=track_rows)
            skops.dump(make_pipeline(StandardScaler(), model).fit(X, y), f"{name}.skops")
        return tmp_path

    def run(self, verb, model, *more):
        return command.main([verb, model, "--rows", "rows.csv", "--target", "target", *more])

    def test_second_erasure(self, files, capsys):
        outputs = ("--out", "erased.skops", "--record", "record.json")
        assert self.run("preview", "tracked.skops", "--track") == 0
        assert self.run("unlearn", "tracked.skops", "--track", *outputs) == 0
        capsys.readouterr()
        again = ("--out", "again.skops", "--record", "again.json")
        for more in ((), ("--track",)):
            assert self.run("unlearn", "erased.skops", *more, *again) == 1
            assert UNKNOWN in capsys.readouterr().err
        assert not (files / "again.skops").exists()

    def test_models_without_digests_are_refused(self, files, capsys):
        outputs = ("--out", "erased.skops", "--record", "record.json")
        assert self.run("unlearn", "plain.skops", "--track", *outputs) == 1
        message = "Every model in plain.skops must track its rows for --track, got 0 of 1"
        assert message in capsys.readouterr().err
        assert not (files / "erased.skops").exists()

    def test_one_model_without_digests_is_refused(self, files, capsys):
        skops = pytest.importorskip("skops.io")
        X, y = load_breast_cancer(return_X_y=True, as_frame=True)
        members = [("a", logistic()), ("b", logistic().set_params(track_rows=False))]
        skops.dump(VotingClassifier(members).fit(scale(X), y), "both.skops")
        assert self.run("preview", "both.skops", "--track") == 1
        assert "must track its rows for --track, got 1 of 2" in capsys.readouterr().err
