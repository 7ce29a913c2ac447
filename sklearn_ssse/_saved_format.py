"""The format number of saved models, and the types that they may contain."""

from inspect import Parameter, signature

from sklearn_ssse._version import __version__
from sklearn_ssse.exceptions import ErasureError

# Number of the format. Increase it when `_erasure_state`, a curvature or a calibration changes, and
# let `checked` convert the older formats.
FORMAT = 1
# Key of the format number in the state of a saved model.
KEY = "_sklearn_ssse_format"

# Types in a saved model of this package, for the argument ``trusted`` of `skops.io.load`.
TRUSTED_TYPES = [
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.callback._progressbar.ProgressBar",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._classification.precision_score",
    "sklearn.metrics._classification.recall_score",
    "sklearn.metrics._ranking.average_precision_score",
    "sklearn.metrics._ranking.roc_auc_score",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.GroupShuffleSplit",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.LeaveOneGroupOut",
    "sklearn.model_selection._split.PredefinedSplit",
    "sklearn.model_selection._split.RepeatedKFold",
    "sklearn.model_selection._split.RepeatedStratifiedKFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn_ssse._calibration.logistic.Calibration",
    "sklearn_ssse._calibration.logistic.Exact",
    "sklearn_ssse._calibration.network.HeldOut",
    "sklearn_ssse._erasure.bounds.Bounds",
    "sklearn_ssse._erasure.bounds.NoBounds",
    "sklearn_ssse._erasure.certificate.Certificate",
    "sklearn_ssse._erasure.path.Path",
    "sklearn_ssse._erasure.records.ErasureRecord",
    "sklearn_ssse._erasure.records.ErasureState",
    "sklearn_ssse._erasure.row_limits.RowLimits",
    "sklearn_ssse._erasure.row_sums.RowSums",
    "sklearn_ssse._erasure.second_order.SecondOrder",
    "sklearn_ssse._erasure.softmax_bounds.SoftmaxBounds",
    "sklearn_ssse._gradients.fourth_order.FourthOrder",
    "sklearn_ssse._erasure.tracking.TrackedRows",
    "sklearn_ssse._gradients.third_order.ThirdOrder",
    "sklearn_ssse._inverse.block.BlockInverse",
    "sklearn_ssse._inverse.diagonal.DiagonalInverse",
    "sklearn_ssse._inverse.full.FullInverse",
    "sklearn_ssse._inverse.low_rank.LowRankInverse",
    "sklearn_ssse._inverse.sketch.Omega",
    "sklearn_ssse._inverse.sketch.RowBlocks",
    "sklearn_ssse._search.forget_set_split.ForgetSetSplit",
    "sklearn_ssse.linear_model.ErasableLogisticRegression",
    "sklearn_ssse.metrics.GammaScorer",
    "sklearn_ssse.model_selection.TunedEpsilonCV",
    "sklearn_ssse.neural_network.ErasableMLPClassifier",
    "sklearn_ssse.preprocessing.ErasableSimpleImputer",
]


def stamped(state):
    """The state of a model with the format number, ready to be saved."""
    return {**state, KEY: FORMAT}


def checked(state):
    """The state of a saved model without the format number.

    Raises
    ------
    ErasureError
        If a newer version of this package saved the model.
    """
    found = state.get(KEY, FORMAT)
    if found > FORMAT:
        raise ErasureError(
            f"A saved model must have format {FORMAT} or older for sklearn-ssse {__version__}, got "
            f"format {found}, of a newer version. Load it after: pip install -U sklearn-ssse"
        )
    return {name: value for name, value in state.items() if name != KEY}


def with_new_parameters(state, cls):
    """The state of a saved model with the defaults of parameters that its version did not have."""
    found = signature(cls.__init__).parameters.values()
    new = [item for item in found if item.default is not Parameter.empty and item.name not in state]
    return {**state, **{item.name: item.default for item in new}}
