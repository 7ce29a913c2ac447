"""
Which eps?
==========

The step length eps decides how far an erasure changes the parameters. ``"auto"``, the default, is
calibrated at fit without retraining. If you can afford one refit for each of a few forget sets,
`TunedEpsilonCV` measures the best eps: it erases random rows, retrains without them, and compares.
"""

# %%
# One fit on all rows and one refit for each forget set serve the whole grid. gamma_S near 1 means
# that the erased model behaves like the retrained one; near 0, like the original one. The distance
# ratio compares the parameters, and 0 is perfect; "Hessian" weighs each direction by its effect on
# the loss of the retained rows.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, ShuffleSplit, ValidationCurveDisplay
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssse import ErasableLogisticRegression, GammaCurveDisplay, GammaScorer, TunedEpsilonCV
from sklearn_ssse.display import AccuracyGapDisplay, LeverageDisplay

X, y = load_breast_cancer(return_X_y=True)
forget_sets = ShuffleSplit(5, test_size=0.05, random_state=0)
pipe = Pipeline([("scale", StandardScaler()), ("clf", ErasableLogisticRegression())])

tuned = TunedEpsilonCV(pipe, cv=forget_sets, metric="probability").fit(X, y)
print(f"best eps {tuned.best_epsilon_}, gamma_S {tuned.best_score_:.2f}")
GammaCurveDisplay.from_estimator(tuned)
AccuracyGapDisplay.from_estimator(tuned)

# %%
# A row of high leverage determines the curvature in some direction almost alone. Erasing it in one
# step is unreliable.
LeverageDisplay.from_estimator(tuned.estimator_, X, y)

# %%
# `GridSearchCV` searches over several parameters at once. Its test folds are the forget sets, and
# its refitted best estimator is the model to keep.
search = GridSearchCV(
    pipe,
    {
        "clf__curvature": ["empirical_fisher", "fisher"],
        "clf__damping": ["auto", 1e-2],
        "clf__unlearn_epsilon": [0.3, 1.0, "auto"],
    },
    scoring=GammaScorer(X, y, metric="probability"),
    cv=forget_sets,
    n_jobs=2,
).fit(X, y)
print(search.best_params_)

# %%
# The validation curve of scikit-learn also works, with the forget sets as test folds.
curve = ValidationCurveDisplay.from_estimator(
    pipe,
    X,
    y,
    param_name="clf__unlearn_epsilon",
    param_range=np.geomspace(0.1, 3, 6),
    scoring=GammaScorer(X, y, metric="probability"),
    cv=forget_sets,
    score_type="test",
    score_name="gamma_S",
)
curve.ax_.set_xscale("log")
plt.show()
