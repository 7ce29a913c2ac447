"""Torch modules: the supported layers, the layout of their parameters and their gradient rows.

The folder imports torch, so only `sklearn_ssse.torch` may import it. It must not import an
estimator.
"""

from sklearn_ssse._modules.layout import ParameterLayout
from sklearn_ssse._modules.rows import check_rows, evaluating, gradient_rows, gradient_sums
