"""Plugin for pytest: replaces classes of scikit-learn by ours before its test modules are imported.

Without ``OURS=1`` nothing is replaced. Failed tests and their reasons are written to the file that
``FAILURES`` names.
"""

import json
import os
from pathlib import Path

import sklearn.linear_model
import sklearn.neural_network

from sklearn_ssse import ErasableLogisticRegression, ErasableMLPClassifier

failures = {}

if os.environ.get("OURS") == "1":
    sklearn.linear_model.LogisticRegression = ErasableLogisticRegression
    sklearn.neural_network.MLPClassifier = ErasableMLPClassifier


def pytest_runtest_logreport(report):
    if report.failed:
        failures[report.nodeid] = report.longreprtext


def pytest_sessionfinish(session):
    Path(os.environ["FAILURES"]).write_text(
        json.dumps({"collected": session.testscollected, "failures": failures})
    )
