"""ResNet20 for images of 10 classes (He, Zhang, Ren, Sun 2015, section 4.2).

A 3 x 3 convolution with 16 channels; three stages of three residual blocks with 16, 32 and 64
channels, two 3 x 3 convolutions a block; the average over the pixels; one linear layer. The first
block of the second and third stage halves the height and the width. There the shortcut takes every
second pixel and fills the new channels with zeros ("option A" of the paper), so that it has no
parameters. With batch norm the network has 269,722 parameters. Group norm has the same number of
parameters and keeps no running statistics of the training rows.
"""

import torch
from torch import nn

N_PARAMETERS = 269_722
STAGE_CHANNELS = (16, 32, 64)
BLOCKS_PER_STAGE = 3
CHANNELS_PER_GROUP = 8  # of the group norm


def normalisation(norm: str, n_channels: int) -> nn.Module:
    """Return the layer that follows a convolution of `n_channels` outputs."""
    if norm == "batch":
        return nn.BatchNorm2d(n_channels)
    if norm == "group":
        return nn.GroupNorm(n_channels // CHANNELS_PER_GROUP, n_channels)
    raise ValueError(f'`norm` must be "batch" or "group", got {norm!r}. Choose one of the two.')


class Shortcut(nn.Module):
    """The identity, or every second pixel with channels of zeros appended."""

    def __init__(self, n_inputs: int, n_outputs: int):
        super().__init__()
        self.n_new = n_outputs - n_inputs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.n_new == 0:
            return images
        before = self.n_new // 2
        after = self.n_new - before
        return nn.functional.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, before, after))


class Block(nn.Module):
    """Two convolutions, each followed by its norm, and the shortcut around both."""

    def __init__(self, n_inputs: int, n_outputs: int, norm: str):
        super().__init__()
        stride = 1 if n_inputs == n_outputs else 2
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = normalisation(norm, n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, padding=1, bias=False)
        self.norm2 = normalisation(norm, n_outputs)
        self.shortcut = Shortcut(n_inputs, n_outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norm1(self.conv1(images)))
        return torch.relu(self.norm2(self.conv2(hidden)) + self.shortcut(images))


class ResNet20(nn.Module):
    """The network described at the top of this file.

    Parameters
    ----------
    norm : {"batch", "group"}, default="batch"
        The layer after each convolution. Group norm uses groups of 8 channels.
    n_classes : int, default=10
        The number of outputs (logits).
    """

    def __init__(self, norm: str = "batch", n_classes: int = 10):
        super().__init__()
        n_first = STAGE_CHANNELS[0]
        self.conv = nn.Conv2d(3, n_first, 3, padding=1, bias=False)
        self.norm = normalisation(norm, n_first)
        blocks = []
        n_inputs = n_first
        for n_outputs in STAGE_CHANNELS:
            for _ in range(BLOCKS_PER_STAGE):
                blocks.append(Block(n_inputs, n_outputs, norm))
                n_inputs = n_outputs
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(n_inputs, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the linear layer, (n_images, 64)."""
        hidden = torch.relu(self.norm(self.conv(images)))
        return self.blocks(hidden).mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(images))
