"""The types of a model's columns, as its fitted steps define them.

A CSV file holds text. The steps decide whether "1" was a number or a category called "1" at fit.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.utils import get_tags

from sklearn_ssse._composites import inside
from sklearn_ssse._preprocessing import transformers

ENCODERS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)


@dataclass
class InputType:
    """The type of one column.

    Attributes
    ----------
    seen : bool
        True if some step uses the column.
    number : bool
        True if a step converts the column to numbers.
    text : bool
        True if a step takes the column as plain text.
    categories : ndarray or None
        The categories of its encoder; None without an encoder.
    complete : bool
        True if the encoder found the categories in the training rows, which then have no others.
    imputed : bool
        True if an imputer fills in the missing values.
    missing : object
        The value that stands for a missing one.
    """

    seen: bool = False
    number: bool = False
    text: bool = False
    categories: object = None
    complete: bool = False
    imputed: bool = False
    missing: object = np.nan

    @property
    def is_defined(self):
        """Whether a step fixes the type of the column."""
        return self.number or self.text or self.categories is not None

    @property
    def none_or_nan(self):
        """None or NaN, whichever stood for a missing value at fit."""
        return None if self.missing is None else np.nan


def input_types(estimator, n_columns):
    """An `InputType` for each of the estimator's columns."""
    types = [InputType() for _ in range(n_columns)]
    for step, positions in _first_steps(estimator, list(range(n_columns))):
        for i, position in enumerate(positions):
            _describe(types[position], step, i)
    return types


def _describe(column, step, i):
    """Add to an `InputType` the properties that a step requires of its column i."""
    column.seen |= not (isinstance(step, FunctionTransformer) and step.func is None)
    if isinstance(step, SimpleImputer):
        column.number |= step.statistics_.dtype.kind != "O"
        column.imputed = True
        column.missing = step.missing_values
    elif isinstance(step, ENCODERS):
        column.categories = step.categories_[i]
        column.complete = isinstance(step.categories, str)
        if not column.imputed and any(category is None for category in column.categories):
            column.missing = None
    elif isinstance(step, BaseEstimator):
        tags = get_tags(step)
        column.text |= tags.input_tags.string and not tags.input_tags.two_d_array
        takes_others = tags.no_validation or tags.input_tags.string or tags.input_tags.categorical
        is_known = type(step).__module__.partition(".")[0] in ("sklearn", "sklearn_ssse")
        column.number |= is_known and not takes_others


def _first_steps(step, positions):
    """The fitted steps that take columns of the input unchanged or imputed, with the positions."""
    if getattr(step, "n_features_in_", len(positions)) != len(positions):
        return  # a chain adds columns, an imputer may drop or add some
    if isinstance(step, Pipeline):
        for _, inner in transformers(step.steps):
            yield from _first_steps(inner, positions)
            if not isinstance(inner, SimpleImputer):
                return
    elif isinstance(step, FeatureUnion):
        for _, inner in step.transformer_list:
            yield from _first_steps(inner, positions)
    elif isinstance(step, ColumnTransformer):
        for name, inner, _ in step.transformers_:
            own = [positions[i] for i in step._transformer_to_input_indices.get(name, ())]
            if own and not isinstance(inner, str):
                yield from _first_steps(inner, own)
    elif inside(step) and not isinstance(step, BaggingClassifier):
        for part in inside(step):
            yield from _first_steps(part, positions)
    else:  # also a BaggingClassifier, whose members take the columns in different orders
        yield step, positions
