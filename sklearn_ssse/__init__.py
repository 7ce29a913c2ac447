"""Scikit-learn estimators from which training rows can be erased after training, in one step."""

from sklearn_ssse._erasure import ErasureRecord
from sklearn_ssse._saved_format import TRUSTED_TYPES
from sklearn_ssse._verbs import (
    learn,
    preview_learn,
    preview_rectify,
    preview_unlearn,
    rectify,
    refresh,
    unlearn,
    unlearn_path,
)
from sklearn_ssse._version import __version__
from sklearn_ssse.display import ErasureReportDisplay, GammaCurveDisplay
from sklearn_ssse.exceptions import ErasureError, ErasureWarning
from sklearn_ssse.linear_model import ErasableLogisticRegression
from sklearn_ssse.metrics import GammaScorer, attribute_auc, gamma_score, parameter_distance
from sklearn_ssse.model_selection import ForgetSetSplit, TunedEpsilonCV
from sklearn_ssse.neural_network import ErasableMLPClassifier
from sklearn_ssse.signing import sign_records, verify_records
from sklearn_ssse.verification import ErasureReport, verify_erasure

__all__ = [
    "TRUSTED_TYPES",
    "ErasableLogisticRegression",
    "ErasableMLPClassifier",
    "ErasureError",
    "ErasureRecord",
    "ErasureReport",
    "ErasureReportDisplay",
    "ErasureWarning",
    "ForgetSetSplit",
    "GammaCurveDisplay",
    "GammaScorer",
    "TunedEpsilonCV",
    "__version__",
    "attribute_auc",
    "gamma_score",
    "learn",
    "parameter_distance",
    "preview_learn",
    "preview_rectify",
    "preview_unlearn",
    "rectify",
    "refresh",
    "sign_records",
    "unlearn",
    "unlearn_path",
    "verify_erasure",
    "verify_records",
]
