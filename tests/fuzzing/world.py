"""The state of a sequence: its rows, its model, and the ledger of the rows that the model holds."""

import copy
import warnings

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline

from sklearn_ssse._composites import erasable_models
from tests.fuzzing import models
from tests.fuzzing.data import (
    GROUP_SIZE,
    contained,
    group_ids,
    label_names,
    make_rows,
    make_weights,
)
from tests.fuzzing.options import SINGLE

# Networks that are trained again for the accuracy of retraining: its mean over this many seeds.
N_SEEDS = 3


class World:
    """The rows and the model of a sequence.

    Attributes
    ----------
    X : ndarray of shape (n_pool, n_columns)
        All rows: first the rows of the fit, then rows of the same distribution.
    codes : ndarray of int of shape (n_pool,) or (n_pool, n_outputs)
        Positions of their labels in ``names``.
    weight : ndarray of shape (n_pool,) or None
    held : ndarray of bool of shape (n_pool,)
        Whether the ledger counts the row among the rows that the model holds.
    counts : list of tuple
        Number of rows, and of rows of each class, of each erasable model.
    tainted : bool
        True after an erasure or addition of wrong rows: the model's rows are then unknown.
    quiet : bool
        True as long as no warning and no refusal has pointed to a doubtful result.
    bystanders : list of tuple
        Earlier copies of the model, and their hashes: no call may change them.
    """

    def __init__(self, options, rng):
        self.options = options
        self.rng = rng
        self.X, self.codes = make_rows(options, rng)
        self.weight = make_weights(options["weights"], len(self.X), rng)
        self.names = label_names(options)
        self.n_fit = options["n_rows"]
        self.held = np.arange(len(self.X)) < self.n_fit
        self.model = models.build(options, models.erasable_base(options))
        self.counts = []
        self.tainted = False
        self.quiet = True
        self.bystanders = []
        self._references = {}

    # The rows

    def labels(self, codes):
        """Labels by their codes, in the container of the sequence."""
        y = codes if self.options["multilabel"] else self.names[codes]
        return y.tolist() if self.options["container"] == "list" else y

    def contained(self, X):
        """A copy of rows in the container of the sequence."""
        return contained(X, self.options["container"])

    def weights_of(self, index):
        """The weights of rows of the pool, or None."""
        return None if self.weight is None else self.weight[index]

    def training_rows(self, index):
        """X, y and the weights of rows, as `fit` takes them."""
        y = self.labels(self.codes[index])
        return self.contained(self.X[index]), y, self.weights_of(index)

    @property
    def kept(self):
        """Positions of the rows that the model holds."""
        return np.flatnonzero(self.held)

    @property
    def counted(self):
        """Positions of the rows of positive weight that the model holds."""
        return self.kept if self.weight is None else np.flatnonzero(self.held & (self.weight > 0))

    @property
    def groups(self):
        """The group of each row of the pool."""
        return group_ids(len(self.X))

    def members_of(self, index):
        """Positions of the held rows of the groups of some rows."""
        return np.flatnonzero(self.held & np.isin(np.arange(len(self.X)) // GROUP_SIZE, index))

    def append(self, X, codes, weight):
        """Append rows to the pool and return their positions; the model does not hold them."""
        first = len(self.X)
        self.X = np.vstack([self.X, X])
        self.codes = np.concatenate([self.codes, codes])
        if weight is not None:
            self.weight = np.concatenate([self.weight, weight])
        self.held = np.concatenate([self.held, np.zeros(len(X), dtype=bool)])
        return np.arange(first, len(self.X))

    # The model

    @property
    def is_bare(self):
        """Whether the model has verbs as methods."""
        return self.options["estimator"] in ("logistic", "network") and not self.options["steps"]

    @property
    def needs_positions(self):
        """Whether the rows of a call need their positions in the data of the fit."""
        return self.options["estimator"] == "bagging"

    @property
    def ledger_is_right(self):
        """Whether the rows of the ledger are the rows of the model.

        A network with early stopping does not hold the rows that it held out.
        """
        stops = self.options["network"]["early_stopping"] and self.options["base"] == "network"
        return not self.tainted and not stops

    @property
    def sums_to_one(self):
        """Whether the probabilities of a row sum to 1.

        `OneVsRestClassifier` does not divide probabilities that are all 0.
        """
        others = self.options["estimator"] in ("chain", "one_vs_rest")
        return not (others or self.options["multilabel"])

    @property
    def final(self):
        """The last step of the model, or the model itself."""
        return self.model.steps[-1][1] if isinstance(self.model, Pipeline) else self.model

    def erasable(self):
        """The erasable models inside the model."""
        return erasable_models(self.model)

    def fit(self):
        """Fit the model to the first rows of the pool, and begin the ledger."""
        self.model = models.fit(self.options, self.model, *self.training_rows(self.kept))

    def start_ledger(self):
        """Count the rows of each model after the fit."""
        if self.options["network"]["early_stopping"] and self.options["base"] == "network":
            # It does not train on the rows that it holds out.
            self.counts = self.stored_counts()
        else:
            self.counts = self.counts_of(self.codes[self.counted], self.counted)

    def stored_counts(self):
        """The counts of rows that each model stores."""
        states = [model._erasure_state for model in self.erasable()]
        return [(state.n_rows, state.class_counts) for state in states]

    def counts_of(self, codes, positions):
        """The counts of rows of positive weight in each model."""
        return models.counts(self.options, self.final, codes, positions)

    def recommended(self):
        """Whether one of the models recommends a refresh."""
        return any(model.refresh_recommended_ for model in self.erasable())

    def outputs(self, model, X):
        """Probabilities, or decisions, or labels, as a list of arrays."""
        for name in ("predict_proba", "decision_function", "predict"):
            if hasattr(model, name):
                out = getattr(model, name)(self.contained(X))
                return (name, out if isinstance(out, list) else [out])
        return None

    def correct(self):
        """For each row of the pool, the share of its outputs that the model predicts, (n_pool,)."""
        judged = models.judged(self.options, self.model)
        return self._right(judged.predict(self.contained(self.X)))

    def _right(self, predicted):
        """The share of right predictions for each row of the pool, (n_pool,)."""
        truth = self.codes if self.options["multilabel"] else self.names[self.codes]
        right = (np.asarray(predicted) == truth).astype(float)
        return right if right.ndim == 1 else right.mean(axis=1)

    # The model of retraining

    def retrained(self):
        """For each row of the pool, the mean correctness of retraining; None if it is impossible.

        The class weights of 'balanced' are frozen at fit, until a refresh. They are frozen here
        for a single model, and computed anew for composites.
        """
        frozen = [str(model._erasure_state.class_weight) for model in self.erasable()]
        key = self.held.tobytes(), *frozen
        if key not in self._references:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._references = {key: self._retrained()}
        return self._references[key]

    def _retrained(self):
        """See `retrained`."""
        weight = self.weights_of(self.counted)
        class_weight = self.erasable()[0]._erasure_state.class_weight
        if self.options["estimator"] in SINGLE and class_weight is not None:
            own = class_weight[self.codes[self.counted]]
            weight = own if weight is None else weight * own
        again = self._bag_again if self.needs_positions else self._trained_again
        n_seeds = N_SEEDS if self.options["base"] == "network" else 1
        X = self._transformed()
        try:
            plain = [again(X, weight, seed) for seed in range(n_seeds)]
            return np.mean([self._right(model.predict(X)) for model in plain], axis=0)
        except ValueError:  # the rows have one class left, or scikit-learn cannot be fitted to them
            return None

    def _transformed(self):
        """The rows of the pool as the present transformers give them to the last step."""
        judged = models.judged(self.options, self.model)
        X = self.contained(self.X)
        if isinstance(judged, Pipeline):
            X = judged[:-1].transform(X)
        return X if sparse.issparse(X) else np.asarray(X)

    def _trained_again(self, X, weight, seed):
        """A plain model of the retained rows among rows X that are transformed."""
        options = {**self.options, "steps": ()}  # of the same random order of a chain
        if options["estimator"] == "search":
            params = self.final.best_params_
            options["estimator"] = options["base"]
            options[options["base"]] = {**options[options["base"]], **params}
        if options["estimator"] in ("calibrated", "threshold"):
            options["estimator"] = options["base"]
        plain = models.build(options, models.plain_base(options, seed))
        y = self.labels(self.codes[self.counted])
        return models.fit(options, plain, X[self.counted], y, weight)

    def _bag_again(self, X, weight, seed):
        """A bag of plain members, each fitted to the retained rows among the rows that it drew."""
        bag = copy.deepcopy(self.final)
        drawn = zip(bag.estimators_samples_, bag.estimators_features_, strict=True)
        members = []
        for rows, features in drawn:
            own = rows[self.held[rows]]
            member = models.plain_base(self.options, seed)
            members.append(member.fit(X[own][:, features], self.codes[own]))
        bag.estimators_ = members
        return bag

    @property
    def is_convex(self):
        """Whether retraining has one result, with the weights of the model."""
        composite = self.options["estimator"] not in SINGLE
        reweighted = composite and self.options["logistic"]["class_weight"] is not None
        return self.options["base"] == "logistic" and not reweighted
