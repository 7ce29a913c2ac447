"""The predictions of a model on rows, and the accuracy, the log loss and the agreement of two."""

from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_ssse._erasure import encode
from sklearn_ssse._preprocessing import step_error
from sklearn_ssse._search import attribute_scores, output_classes
from sklearn_ssse._utils.unquoted import array, attempt, error_like, fault, unknown_fault
from sklearn_ssse._verification.not_computed import NotComputedError

# Smallest probability of a label in the log loss, which is finite then, as in scikit-learn.
LEAST_PROBABILITY = float(np.finfo(np.float64).eps)
NO_PROBABILITIES = "It needs models with predict_proba, got one without it."


class Predictions(NamedTuple):
    """The predictions of a model on rows; the last three are None without ``predict_proba``.

    Attributes
    ----------
    labels : ndarray of shape (n_rows, n_outputs)
    is_right : ndarray of bool of shape (n_rows, n_outputs)
    scores : ndarray of shape (n_rows, n_attributes)
        See `attribute_scores`.
    losses : ndarray of shape (n_rows,)
        Negative logarithm of the probability of the label, mean over the outputs.
    confidence : ndarray of shape (n_rows,)
        Largest predicted probability, mean over the outputs.
    """

    labels: np.ndarray
    is_right: np.ndarray
    scores: np.ndarray | None
    losses: np.ndarray | None
    confidence: np.ndarray | None


def _refusal(model, X, kind):
    """The error for rows that a model cannot predict, of the step of a pipeline that refuses them.

    Parameters
    ----------
    model : classifier
    X : array-like
        The rows.
    kind : type of Exception
        The type of the error that ``predict`` raised.
    """
    if isinstance(model, Pipeline):
        for name, step in model.steps[:-1]:
            if step is None or step == "passthrough":
                continue
            transformed, failure = attempt(step.transform, X)
            if failure is not None:
                return step_error(step, X, name, failure)
            X = transformed
        model = model.steps[-1][1]
    must = fault(model, X) or unknown_fault(model, kind)
    return error_like(kind, f"The rows to predict must {must}")


def predict(model, rows, classes):
    """The `Predictions` of a model on rows.

    Parameters
    ----------
    model : classifier
    rows : Rows
    classes : list of ndarray
        Classes of each output of the original model, see `output_classes`.

    Raises
    ------
    ErasureError, ErasureTypeError
        If the model cannot predict the rows, or a label was not seen at fit.
    """
    y = _columns(rows.y)
    codes = [encode(known, column) for known, column in zip(classes, y.T, strict=True)]
    labels, kind = attempt(model.predict, rows.X)
    if kind is not None:
        raise _refusal(model, rows.X, kind)
    labels = _columns(labels)
    is_right = labels == y
    if not hasattr(model, "predict_proba"):
        return Predictions(labels, is_right, None, None, None)
    scores = attribute_scores(model, rows.X, classes)
    own = []
    largest = []
    for proba, code in zip(_of_outputs(scores, classes), codes, strict=True):
        own.append(proba[np.arange(len(proba)), code])
        largest.append(proba.max(axis=1))
    losses = -np.log(np.maximum(own, LEAST_PROBABILITY)).mean(axis=0)
    return Predictions(labels, is_right, scores, losses, np.mean(largest, axis=0))


def label_outputs(model, y):
    """The classes of each output of a model, and a check that y has a column for each."""
    classes = output_classes(model, y)
    columns = _columns(y).shape[1]
    if columns != len(classes):
        raise error_like(
            ValueError,
            f"y must have one column for each of the {len(classes)} outputs, got {columns}. Pass "
            "the labels as they were given to fit.",
        )
    return classes


def _columns(y):
    """Labels as columns, (n_rows, n_outputs)."""
    y = array(y, "y")
    return y.reshape(len(y), -1)


def _of_outputs(scores, classes):
    """The probabilities of the classes of each output, (n_rows, n_classes)."""
    start = 0
    for known in classes:
        if len(known) == 2:
            second = scores[:, start]
            yield np.column_stack([1.0 - second, second])
            start += 1
        else:
            yield scores[:, start : start + len(known)]
            start += len(known)


def quality(predictions):
    """Accuracy and log loss, means over rows and outputs; a log loss of None is not known."""
    losses = predictions.losses
    return {
        "accuracy": float(predictions.is_right.mean()),
        "log_loss": None if losses is None else float(losses.mean()),
    }


def agreement(one, other):
    """Share of equal labels, and mean absolute difference of the attribute probabilities."""
    difference = None
    if one.scores is not None and other.scores is not None:
        difference = float(np.abs(one.scores - other.scores).mean())
    return {
        "equal_labels": float((one.labels == other.labels).mean()),
        "probability_difference": difference,
    }


def check_probabilities(*predictions):
    """Refuse predictions without probabilities."""
    if any(found.scores is None for found in predictions):
        raise NotComputedError(NO_PROBABILITIES)
