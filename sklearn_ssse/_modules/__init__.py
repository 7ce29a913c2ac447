"""Torch modules: the supported layers, their gradient rows, and a skorch classifier of a module.

The folder imports torch and skorch, so only `sklearn_ssse.torch` may import it. It must not import
a public estimator.
"""

from sklearn_ssse._modules.data import as_arrays
from sklearn_ssse._modules.family import ModuleFamily
from sklearn_ssse._modules.layout import ParameterLayout
from sklearn_ssse._modules.mixin import ModuleMixin, refuse_weights
from sklearn_ssse._modules.net import LabelledNet, decay_groups, untrained
from sklearn_ssse._modules.rows import check_rows, evaluating, gradient_rows, gradient_sums
