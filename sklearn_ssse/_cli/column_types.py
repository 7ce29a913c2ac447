"""What the fitted steps of a model know of the columns that it is given: numbers, or which categories, and how a missing value looks.

A CSV file holds text. Whether "1" was a number or a category called "1" at fit, the model knows better than a reader that guesses.
"""

from dataclasses import dataclass

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
    """What is known of one column.

    ``seen`` tells that some step does something with the column; ``text`` tells that a step takes the column as it stands. ``categories``
    is an array, or None for a column that no encoder sees; ``complete`` tells that the encoder took them from the training rows, so that
    these have no others. ``imputed`` tells that an imputer comes first, ``missing`` what it takes as missing.
    """

    seen: bool = False
    number: bool = False
    text: bool = False
    categories: object = None
    complete: bool = False
    imputed: bool = False
    missing: object = None


def input_types(estimator, n_columns):
    """An `InputType` for each column that the estimator is given."""
    types = [InputType() for _ in range(n_columns)]
    for step, positions in _consumers(estimator, list(range(n_columns))):
        columns = [types[i] for i in positions]
        for column in columns:
            column.seen |= not (isinstance(step, FunctionTransformer) and step.func is None)
        if isinstance(step, SimpleImputer):
            for column in columns:
                column.number |= step.statistics_.dtype.kind != "O"
                column.imputed, column.missing = True, step.missing_values
        elif isinstance(step, ENCODERS):
            for column, categories in zip(
                columns, step.categories_, strict=False
            ):  # an imputer may have added indicators
                column.categories, column.complete = categories, isinstance(step.categories, str)
        elif (
            isinstance(step, BaseEstimator)
            and get_tags(step).input_tags.string
            and not get_tags(step).input_tags.two_d_array
        ):
            for column in columns:
                column.text = True
        elif _takes_numbers(step):
            for column in columns:
                column.number = True
    return types


def _consumers(step, positions):
    """The fitted steps that see columns of the input as they are, or with missing values filled in, and the columns' positions."""
    if isinstance(step, Pipeline):
        for _, inner in transformers(step.steps):
            if getattr(inner, "n_features_in_", len(positions)) != len(
                positions
            ):  # the imputer before dropped or added some
                return
            yield from _consumers(inner, positions)
            if not isinstance(inner, SimpleImputer):
                return
    elif isinstance(step, FeatureUnion):
        for _, inner in step.transformer_list:
            yield from _consumers(inner, positions)
    elif isinstance(step, ColumnTransformer):
        for name, inner, _ in step.transformers_:
            own = [positions[i] for i in step._transformer_to_input_indices.get(name, ())]
            if own and not isinstance(inner, str):
                yield from _consumers(inner, own)
    elif isinstance(step, BaggingClassifier):  # its members see columns in an order of their own
        yield step, positions
    elif parts := inside(step):
        for part in parts:
            if getattr(part, "n_features_in_", len(positions)) == len(
                positions
            ):  # a chain adds columns
                yield from _consumers(part, positions)
    else:
        yield step, positions


def _takes_numbers(step):
    """Whether it is a step of scikit-learn's, or ours, that turns its input into an array of numbers."""
    if type(step).__module__.partition(".")[0] not in ("sklearn", "sklearn_ssse"):
        return False
    tags = get_tags(step)
    return not (tags.no_validation or tags.input_tags.string or tags.input_tags.categorical)
