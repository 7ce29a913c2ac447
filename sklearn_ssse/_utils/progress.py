"""Progress of long work, reported to scikit-learn's callbacks without any row of data."""

from contextlib import contextmanager

from sklearn_ssse._utils.compat import has_callbacks


class Progress:
    """A task in progress.

    Parameters
    ----------
    estimator : estimator object or None
        The estimator that runs the task.
    context : callback context of scikit-learn, or None
        If it is None or has no callbacks, nothing is reported.
    """

    def __init__(self, estimator=None, context=None):
        self._estimator = estimator
        self._context = context if has_callbacks(context) else None

    @contextmanager
    def task(self, name, parts=0):
        """A subtask with a number of ``parts`` of its own; None for an unknown number."""
        if self._context is None:
            yield self
            return
        context = self._context.subcontext(task_name=name, max_subtasks=parts)
        with begun(self._estimator, context) as progress:
            yield progress

    def each(self, items, name):
        """Yield the items of a subtask, each as one part of it."""
        if self._context is None:
            yield from items
            return
        items = list(items)
        with self.task(name, len(items)) as whole:
            for item in items:
                with whole.task(name):
                    yield item


@contextmanager
def begun(estimator, context):
    """The `Progress` of a context, from its beginning to its end; `SILENT` without a context."""
    if context is None:
        yield SILENT
        return
    context.call_on_fit_task_begin(estimator=estimator)
    yield Progress(estimator, context)
    context.call_on_fit_task_end(estimator=estimator)


# Progress that is not reported.
SILENT = Progress()
