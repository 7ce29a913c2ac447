"""Per-sample gradients and curvature rows in factored form.

The folder defines the curvatures by their seeds at the output of a model, and stores curvature rows
as factors per layer. It must not import an estimator or an inverse.
"""

from sklearn_ssse._gradients.curvatures import CURVATURES, GRADIENT, HESSIAN, Curvature, gradient
from sklearn_ssse._gradients.fourth_order import FourthOrder
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._gradients.streams import CurvatureRows, ScoreStream, SignedStream
from sklearn_ssse._gradients.third_order import ThirdOrder, third_derivatives
