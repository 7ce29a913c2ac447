"""Sentences on the measured numbers, and which of them show a failed erasure."""

from sklearn_ssse._verification.sections import number

# The retrained gradient, relative to the original one, above which the distances to the retrained
# model are also distances between two ends of a solver.
UNCONVERGED = 0.1
# Largest fall of the loss on the forget rows, relative to it, that raises no alarm. With the
# default tol, retraining without one row of breast cancer lowers the loss of 25 of 150 rows, and of
# 24 of them by at most 0.013.
SMALL_FALL = 0.02


class Findings:
    """The sentences of a report.

    Attributes
    ----------
    sentences : list of str
        All findings, the alarms first.
    alarms : list of str
        The findings that nothing was erased, or that the erasure made the model worse.
    """

    def __init__(self):
        self.sentences = []
        self.alarms = []

    def add(self, sentence, *, alarm=False):
        """Add a sentence."""
        self.sentences.append(sentence)
        if alarm:
            self.alarms.append(sentence)


def findings_of(found, *, is_convex, is_perturbed=False, is_balanced=False):
    """The `Findings` of measured numbers.

    Parameters
    ----------
    found : dict
        The measures by name, None for those that were not computed.
    is_convex : bool
        Whether the objective has one minimum, so that distances to it show the erasure alone.
    is_perturbed : bool
        Whether the objective has a random term, which differs between two trainings.
    is_balanced : bool
        Whether the class weights are computed from the rows of a training.
    """
    out = Findings()
    if _nothing_changed(found, out):
        return out
    _judge_gradient(found, is_convex, out)
    _judge_distance(found, is_convex and not is_balanced, out)
    _judge_loss(found, is_convex, out)
    _state_gamma(found, out)
    _state_membership(found, out)
    _state_injection(found, out)
    _state_limits(found, is_convex and not is_perturbed, out)
    if is_balanced and "retrained" in found["scores"]:
        out.add(
            "The class weights are balanced by the rows of each training: distances to the "
            "retrained model also measure the change of these weights."
        )
    out.sentences.sort(key=lambda sentence: sentence not in out.alarms)
    return out


def _nothing_changed(found, out):
    change = found["parameter_change"]
    if change is not None and not change["changed"]:
        out.add(
            "The parameters of the erased model equal the original's: nothing was erased.",
            alarm=True,
        )
        return True
    if change is None and found["same_predictions"]:
        out.add(
            "The erased model predicts every given row exactly as the original does: no effect of "
            "an erasure was measured.",
            alarm=True,
        )
    if change is not None and change["relative"] is not None:
        out.add(f"The erasure changed the parameters by {change['relative']:.2g} of their norm.")
    return False


def _judge_gradient(found, is_convex, out):
    gradient = found["gradient_left"]
    if gradient is None or gradient["relative"] is None:
        return
    relative = gradient["relative"]
    if relative > 1:
        out.add(
            "The gradient on the retained rows grew: the erased model leaves "
            f"{relative:.3g} times the gradient of the original, so it is farther from a minimum "
            "of the retained rows' objective.",
            alarm=is_convex,
        )
    else:
        out.add(
            f"The erased model leaves {relative:.2g} times the gradient that the original leaves "
            "on the retained rows. At the retrained minimum it is 0."
        )


def _judge_distance(found, shows_erasure, out):
    ratios = found["distance_ratio"]
    norm = "hessian" if ratios["hessian"] is not None else "euclidean"
    ratio = ratios[norm]
    if ratio is None:
        return
    words = "norm of the Hessian" if norm == "hessian" else "Euclidean norm"
    side = "farther from" if ratio > 1 else "closer to"
    out.add(
        f"The erased model is {side} the retrained model than the original is (distance ratio "
        f"{ratio:.3g}, {words}).",
        alarm=ratio > 1 and shows_erasure and _left_by_solver(found) <= UNCONVERGED,
    )


def _left_by_solver(found):
    """The gradient that the retrained model leaves, relative to the original's.

    Infinite if it is not known.
    """
    gradient = found["gradient_left"]
    if gradient is None or not gradient["original"]:
        return float("inf")
    return gradient["retrained"] / gradient["original"]


def _judge_loss(found, is_convex, out):
    """The forget loss of a retrained minimum is never below the original's."""
    losses = {name: sets["forget"]["log_loss"] for name, sets in found["scores"].items()}
    if losses["original"] is None or losses["erased"] is None:
        return
    before = losses["original"]
    after = losses["erased"]
    retrained = losses.get("retrained")
    beside = "" if retrained is None else f"; the retrained model's is {retrained:.4g}"
    verb = "fell" if after < before else "rose"
    gradient = found["gradient_left"]
    explained = is_convex and gradient is not None and (gradient["relative"] or 0.0) <= 1
    wrong_way = before - after > SMALL_FALL * before and (retrained is None or retrained >= before)
    text = f"The log loss on the forget rows {verb} from {before:.4g} to {after:.4g}{beside}."
    if after < before:
        text += (
            " At a minimum, training without rows does not lower their loss. A small fall can also "
            "show that a solver stopped early."
        )
    out.add(text, alarm=wrong_way and not explained)


def _state_gamma(found, out):
    for metric, words in (("probability", "probabilities"), ("roc_auc", "ROC areas")):
        value = found["gamma"][metric]
        if value is not None:
            model = "retrained" if value > 0.5 else "original"
            out.add(
                f"By {words}, the erased model predicts the forget rows more like the {model} "
                f"model (gamma_S {value:.3f}, measured; 1 is the retrained model)."
            )
            return


def _state_membership(found, out):
    measured = found["membership_inference"]
    if measured is None:
        return
    areas = {model: attacks["loss"]["auc"] for model, attacks in measured.items()}
    text = (
        "The attack by loss separates forget rows from test rows with an area of "
        f"{areas['erased']:.3f} for the erased model, {areas['original']:.3f} for the original"
    )
    if "retrained" in areas:
        text += f" and {areas['retrained']:.3f} for the retrained model, which is the ideal"
    out.add(f"{text}.")


def _state_injection(found, out):
    measured = found["feature_injection"]
    if measured is None or measured["ratio"] is None:
        return
    out.add(
        "In the feature-injection test, the effect of the planted column after the erasure is "
        f"{number(measured['ratio'])} times its effect before. The ideal is 0."
    )


def _state_limits(found, has_one_result, out):
    """Sentences on measures that are less exact than they look."""
    if "retrained" not in found["scores"]:
        return
    left = _left_by_solver(found)
    if has_one_result and left > UNCONVERGED:
        if found["gradient_left"] is None:
            text = "How near a minimum the solver of the retrained model stopped was not measured"
        else:
            text = (
                f"The solver of the retrained model left {left:.2g} times the gradient that the "
                "original leaves on the retained rows"
            )
        out.add(
            f"{text}: distances to it also measure where the solver stopped. Train the original "
            "and the retrained model with a smaller tol."
        )
    if not has_one_result:
        out.add(
            "Training again has more than one result for this model: two retrained models differ, "
            "too, so a distance ratio near 1 shows neither success nor failure."
        )
