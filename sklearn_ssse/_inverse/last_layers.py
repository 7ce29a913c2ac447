"""The dense inverse for the last layers of a network; the other layers do not move."""

from sklearn_ssse._inverse.full import FullInverse


class LastLayersInverse(FullInverse):
    """The dense inverse of a network whose family has the parameters of its last layers alone."""

    is_automatic = False
    last_layers_only = True
