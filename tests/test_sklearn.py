"""Scikit-learn's own checks, run on our classes."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier
from tests.warned import NOT_A_MINIMUM

ROOT = Path(__file__).parent.parent
SOLVERS = ["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"]


WEIGHTS = [
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
]
# Checks that the parent fails as well, by solver.
PARENT_FAILS = {
    "liblinear": ["check_classifier_not_supporting_multiclass", "check_fit2d_1sample"],
    "sag": WEIGHTS,
    "saga": WEIGHTS,
}


def parent_fails(estimator):
    return dict.fromkeys(PARENT_FAILS.get(estimator.solver, []), "the parent fails it too")


# On the rows of the checks, which are not scaled, sag and saga stop far from the minimum.
@pytest.mark.filterwarnings(f"ignore:{NOT_A_MINIMUM}")
@parametrize_with_checks(
    [ErasableLogisticRegression(solver=solver, random_state=0, max_iter=1000) for solver in SOLVERS]
    + [
        ErasableLogisticRegression(curvature="fisher"),
        ErasableLogisticRegression(curvature="fisher", track_rows=True, bounds="all"),
        ErasableLogisticRegression(inversion="rank1", damping=1e-3, unlearn_epsilon=1.0),
        ErasableMLPClassifier((20,), random_state=0, max_iter=300, learning_rate_init=0.01),
        ErasableMLPClassifier((10,), random_state=0, solver="lbfgs", curvature="fisher"),
    ],
    expected_failed_checks=parent_fails,
)
def test_sklearn_compatible(estimator, check):
    check(estimator)


class Parent(LogisticRegression):
    """The parent under another name: under its own, scikit-learn changes parameters of checks."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("solver", PARENT_FAILS)
def test_the_parent_fails_them_too(solver):
    results = check_estimator(
        Parent(solver=solver, random_state=0, max_iter=1000), on_skip=None, on_fail=None
    )
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert set(PARENT_FAILS[solver]) <= failed


# Failures of tests that use the deprecated parameters or l1 penalties, which our class lacks, and
# of one that refuses every warning, where sag stops far from the minimum.
DROPPED = re.compile(
    r"unexpected keyword argument '(penalty|n_jobs)'|KeyError: 'n_jobs'"
    r"|an l1 penalty lacks at zero|ErasureWarning: The model must be at a minimum"
)
# Further such failures, in which the call itself succeeds.
DROPPED_BY_NAME = {
    "test_check_solver_option": "expects the parent's words about l1",
    "test_elasticnet_l1_ratio_err_helpful": "expects words about penalty='elasticnet'",
    "test_l1_ratio_non_elasticnet": "expects a warning about penalty",
    "test_logisticregression_warns_with_n_jobs": "n_jobs",
    "test_penalty_deprecated": "penalty",
    "test_lr_penalty_l1ratio_incompatible": "penalty",
    "test_LogisticRegressionCV_GridSearchCV_elastic_net": "elastic net in a search",
    "test_logistic_regression_callback_support_warning": "expects the parent's class name",
}


def run_parents_suite(module, tmp_path, ours, tests=()):
    path = tmp_path / f"failures{ours}.json"
    env = {
        **os.environ,
        "OURS": str(int(ours)),
        "FAILURES": str(path),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    target = [*tests] if tests else ["--pyargs", module]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "ignore",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.parents_place",
    ]
    subprocess.run([*command, *target], cwd=tmp_path, env=env, check=False, capture_output=True)
    return json.loads(path.read_text())


def test_parents_own_tests(tmp_path):
    """Our class fails no test of scikit-learn's test_logistic.py that the parent passes."""
    if find_spec("sklearn.linear_model.tests.test_logistic") is None:
        pytest.skip("this scikit-learn was installed without its tests")
    result = run_parents_suite("sklearn.linear_model.tests.test_logistic", tmp_path, ours=True)
    assert result["collected"] > 200
    unexplained = {}
    for test, text in result["failures"].items():
        name = test.rsplit("::", 1)[-1].split("[")[0]
        if not DROPPED.search(text) and name not in DROPPED_BY_NAME:
            unexplained[test] = text[-500:]
    if unexplained:
        parents = run_parents_suite(
            "sklearn.linear_model.tests.test_logistic", tmp_path, ours=False
        )
        unexplained = {
            test: text for test, text in unexplained.items() if test not in parents["failures"]
        }
    assert not unexplained


def test_parents_own_tests_of_the_perceptron(tmp_path):
    """scikit-learn's test_mlp.py shows no failure that the parent does not have."""
    if find_spec("sklearn.neural_network.tests.test_mlp") is None:
        pytest.skip("this scikit-learn was installed without its tests")
    result = run_parents_suite("sklearn.neural_network.tests.test_mlp", tmp_path, ours=True)
    assert result["collected"] > 50
    failures = result["failures"]
    if failures:
        parents = run_parents_suite("sklearn.neural_network.tests.test_mlp", tmp_path, ours=False)
        failures = {
            test: text[-500:] for test, text in failures.items() if test not in parents["failures"]
        }
    assert not failures
