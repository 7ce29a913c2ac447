"""The invariants of every call. Each function returns the text of a violation, or an empty one.

The name of a function is the name of the invariant in the summary, and its docstring states it.
"""

import dataclasses

import numpy as np

from sklearn_ssse import ErasureWarning
from sklearn_ssse.exceptions import LibraryError
from tests.fuzzing.data import GROUP, SENTINEL, UNKNOWN_LABEL
from tests.fuzzing.watch import is_deliberate, owner_of, place

# The planted cell in any of the usual formats, for any power of ten.
SECRETS = ("98765", "9.8765", f"{SENTINEL:.3g}", UNKNOWN_LABEL, GROUP)
# Largest loss of accuracy in silence.
LARGEST_LOSS = 0.05
# A loss of accuracy counts from this number of rows: after erasures few rows may remain.
LEAST_ROWS = 3
# Smallest eigenvalue of an inverse whose diagonal is scaled to 1: rounding alone is smaller.
LEAST_EIGENVALUE = -1e-9
# The same for a sketch, whose factor is shifted by the root of the rounding error.
LEAST_OF_SKETCH = -1e-6
# Largest relative error of the diagonal of the curvature, up to this condition number.
DIAGONAL_ERROR = 1e-3
TRUSTED_CONDITION = 1e9


def errors_are_deliberate(request, seen):
    """An error is one of this library, or scikit-learn's answer to invalid input."""
    error = seen.error
    if error is None or isinstance(error, LibraryError):
        return ""
    if is_deliberate(error) and not request.honest:
        return ""
    if request.verb in ("fit", "clone") and owner_of(error) == "scikit-learn":
        return ""
    kind = "for honest rows " if is_deliberate(error) else ""
    return f"{type(error).__name__} {kind}at {place(error)}"


def invalid_input_is_refused(request, seen):
    """A call with invalid input ends with an error."""
    if seen.error is None and request.invalid:
        return request.fault or request.about
    return ""


def no_numpy_warning(seen, owners=("ours", "nobody")):
    """No call gives a RuntimeWarning, nor a warning about the use of another library.

    The validation of scikit-learn gives a RuntimeWarning for some rows near the largest float.
    """
    bad = (RuntimeWarning, DeprecationWarning, FutureWarning)
    found = [
        f"{category.__name__} at {where}: {text[:60]}"
        for category, text, owner, where in seen.warnings
        if issubclass(category, bad) and owner in owners
    ]
    return found[0] if found else ""


def messages_hold_no_cell(seen):
    """No message contains a planted cell, label or id."""
    for text in seen.texts:
        for secret in SECRETS:
            if secret in text:
                return f"{secret!r} in: {without_secrets(text)[:70]}"
    return ""


def without_secrets(text):
    """A message in one line, without planted cells, labels and ids."""
    for secret in SECRETS:
        text = text.replace(secret, "<planted>")
    return text.replace("\n", " ")


def nothing_changes_on_error(before, after, seen):
    """After an error the model is as before the call."""
    changed = seen.error is not None and before != after
    return f"after {type(seen.error).__name__} at {place(seen.error)}" if changed else ""


def previews_change_nothing(before, after):
    """A preview changes nothing."""
    return "the model differs" if before != after else ""


def previews_equal_the_records(preview, seen_preview, records, seen):
    """A preview returns the records of the call, or gives its error."""
    if (seen_preview.error is None) != (seen.error is None):
        error = seen_preview.error or seen.error
        return f"only one of both gives {type(error).__name__} at {place(error)}"
    if seen.error is not None:
        same = type(seen.error) is type(seen_preview.error)
        return "" if same else "another type of error"
    # Models that no row reaches may have a record, too, if their columns change.
    preview, records = (
        [record for record in some if record.n_erased or record.n_added]
        for some in (preview, records)
    )
    if sorted(map(_compared, preview)) != sorted(map(_compared, records)):
        return f"the records differ in {_differing(preview, records)}"
    return ""


def _compared(record):
    """The fields that ``==`` compares, as text, which is the same for nan."""
    names = [field.name for field in dataclasses.fields(record) if field.compare]
    return repr([(name, getattr(record, name)) for name in names])


def _differing(preview, records):
    """Names of the fields in which records differ."""
    if len(preview) != len(records):
        return f"their number, {len(preview)} and {len(records)}"
    pairs = zip(preview, records, strict=True)
    names = {
        field.name
        for one, other in pairs
        for field in dataclasses.fields(one)
        if field.compare
        if repr(getattr(one, field.name)) != repr(getattr(other, field.name))
    }
    return ", ".join(sorted(names)) or "their order"


def counts_equal_the_ledger(world):
    """The number of rows, and of rows of each class, equals the ledger."""
    for model, (n_rows, of_classes) in zip(world.erasable(), world.counts, strict=True):
        state = model._erasure_state
        if model.n_samples_remaining_ != n_rows or state.n_rows != n_rows:
            return "the number of rows"
        if not np.array_equal(state.class_counts, of_classes):
            return "the number of rows of a class"
    return ""


