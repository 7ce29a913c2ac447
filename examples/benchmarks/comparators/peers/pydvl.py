"""pyDVL: `DirectInfluence`, the inverse of the dense Hessian or Gauss-Newton matrix."""

import numpy as np

from comparators.peers.torch_layer import BATCH, LinearLayer

# Names of the matrices in tables, and in pyDVL.
MODES = {"Hessian": "HESSIAN", "Gauss-Newton": "GAUSS_NEWTON"}


class PyDVL(LinearLayer):
    """Influence factors of pyDVL, summed over the forget rows and divided by n - k.

    Parameters
    ----------
    mode : {"Hessian", "Gauss-Newton"}
        The matrix. pyDVL averages the Gauss-Newton matrix over batches, each from the gradient of
        its mean loss, so that the scale depends on the size of the batches.
    batch_size : int, default=BATCH
        Rows of a batch.
    """

    reference = "pyDVL 0.10"
    package = "pydvl"

    def __init__(self, mode="Hessian", batch_size=BATCH):
        self.mode = mode
        self.batch_size = batch_size
        self.name = f"pyDVL, {mode}"
        # The scale of this matrix means nothing: the race also reports the best scale in hindsight.
        self.free_scale = mode == "Gauss-Newton"

    def _prepare(self):
        from pydvl.influence.torch import DirectInfluence, SecondOrderMode

        self.module = self.layer()
        self.influence = DirectInfluence(
            self.module,
            self.loss(),
            regularization=self.ridge(),
            second_order_mode=SecondOrderMode[MODES[self.mode]],
        ).fit(self.loader(self.batch_size))

    def _erase(self, index):
        factors = self.influence.influence_factors(*self.tensors(index))
        step = factors.detach().numpy().sum(axis=0).reshape(self.theta.shape)
        if not np.isfinite(step).all():
            raise ArithmeticError(
                "The influence factors must be finite, got nan. Change the size of the batches."
            )
        self.theta = self.theta + step / (self.retained.sum() - len(index))
        self.load(self.module)
