"""Progress of long work, told to scikit-learn's callbacks: never with a row of data."""

from contextlib import contextmanager

from sklearn_ssse._utils.compat import has_callbacks


class Progress:
    """A task that is being worked on.

    Parameters
    ----------
    estimator : estimator object or None
        Who works.
    context : scikit-learn's context of the task, or None
        Without one, or without callbacks, nobody is told.
    """

    def __init__(self, estimator=None, context=None):
        self._estimator = estimator
        self._context = context if has_callbacks(context) else None

    @contextmanager
    def task(self, name, parts=0):
        """A part of the task, in so many parts itself; None for an unknown number."""
        if self._context is None:
            yield self
            return
        with begun(
            self._estimator, self._context.subcontext(task_name=name, max_subtasks=parts)
        ) as progress:
            yield progress

    def each(self, items, name):
        """Yield the items, each of them one part of a task."""
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
    """The `Progress` of a context, from its beginning to its end; nobody's without one."""
    if context is None:
        yield SILENT
        return
    context.call_on_fit_task_begin(estimator=estimator)
    yield Progress(estimator, context)
    context.call_on_fit_task_end(estimator=estimator)


SILENT = Progress()
