"""Export to ONNX with skl2onnx: ``pip install 'sklearn-ssse[onnx]'``."""

from sklearn_ssse.linear_model import ErasableLogisticRegression
from sklearn_ssse.neural_network import ErasableMLPClassifier

__all__ = ["register_converters"]

# Options of `skl2onnx.to_onnx` that both converters accept.
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
}


def register_converters():
    """Register converters, so that `skl2onnx.to_onnx` accepts erasable models.

    It accepts them alone and inside pipelines and other composites. An erasable model is converted
    in the same way as its `to_plain`: the ONNX model holds no curvature, and rows cannot be erased
    from it.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_ssse import ErasableLogisticRegression
    >>> from sklearn_ssse.onnx import register_converters
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), ErasableLogisticRegression()).fit(X, y)
    >>> register_converters()  # doctest: +SKIP
    >>> skl2onnx.to_onnx(pipe, X[:1]).SerializeToString()  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common.shape_calculator import (
            calculate_linear_classifier_output_shapes as shapes,
        )
        from skl2onnx.operator_converters.linear_classifier import convert_sklearn_linear_classifier
        from skl2onnx.operator_converters.multilayer_perceptron import (
            convert_sklearn_mlp_classifier,
        )
    except ImportError:
        raise ImportError(
            "Export to ONNX needs skl2onnx, got an environment without it. Run: pip install "
            "'sklearn-ssse[onnx]'"
        ) from None
    linear_options = {**OPTIONS, "raw_scores": [True, False]}
    for model, convert, options in (
        (ErasableLogisticRegression, convert_sklearn_linear_classifier, linear_options),
        (ErasableMLPClassifier, convert_sklearn_mlp_classifier, OPTIONS),
    ):
        update_registered_converter(
            model, f"SklearnSsse{model.__name__}", shapes, convert, options=options
        )
