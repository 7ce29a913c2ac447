"""Pipelines, searches and other estimators that hold erasable models.

The folder finds the models inside an estimator and sends rows to them. It depends on scikit-learn's
composite types and on the planning of an erasure. It must not depend on a curvature, a structure or
a parameter array.
"""

from sklearn_ssse._composites import late, model, multioutput, pipeline
from sklearn_ssse._composites.inspection import (
    bare_copies,
    erasable_models,
    final_step,
    known_columns,
    lockable_parts,
    transformed,
)
from sklearn_ssse._composites.registry import inside, plan, registered, route, third_party
from sklearn_ssse._composites.requests import plan_learn, plan_rectify, plan_refresh, plan_unlearn
from sklearn_ssse._composites.rows import Plan, RoutedRows
