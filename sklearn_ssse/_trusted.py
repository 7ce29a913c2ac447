"""Types that a skops file of this library's models holds beside scikit-learn's."""

TRUSTED_TYPES = [
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn_ssse._calibration.Calibration",
    "sklearn_ssse._calibration.Exact",
    "sklearn_ssse._held_out.HeldOut",
    "sklearn_ssse._inverse._block.BlockInverse",
    "sklearn_ssse._inverse._diagonal.DiagonalInverse",
    "sklearn_ssse._inverse._full.FullInverse",
    "sklearn_ssse._inverse._low_rank.LowRankInverse",
    "sklearn_ssse._inverse._sketch.Omega",
    "sklearn_ssse._inverse._sketch.RowBlocks",
    "sklearn_ssse._records.ErasureRecord",
    "sklearn_ssse._records.ErasureState",
    "sklearn_ssse.linear_model.ErasableLogisticRegression",
    "sklearn_ssse.neural_network.ErasableMLPClassifier",
]
