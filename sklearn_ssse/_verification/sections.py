"""The tables of a report, as text: the same ones for the terminal and for the page."""

from typing import NamedTuple

MODELS = ("original", "erased", "retrained")
ROW_SETS = {"forget": "forget rows", "retain": "retained rows", "test": "test rows"}
# Names of the measures that may be missing, as a reader meets them.
MEASURES = {
    "retrained": "Retrained model",
    "parameter_change": "Change of the parameters",
    "gamma_roc_auc": "gamma_S, ROC areas",
    "gamma_probability": "gamma_S, probabilities",
    "distance_ratio_euclidean": "Distance ratio, Euclidean norm",
    "distance_ratio_hessian": "Distance ratio, norm of the Hessian",
    "agreement": "Agreement with the retrained model",
    "scores_retain": "Accuracy and loss on the retained rows",
    "scores_test": "Accuracy and loss on the test rows",
    "gradient_left": "Gradient on the retained rows",
    "membership_inference": "Membership inference",
    "feature_injection": "Feature injection",
}
UNKNOWN = "–"


class Section(NamedTuple):
    """A table of a report.

    Attributes
    ----------
    title, note : str
    header : list of str
    rows : list of list of str
        The first cell of each row names it.
    """

    title: str
    note: str
    header: list
    rows: list


def report_sections(report):
    """The tables of a report that have a number, a list of `Section`.

    Parameters
    ----------
    report : dict
        See `ErasureReport.to_dict`.
    """
    made = [
        _closeness(report),
        _quality(report),
        _gradient(report),
        _membership(report),
        _injection(report),
        _agreement(report),
        _models(report),
        _missing(report),
    ]
    return [section for section in made if section.rows]


def number(value):
    """A number with four digits; a dash for None."""
    if value is None:
        return UNKNOWN
    if 0 < value < 1e-9:
        return "below 1e-9"
    if 0 < value < 1e-3:
        return f"{value:.2e}"
    return f"{value:.4g}"


def _closeness(report):
    gamma = report["gamma"]
    ratio = report["distance_ratio"]
    change = report["parameter_change"] or {}
    rows = [
        ["gamma_S, probabilities", gamma["probability"], "1", "0"],
        ["gamma_S, ROC areas", gamma["roc_auc"], "1", "0"],
        ["Distance ratio, norm of the Hessian", ratio["hessian"], "0", "1"],
        ["Distance ratio, Euclidean norm", ratio["euclidean"], "0", "1"],
        ["Relative change of the parameters", change.get("relative"), "above 0", "0"],
    ]
    return Section(
        "Erased, original and retrained model",
        "gamma_S compares predictions on the forget rows. The distance ratio compares parameters.",
        ["measure", "measured", "ideal", "nothing erased"],
        [[name, number(value), *rest] for name, value, *rest in rows if value is not None],
    )


def _quality(report):
    scores = report["scores"]
    rows = []
    for part, words in ROW_SETS.items():
        if part not in scores["original"]:
            continue
        for key, name in (("accuracy", "Accuracy"), ("log_loss", "Log loss")):
            cells = [number(scores[model][part][key]) for model in MODELS if model in scores]
            rows.append([f"{name}, {words}", *cells])
    return Section(
        "Accuracy and log loss",
        "The ideal of the erased model is the value of the retrained model, also on forget rows.",
        ["measure", *(model for model in MODELS if model in scores)],
        rows,
    )


def _gradient(report):
    found = report["gradient_left"]
    rows = []
    if found is not None:
        names = [model for model in MODELS if model in found]
        rows = [[f"Gradient of the {model} model", number(found[model])] for model in names]
        rows.append(["Gradient of the forget rows, original model", number(found["forget_rows"])])
        rows.append(["Erased model relative to original", number(found["relative"])])
    return Section(
        "Gradient on the retained rows",
        "Norm of the gradient of the penalised objective, per retained row. It is 0 at a minimum. "
        "The gradient of the retrained model shows how close to it the solver stopped.",
        ["measure", "measured"],
        rows,
    )


def _membership(report):
    found = report["membership_inference"] or {}
    rows = [
        [f"Attack by {attack}", *(_interval(found[model][attack]) for model in found)]
        for attack in ("loss", "confidence")
        if found
    ]
    return Section(
        "Membership inference",
        "Area under the ROC curve of an attack that separates forget rows from test rows, with a "
        "95\u00a0% bootstrap interval. The ideal is the value of the retrained model, which need "
        "not be 0.5.",
        ["attack", *found],
        rows,
    )


def _interval(found):
    return f"{found['auc']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _injection(report):
    found = report["feature_injection"]
    rows = []
    if found is not None:
        effect = "Weight" if found["measure"] == "weight" else "Change of predictions"
        rows = [
            [f"{effect} before the erasure", number(found["before"])],
            [f"{effect} after the erasure", number(found["after"])],
            ["After relative to before (ideal: 0)", number(found["ratio"])],
        ]
    return Section(
        "Feature injection",
        "A column that is zero outside the forget rows is added, a clone with the same settings is "
        "fitted, and the forget rows are erased from it. The test measures the method, not the "
        "erased model.",
        ["measure", "measured"],
        rows,
    )


def _agreement(report):
    found = report["agreement"]
    rows = []
    for part, words in ROW_SETS.items():
        if found is None or part not in found["erased"]:
            continue
        for key, name in (
            ("equal_labels", "Share of equal labels"),
            ("probability_difference", "Mean difference of probabilities"),
        ):
            cells = [number(found[model][part][key]) for model in ("original", "erased")]
            rows.append([f"{name}, {words}", *cells])
    return Section(
        "Agreement with the retrained model",
        "The ideals are a share of 1 and a difference of 0.",
        ["measure", "original", "erased"],
        rows,
    )


def _models(report):
    rows = []
    for name, facts in report["models"].items():
        kind = facts["model"]
        if facts["type"] != kind:
            kind = f"{facts['type']} with {kind}"
        made = ""
        if name == "retrained" and report["retrained"] == "fitted":
            made = " (fitted for this report)"
        cells = [facts[key] for key in ("solver", "tol", "iterations")]
        rows.append([f"{name}{made}", kind, *(_plain(cell) for cell in cells)])
    return Section(
        "Models",
        "A solver stops near a minimum, as soon as its tolerance tol holds.",
        ["model", "type", "solver", "tol", "iterations"],
        rows,
    )


def _plain(value):
    return UNKNOWN if value is None else str(value)


def _missing(report):
    rows = [[MEASURES[name], reason] for name, reason in report["not_computed"].items()]
    return Section("Not computed", "", ["measure", "reason"], rows)
