"""Names of types for annotations, which every backend implements in its own way."""

from typing import Any, TypeAlias

# A dense array of NumPy, or a tensor of torch on the device of the kernels.
Array: TypeAlias = Any
# The inputs of a layer: an `Array`, or a CSR array of SciPy.
Inputs: TypeAlias = Any
# The kernels of a backend: the module `cpu`, or an object with the same functions.
Kernels: TypeAlias = Any
