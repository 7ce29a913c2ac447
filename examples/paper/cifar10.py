"""CIFAR-10 (Krizhevsky 2009) as arrays of standardised pixels.

The environment variable SSSE_CIFAR10 names either the folder of the original batches for Python
("cifar-10-batches-py") or an .npz file of JPEG bytes (`train_bytes`, `train_offsets`,
`train_labels` and the same for `test`). Nothing is downloaded.
"""

import io
import os
import pickle
from pathlib import Path

import numpy as np

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
VARIABLE = "SSSE_CIFAR10"
ORIGINAL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"


def source() -> Path:
    """Return the path that the environment variable names."""
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).exists():
        raise FileNotFoundError(
            f"The environment variable {VARIABLE} must name the folder cifar-10-batches-py or an "
            f".npz file of JPEG bytes, got {path!r}. Download {ORIGINAL}, unpack it, and set the "
            f"variable to the folder."
        )
    return Path(path)


def decoded(file, part: str, rows: np.ndarray) -> np.ndarray:
    """Return the images of `rows` from JPEG bytes, (n_rows, 32, 32, 3), uint8."""
    from PIL import Image

    offsets = file[f"{part}_offsets"]
    encoded = file[f"{part}_bytes"].tobytes()
    images = [Image.open(io.BytesIO(encoded[offsets[i] : offsets[i + 1]])) for i in rows]
    return np.stack([np.asarray(image.convert("RGB")) for image in images])


def batches_of(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return all images, (n, 32, 32, 3), and labels of the original batches."""
    names = ["test_batch"] if part == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    batches = [pickle.loads((folder / name).read_bytes(), encoding="bytes") for name in names]
    images = np.concatenate([batch[b"data"] for batch in batches])
    labels = np.concatenate([batch[b"labels"] for batch in batches])
    return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def chosen_rows(labels: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n_rows` row numbers in random order, equally many of each class."""
    per_class = n_rows // len(CLASSES)
    rows = [
        rng.choice(np.flatnonzero(labels == label), per_class, replace=False)
        for label in range(len(CLASSES))
    ]
    return rng.permutation(np.concatenate(rows))


def load(n_train: int, n_test: int, n_pixels: int, seed: int = 0):
    """Return standardised training and test images and their labels.

    Parameters
    ----------
    n_train, n_test : int
        Numbers of rows, equally many of each class, drawn with `seed`.
    n_pixels : {32, 16, 8}
        Height and width. Below 32, each pixel is the mean of a square of pixels.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images (n, 3, n_pixels, n_pixels), float32, each channel with mean 0 and standard
        deviation 1 over the training images, and labels (n,), int64.
    """
    path = source()
    rng = np.random.default_rng(seed)
    parts = []
    for part, n_rows in [("train", n_train), ("test", n_test)]:
        if path.is_dir():
            images, labels = batches_of(path, part)
            rows = chosen_rows(labels, n_rows, rng)
            images = images[rows]
        else:
            with np.load(path) as file:
                labels = file[f"{part}_labels"]
                rows = chosen_rows(labels, n_rows, rng)
                images = decoded(file, part, rows)
        side = 32 // n_pixels
        shape = (n_rows, n_pixels, side, n_pixels, side, 3)
        images = images.reshape(shape).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
        parts.append((images, labels[rows].astype(np.int64)))
    (X_train, y_train), (X_test, y_test) = parts
    mean = X_train.mean(axis=(0, 2, 3), keepdims=True)
    scale = X_train.std(axis=(0, 2, 3), keepdims=True)
    X_train = ((X_train - mean) / scale).astype(np.float32)
    X_test = ((X_test - mean) / scale).astype(np.float32)
    return X_train, y_train, X_test, y_test
