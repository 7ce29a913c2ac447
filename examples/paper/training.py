"""Training of the networks of figure 2: SGD with momentum, no augmentation."""

import math

import numpy as np
import torch
from resnet import ResNet20

LEARNING_RATE = 0.1  # the largest of the schedule
MOMENTUM = 0.9
WARM_UP = 0.15  # share of the steps in which the learning rate rises


def learning_rate(share: float) -> float:
    """Return the learning rate after a `share` of the steps: a linear rise, then a cosine."""
    if share < WARM_UP:
        return LEARNING_RATE * share / WARM_UP
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def trained(X, y, kept, *, norm, seed, n_epochs, batch_size, weight_decay) -> ResNet20:
    """Return a network trained on the rows of `kept`, in evaluation mode.

    Parameters
    ----------
    X : Tensor of shape (n, 3, height, width)
    y : Tensor of shape (n,)
        Labels from 0 to 9.
    kept : ndarray of shape (n,), bool
        The rows to train on. The seed fixes the initial parameters and the order of all n rows in
        each epoch; a row that is not kept is left out of that order, so that training with and
        without a forget set differs in nothing else.
    """
    torch.manual_seed(seed)
    module = ResNet20(norm).to(X.device).train()
    optimizer = torch.optim.SGD(
        module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=weight_decay
    )
    rng = np.random.default_rng(seed)
    for epoch in range(n_epochs):
        order = rng.permutation(len(y))
        batches = np.array_split(order[kept[order]], math.ceil(kept.sum() / batch_size))
        for i, batch in enumerate(batches):
            share = (epoch + i / len(batches)) / n_epochs
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(share)
            rows = torch.as_tensor(batch, device=X.device)
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(module(X[rows]), y[rows]).backward()
            optimizer.step()
    return module.eval()


@torch.no_grad()
def logits(module, X, batch_size=100) -> np.ndarray:
    """Return the outputs of a module in evaluation mode, (n, 10)."""
    return torch.cat([module(rows) for rows in X.split(batch_size)]).cpu().numpy()
