"""The warning for a call that changes no row."""

from sklearn_ssse._utils.warnings import warn

NO_ROWS = (
    "At least one row of positive weight must be given, got none: no row is erased or added, and "
    "nothing changes. The usual reason is a filter that matches no row, for example because the "
    'ids are of another type ("17" against 17). Check the filter and the weights.'
)


def warn_of_no_rows():
    """Warn that a call changes nothing, because it was given no row of positive weight."""
    warn(NO_ROWS)
