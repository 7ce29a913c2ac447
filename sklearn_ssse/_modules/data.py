"""Rows of data for torch modules: arrays of any shape, tensors, data sets and data loaders."""

from collections.abc import Mapping

import numpy as np
import skorch
import torch
from scipy import sparse
from skorch.dataset import get_len
from skorch.utils import data_from_dataset, is_dataset
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, TensorDataset
from torch.utils.data.dataloader import default_collate

from sklearn_ssse.exceptions import ErasureError, ErasureTypeError


def as_dataset(X):
    """The data set of a data loader, the numbers of a data frame; other rows as they are.

    A data loader must not select or change rows, because the data set is read without it.
    """
    if isinstance(X, DataLoader):
        is_plain = isinstance(X.sampler, SequentialSampler | RandomSampler)
        if not is_plain or X.collate_fn is not default_collate:
            raise ErasureTypeError(
                "A DataLoader must have the default collate_fn and no sampler of its own, because "
                "its data set is read without it. Pass a Dataset of the rows to train on."
            )
        return X.dataset
    is_frame = hasattr(X, "columns") and hasattr(X, "to_numpy")
    return X.to_numpy() if is_frame else X


def as_arrays(X, y=None):
    """Rows of any shape and their labels as arrays.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...), tensor, sparse matrix, Dataset or DataLoader
        A data set is read once, in its order; a random transformation of its rows is made once.
    y : array-like of shape (n_samples,) or None
        None for a data set that holds the labels.

    Returns
    -------
    X : ndarray of shape (n_samples, ...)
    y : ndarray of shape (n_samples,)
    """
    X = as_dataset(X)
    if is_dataset(X):
        rows, labels = _read(X)
        return as_arrays(rows, labels if y is None else y)
    if isinstance(X, Mapping):
        raise ErasureTypeError(
            f"X must be one array, tensor, Dataset or DataLoader, got a {type(X).__name__} of "
            "several inputs. Pass a module with one input."
        )
    if y is None:
        raise ErasureTypeError(
            "y must be given with rows that hold no labels, got None. Pass the labels, or a "
            "Dataset of rows and labels."
        )
    X = X.toarray() if sparse.issparse(X) else _array(X)
    return X, _array(y)


def _array(values):
    """An array-like, or a tensor on any device, as an array."""
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)


def _read(dataset):
    """The rows and labels of a data set, each an array."""
    if isinstance(dataset, TensorDataset | skorch.dataset.Dataset):  # no transformation
        rows, labels = data_from_dataset(dataset)
        if labels is not None:
            return rows, labels
    return _items(dataset)


def _items(dataset):
    """The rows and labels of a data set, read one by one."""
    pairs = [dataset[i] for i in range(get_len(dataset))]
    if any(len(pair) != 2 for pair in pairs):
        raise ErasureTypeError(
            "A Dataset must yield pairs of a row and its label, got other items. Wrap it in a "
            "Dataset of such pairs."
        )
    rows = np.stack([_array(row) for row, _ in pairs]) if pairs else np.zeros((0, 1))
    return rows, np.array([_array(label).item() for _, label in pairs])


def flat_rows(X, row_shape, min_rows):
    """Rows of data as numbers, one row after the other, (n_samples, n_numbers).

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...)
    row_shape : tuple of int or None
        Shape of a row at fit; None if it is not known.
    min_rows : int

    Raises
    ------
    ErasureError
        If the rows have another shape, or hold other values than finite numbers.
    """
    as_at_fit = "Pass the rows as they were given to `fit`."
    if X.ndim < 2 or (row_shape is not None and X.shape[1:] != row_shape):
        wanted = "at least one axis" if row_shape is None else f"shape {row_shape}"
        raise ErasureError(
            f"Each row of X must have {wanted}, got X of shape {X.shape}. {as_at_fit}"
        )
    if len(X) < min_rows:
        raise ErasureError(f"X must hold at least {min_rows} row, got none. {as_at_fit}")
    if X.dtype.kind not in "fiu":
        raise ErasureError(f"X must hold numbers, got values of type {X.dtype}. {as_at_fit}")
    flat = X.reshape(len(X), -1)
    n_faulty = int((~np.isfinite(flat)).any(axis=1).sum()) if X.dtype.kind == "f" else 0
    if n_faulty:
        raise ErasureError(
            f"X must hold finite numbers, got NaN or infinity in {n_faulty} of {len(X)} rows. "
            f"{as_at_fit}"
        )
    return flat
