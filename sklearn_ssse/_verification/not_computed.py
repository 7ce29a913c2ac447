"""Measures that cannot be computed, each with the reason."""


class NotComputedError(Exception):
    """A measure is not defined for the given models and rows; the message is a sentence."""


class Skipped(dict):
    """The reasons of the measures that were not computed, by the name of the measure."""

    def attempt(self, name, function, *args):
        """The result of a measure, or None with its reason in this dict.

        The message of any other error may quote a row or a label: only its type is kept.
        """
        try:
            return function(*args)
        except NotComputedError as error:
            self[name] = str(error)
        except Exception as error:  # any type, of a third party's estimator
            self[name] = f"It needs models that it can evaluate, got {type(error).__name__}."
        return None
