"""Types that are registered when the first of them is met, because their import takes 50 ms."""

from sklearn_ssse._composites.registry import LATE


def register_meta_estimators():
    """Register scikit-learn's meta-estimators."""
    from sklearn_ssse._composites import meta_estimators  # noqa: F401


LATE.append(register_meta_estimators)
