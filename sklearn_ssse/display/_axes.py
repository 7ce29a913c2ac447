"""The axes of a display; matplotlib is imported when a display is drawn."""


def make_axes(ax):
    """The given matplotlib Axes, or new ones for None."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plotting needs matplotlib, got an environment without it. Run: pip install "
            "'sklearn-ssse[plot]'"
        ) from error
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax
