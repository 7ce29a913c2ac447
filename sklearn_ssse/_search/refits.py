"""Finished refits, which a search takes in place of its own, and their checks."""

from sklearn.dummy import DummyClassifier
from sklearn.utils.validation import check_is_fitted

from sklearn_ssse._erasure import ErasableMixin
from sklearn_ssse._families import objective_of
from sklearn_ssse._search.hessian import output_models


def check_retrained(retrained, folds, original, sample_weight=None):
    """Refuse refits that cannot belong to the forget sets of a search.

    Parameters
    ----------
    retrained : sequence of estimator, or None
    folds : list of pairs of ndarray of int
        See `fold_positions`.
    original : estimator
        Fitted on all rows.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of all rows. Rows of weight 0 are not counted.

    Returns
    -------
    list of estimator or None
        One for each forget set; None for each if there are no refits.

    Raises
    ------
    ValueError
        If their number is wrong, or a model differs in its type, its objective, its columns or the
        number of its rows.
    sklearn.exceptions.NotFittedError
        If a model is not fitted.
    """
    if retrained is None:
        return [None] * len(folds)
    models = list(retrained)
    if len(models) != len(folds):
        raise ValueError(
            "retrained must hold one model for each forget set, got "
            f"{len(models)} for {len(folds)}. Pass the refits in the order of cv."
        )
    for i, (model, fold) in enumerate(zip(models, folds, strict=True)):
        check_is_fitted(model)
        retain = fold[0]
        n_rows = len(retain) if sample_weight is None else int((sample_weight[retain] > 0).sum())
        fault = _fault(model, n_rows, original)
        if fault:
            raise ValueError(
                f"Each of retrained must be trained like the estimator, got model {i} with "
                f"{fault}. Pass `retrained_` of a search with the same cv and objective, or models "
                "that are fitted to the retained rows of each forget set."
            )
    return models


def _fault(model, n_retained, original):
    """The difference of a refit from the original model, in words; empty if there is none."""
    own, expected = (getattr(part, "n_features_in_", None) for part in (model, original))
    if None not in (own, expected) and own != expected:
        return f"{own} columns instead of {expected}"
    pairs = output_models(model), output_models(original)
    if len(pairs[0]) != len(pairs[1]):
        return f"{len(pairs[0])} outputs instead of {len(pairs[1])}"
    for part, first in zip(*pairs, strict=True):
        if isinstance(part, DummyClassifier):  # its retained rows have one class
            continue
        if not isinstance(part, first._parent):
            return f"{type(part).__name__} instead of {first._parent.__name__}"
        here, there = objective_of(part), objective_of(first)
        differs = [name for name in there if here.get(name) != there[name]]
        if differs:
            name = differs[0]
            return f"{name}={here.get(name)!r} instead of {there[name]!r}"
        held = vars(part).get("n_samples_remaining_")
        may_hold_out = getattr(part, "early_stopping", False)
        if isinstance(part, ErasableMixin) and held not in (None, n_retained) and not may_hold_out:
            return f"{held} rows instead of {n_retained}"
    return ""
