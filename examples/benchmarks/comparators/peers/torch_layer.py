"""The shared objective as a torch module: one linear layer without a bias, and its mean loss."""

from comparators.base import Comparator

# Rows of one batch: pyDVL forms one gradient for each row and parameter, 20,000 rows of 54 columns
# in one batch took 18 GB.
BATCH = 1000


class LinearLayer(Comparator):
    """A comparator whose step is a package's inverse curvature times the forget gradients.

    The intercepts are weights of the column of ones. The packages add one ridge to all parameters,
    1 / (C n), so that they penalise the intercepts, too, which the shared objective does not.
    """

    needs_rows = "forget"

    def layer(self):
        """The module with the present parameters, in double precision."""
        import torch

        module = torch.nn.Linear(*self.theta.shape[::-1], bias=False, dtype=torch.float64)
        self.load(module)
        return module

    def load(self, module):
        """Copy the present parameters into a module."""
        import torch

        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self.theta))

    def loss(self):
        """The mean loss of a batch: a module of torch."""
        import torch

        if self.objective.n_outputs == 1:
            return torch.nn.BCEWithLogitsLoss()
        return torch.nn.CrossEntropyLoss()

    def loader(self, batch_size=BATCH):
        """The training rows in batches, in order."""
        from torch.utils.data import DataLoader, TensorDataset

        return DataLoader(TensorDataset(*self.tensors(slice(None))), batch_size=batch_size)

    def tensors(self, index):
        """Features and targets of some rows."""
        import torch

        part = self.rows.take(index)
        return torch.from_numpy(part.Z), torch.from_numpy(part.Y)

    def ridge(self):
        """The penalty on the scale of a mean over the rows."""
        return 1.0 / (self.objective.C * len(self.rows))
