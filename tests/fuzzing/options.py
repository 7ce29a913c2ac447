"""The options of a random sequence: a table of values and their weights for each of them."""

# Each table maps a value to its weight in the draw. A key that is a type stands for a group of
# values, see `drawn`.
ESTIMATOR = {
    "logistic": 10,
    "network": 5,
    "multi_output": 2,
    "one_vs_rest": 2,
    "one_vs_one": 2,
    "chain": 2,
    "voting": 2,
    "bagging": 2,
    "search": 1,
    "tuned_epsilon": 1,
    "calibrated": 2,
    "threshold": 1,
}
# Transformers before the estimator, by the names of `models.TRANSFORMERS`.
STEPS = {(): 6, ("scaler",): 3, ("imputer", "scaler"): 1, ("range",): 1}

DATA = {
    "n_rows": {200: 4, 300: 3, 400: 1},
    "n_columns": {2: 1, 4: 3, 7: 2, 12: 1},
    "n_classes": {2: 3, 3: 2, 4: 1},
    "separation": {0.3: 1, 1.0: 3, 3.0: 1},
    "noise": {0.0: 1, 0.1: 2, 0.25: 1},
    "columns": {"as drawn": 6, "rare": 2, "constant": 1, "equal": 1, "raw": 1},
    "container": {"array": 5, "fortran": 1, "float32": 2, "csr": 2, "frame": 2, "list": 1},
    "labels": {"int": 3, "negative": 1, "str": 2, "bool": 1},
    "weights": {"none": 5, "random": 2, "zeros": 1, "large": 1},
    "sentinel": {False: 7, True: 1},
    "multilabel": {False: 5, True: 1},
}

LOGISTIC = {
    "C": {0.01: 1, 1.0: 3, 100.0: 1, float("inf"): 0.5},
    "solver": {
        "lbfgs": 4,
        "newton-cholesky": 2,
        "newton-cg": 1,
        "liblinear": 1,
        "sag": 0.5,
        "saga": 0.5,
    },
    "tol": {1e-4: 1, 1e-8: 1},
    "max_iter": {100: 1, 300: 2},
    "fit_intercept": {True: 4, False: 1},
    "class_weight": {None: 6, "balanced": 1, "dict": 1},
    "order": {"auto": 4, 1: 1, 2: 1},
}

NETWORK = {
    "hidden_layer_sizes": {(4,): 3, (6,): 2, (3, 3): 1},
    "activation": {"relu": 2, "tanh": 1, "logistic": 1, "identity": 0.5},
    "solver": {"lbfgs": 3, "adam": 2, "sgd": 0.5},
    "alpha": {1e-4: 2, 0.1: 1},
    "max_iter": {60: 1, 150: 1},
    "early_stopping": {False: 5, True: 1},
    "batch_size": {"auto": 2, 16: 1},
    "learning_rate_init": {0.01: 1, 0.05: 1},
}

ERASURE = {
    "curvature": {"fisher": 3, "empirical_fisher": 2},
    "structure": {"auto": 4, "full": 2, "block": 2, "low_rank": 2, "diagonal": 1},
    "block_size": {None: 3, 3: 1},
    "rank": {None: 3, 2: 1},
    "damping": {"auto": 5, 1e-4: 1, 1e-2: 1, 1.0: 0.5},
    "fisher_batch_size": {1: 12, 4: 1},
    "leave_out": {"auto": 5, True: 1, False: 1},
    "inversion": {"auto": 4, "cholesky": 1, "rank1": 1, "rank_b": 1},
    "unlearn_epsilon": {"auto": 6, "0.5*auto": 1, 1.0: 1, 0.3: 0.5},
}

# Estimators whose `fit` takes the weights of the rows.
TAKES_WEIGHTS = ("logistic", "network", "multi_output", "voting", "search", "tuned_epsilon")
# Estimators of one erasable model that is fitted to the labels themselves.
SINGLE = ("logistic", "search", "tuned_epsilon", "calibrated")
# Estimators whose models see two classes each.
BINARY_MODELS = ("one_vs_rest", "one_vs_one", "chain")
# Estimators that need two classes.
BINARY = ("threshold", "chain")


def choose(rng, table):
    """One key of a table."""
    weights = list(table.values())
    position = rng.random() * sum(weights)
    for value, weight in table.items():
        position -= weight
        if position < 0:
            return value
    return value


def choose_all(rng, tables):
    """One key of each of several tables, by the names of the tables."""
    return {name: choose(rng, table) for name, table in tables.items()}


def draw(rng):
    """The options of one sequence, made consistent.

    Returns
    -------
    dict
        ``estimator``, ``base``, ``steps``, one entry for each table of `DATA`, and the parameters
        ``logistic``, ``network`` and ``erasure`` as dictionaries.
    """
    estimator = choose(rng, ESTIMATOR)
    base = estimator if estimator in ("logistic", "network") else choose(rng, {"l": 5, "n": 1})
    options = {
        "estimator": estimator,
        "base": {"l": "logistic", "n": "network"}.get(base, base),
        "steps": choose(rng, STEPS),
        **choose_all(rng, DATA),
        "logistic": choose_all(rng, LOGISTIC),
        "network": choose_all(rng, NETWORK),
        "erasure": choose_all(rng, ERASURE),
        "random_state": int(rng.integers(1000)),
        "variant": int(rng.integers(2)),
    }
    _fit_data(options)
    _fit_logistic(options)
    _fit_erasure(options)
    return options


def of_interest(options):
    """The options without the parameters of the other base model, for the log."""
    other = "network" if options["base"] == "logistic" else "logistic"
    return {name: value for name, value in options.items() if name != other}


def _fit_data(options):
    """Repair options of the data that the estimator does not support."""
    estimator = options["estimator"]
    if estimator in BINARY:
        options["n_classes"] = 2
    if options["labels"] == "bool" and options["n_classes"] > 2:
        options["labels"] = "int"
    if estimator not in TAKES_WEIGHTS:
        options["weights"] = "none"
    options["multilabel"] &= estimator == "network"
    if options["multilabel"] or estimator == "chain":
        options["n_classes"] = 2
        options["labels"] = "int"
    if options["container"] == "csr" and "range" in options["steps"]:
        options["steps"] = ()
    options["network"]["early_stopping"] &= options["network"]["solver"] != "lbfgs"


def _fit_logistic(options):
    """Repair parameters of the logistic regression that it would refuse."""
    own = options["logistic"]
    binary = options["n_classes"] == 2 or options["estimator"] in BINARY_MODELS
    if own["solver"] == "liblinear" and not (binary and own["C"] < float("inf")):
        own["solver"] = "lbfgs"
    if own["class_weight"] == "dict" and options["estimator"] != "logistic":
        own["class_weight"] = None


def _fit_erasure(options):
    """Repair parameters of the erasure that exclude each other."""
    own = options["erasure"]
    if own["structure"] != "block":
        own["block_size"] = None
    if own["structure"] != "low_rank":
        own["rank"] = None
    if own["structure"] not in ("auto", "full", "block"):
        own["inversion"] = "auto"
    if own["fisher_batch_size"] > 1 and own["leave_out"] is True:
        own["leave_out"] = "auto"
    of_second_order = (
        own["curvature"] == "fisher"
        and own["structure"] in ("auto", "full")
        and own["leave_out"] is not False
        and own["fisher_batch_size"] == 1
    )
    if not of_second_order and options["logistic"]["order"] == 2:
        options["logistic"]["order"] = "auto"
