"""`unlearn`, `learn`, `rectify`, `refresh` and previews for estimators with models inside.

The folder plans a change of the rows of every model inside an estimator, and makes it or returns
its records. It depends on the plans of `_composites`. It must not depend on a type of composite, a
curvature or a parameter array.
"""

from sklearn_ssse._verbs.changes import learn, rectify, refresh, unlearn, unlearn_for_search
from sklearn_ssse._verbs.paths import epsilon_paths, unlearn_path
from sklearn_ssse._verbs.previews import preview_learn, preview_rectify, preview_unlearn
