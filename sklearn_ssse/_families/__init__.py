"""Model families: the only folder that knows ``coef_`` and ``coefs_``.

A family packs the fitted parameters of an estimator into one vector, runs its forward and backward
pass, and knows its L2 penalty. It must not know an inverse, nor how an erasure is made.
"""

from sklearn_ssse._families.affine import AffineColumns
from sklearn_ssse._families.base import Batch, Family
from sklearn_ssse._families.linear import LinearFamily, pack_linear, pack_outputs, unpack_outputs
from sklearn_ssse._families.network import NetworkFamily, pack_network
