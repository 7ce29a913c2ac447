"""Per-sample gradients and curvature rows in factored form.

The folder knows seeds at the output of a model and the factors of a row on a layer. It must not
know an estimator, nor an inverse.
"""

from sklearn_ssse._gradients.curvatures import CURVATURES, GRADIENT, HESSIAN, Curvature, gradient
from sklearn_ssse._gradients.scores import Layer, Scores
from sklearn_ssse._gradients.streams import ScoreStream, SignedStream
