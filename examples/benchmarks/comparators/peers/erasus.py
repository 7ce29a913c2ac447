"""erasus: its strategy "certified_removal", a Newton step by stochastic Hessian products."""

import numpy as np

from comparators.peers.torch_layer import BATCH, LinearLayer


class Erasus(LinearLayer):
    """`CertifiedRemovalStrategy` of erasus with its default parameters.

    Its step is the inverse Hessian times the mean gradient of the forget rows, without the factor
    k / (n - k) of a removal, and its series of 100 products has the factor 1e-4. The scale of its
    step thus means nothing.
    """

    name = "erasus"
    reference = "erasus 0.2"
    package = "erasus"
    needs_rows = "all"
    free_scale = True

    def _prepare(self):
        pass

    def _erase(self, index):
        import torch
        from erasus.strategies.data_methods.certified_removal import CertifiedRemovalStrategy

        module = torch.nn.Linear(
            self.objective.width, len(self.classes), bias=False, dtype=torch.float64
        )
        # The cross-entropy of two outputs, the first of them 0, is the logistic loss of the second.
        start = self.theta
        if len(self.classes) == 2:
            start = np.vstack([np.zeros_like(start), start])
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(start))
        keep = self.retained.copy()
        keep[index] = False
        CertifiedRemovalStrategy().unlearn(
            module, self.batches(index), self.batches(np.flatnonzero(keep))
        )
        end = module.weight.detach().numpy()
        self.theta = end[1:] - end[:1] if len(self.classes) == 2 else end.copy()

    def batches(self, index):
        """Some rows in batches, with labels as class indices."""
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        part = self.rows.take(index)
        labels = part.Y[:, 0] if len(self.classes) == 2 else part.Y.argmax(axis=1)
        tensors = TensorDataset(torch.from_numpy(part.Z), torch.from_numpy(labels.astype(np.int64)))
        return DataLoader(tensors, batch_size=BATCH)
