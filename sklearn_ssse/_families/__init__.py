"""Model families: the only folder that reads or writes the values of ``coef_`` and ``coefs_``.

A family packs the fitted parameters of an estimator into one vector, runs its forward and backward
pass, and computes its L2 penalty. It must not depend on an inverse or on the steps of an erasure.
"""

from sklearn_ssse._families.affine import AffineColumns, map_first_layer
from sklearn_ssse._families.base import (
    Batch,
    Family,
    arrays_of,
    check_outputs_finite,
    objective_of,
    pack,
    softmax_log_odds,
)
from sklearn_ssse._families.linear import LinearFamily, pack_outputs, unpack_outputs
from sklearn_ssse._families.network import NetworkFamily
