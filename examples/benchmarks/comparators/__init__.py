"""Ways to erase training rows from a logistic regression, behind one interface, `base.Comparator`.

The scripts of `examples/benchmarks` import this folder: ``from comparators import Retraining``.
"""

from comparators.base import Comparator
from comparators.certified import CertifiedRemoval
from comparators.delta_grad import DeltaGrad
from comparators.diagonal_fisher import DiagonalFisher
from comparators.influence import Influence, InfluenceCG
from comparators.objective import Objective, Rows
from comparators.projective import ProjectiveResidual
from comparators.retraining import Retraining, WarmStart
from comparators.sisa import SISA

__all__ = [
    "SISA",
    "CertifiedRemoval",
    "Comparator",
    "DeltaGrad",
    "DiagonalFisher",
    "Influence",
    "InfluenceCG",
    "Objective",
    "ProjectiveResidual",
    "Retraining",
    "Rows",
    "WarmStart",
]