def curvature_is_positive_definite(world):
    """Every stored inverse of a curvature is finite and positive definite."""
    for model in world.erasable():
        path = model._erasure_state.path
        for name, inverse in (("curvature_", model.curvature_), ("other", path.conservative)):
            if inverse is None:
                continue
            P = inverse.to_dense()
            if not np.isfinite(P).all():
                return f"{name} is not finite ({model.structure_})"
            least = LEAST_OF_SKETCH if model.structure_ == "low_rank" else LEAST_EIGENVALUE
            if (np.diag(P) <= 0).any() or _least_eigenvalue(P) < least:
                return f"{name} is not positive definite ({model.structure_})"
    return ""


def _least_eigenvalue(P):
    """The smallest eigenvalue of a matrix whose diagonal is scaled to 1."""
    root = np.sqrt(np.diag(P))
    return np.linalg.eigvalsh(P / root[:, None] / root)[0]


def curvature_has_its_diagonal(world):
    """The attribute `diagonal` is the diagonal of the curvature, but for a sketch of it."""
    for model in world.erasable():
        inverse = model.curvature_
        if model.structure_ == "low_rank" or inverse.condition > TRUSTED_CONDITION:
            continue
        diagonal = np.diag(np.linalg.inv(inverse.to_dense()))
        error = np.abs(diagonal / inverse.diagonal - 1).max()
        if not np.isfinite(error):
            return f"{model.structure_}, not finite"
        if error > DIAGONAL_ERROR:
            return f"{model.structure_}, relative error 1e{np.log10(error):.0f}"
    return ""


def predictions_are_finite(name, outputs):
    """Predictions are finite, and probabilities are in [0, 1] and sum to 1."""
    for array in outputs:
        if name == "predict":
            continue
        if not np.isfinite(array).all():
            return f"{name} is not finite"
        if name == "predict_proba" and ((array < 0) | (array > 1)).any():
            return "a probability is outside of [0, 1]"
    return ""


def probabilities_sum_to_one(outputs):
    """The probabilities of a row sum to 1."""
    errors = [np.abs(array.sum(axis=1) - 1).max(initial=0.0) for array in outputs]
    return "" if max(errors) < 1e-4 else "the sum is not 1"


def no_ruin_in_silence(right, before, retrained, about):
    """Without a warning, the accuracy on the retained rows is not 5 points below retraining.

    A loss of the call alone counts: the accuracy is also compared with the accuracy before it.

    Parameters
    ----------
    right, before, retrained : ndarray of shape (n_rows,) or None
        For each retained row, the share of its outputs that a model predicts: after the call,
        before it, and after retraining. None if retraining is no reference.
    about : str
        The choice of the rows.
    """
    references = [before] if retrained is None else [before, retrained]
    return _loss(right, references, about)


def as_good_as_retraining(right, before, retrained, about):
    """Without a warning, an honest call is not 5 points below retraining, also if it was before.

    The parameters are those of `no_ruin_in_silence`.
    """
    return "" if retrained is None else _loss(right, [retrained], about)


def _loss(right, references, about):
    """The least loss of accuracy against several models, if it is too large."""
    lost = min(np.sum(reference - right) for reference in references)
    n_rows = len(right)
    if lost >= LEAST_ROWS and lost > LARGEST_LOSS * n_rows:
        size = "more than 20 points" if lost > 0.2 * n_rows else "5 to 20 points"
        return f"{size}: {about}"
    return ""


def the_script_can_use_the_model(error):
    """Predictions, copies and checks of the script itself end without an error."""
    return f"{type(error).__name__} at {place(error)}"


def records_hold_no_array(world):
    """The fields of a record are numbers, strings, truth values, None and tuples of strings."""
    allowed = (bool, int, float, str, type(None))
    for model in world.erasable():
        for record in model.erasures_[-1:]:
            for item in dataclasses.fields(record):
                value = getattr(record, item.name)
                values = value if isinstance(value, tuple) else (value,)
                if not all(type(value) in allowed for value in values):
                    return f"{item.name}: {type(value).__name__}"
    return ""


def copies_behave_as_the_original(expected, found):
    """A copy, or a model from a file, predicts exactly as the original."""
    pairs = zip(expected, found, strict=True)
    same = all(a.tobytes() == b.tobytes() for a, b in pairs)
    return "" if same else "the predictions differ"


def plain_models_predict_the_same(same):
    """`to_plain` gives a model of the same predictions."""
    return "" if same else "the predictions differ"


def earlier_copies_are_unchanged(before, after):
    """A call changes no copy that was made before it."""
    return "" if before == after else "the hash differs"


def arguments_are_unchanged(before, after):
    """A call changes none of its arguments."""
    return "" if before == after else "the rows differ"


def no_row_changes_nothing(request, seen, before, after):
    """An erasure of no rows changes nothing, and says so."""
    if request.verb != "unlearn" or seen.error is not None or len(request.forget.codes):
        return ""
    if request.options or request.invalid:
        return ""
    if before != after:
        return "the model differs"
    return "" if seen.warned(ErasureWarning) else "no warning"
