"""Parameters that all erasable estimators share, with their constraints and documentation."""

from numbers import Integral, Real
from textwrap import indent

from sklearn_ssse._erasure.epsilon import MultiplesOfAuto
from sklearn_ssse._gradients import CURVATURES
from sklearn_ssse._inverse import INVERSES, INVERSIONS
from sklearn_ssse._kernels import BACKENDS
from sklearn_ssse._utils.compat import Interval, StrOptions


class KeysOf(StrOptions):
    """The constraint of a parameter that names an entry of a table, even one registered later."""

    def __init__(self, table, *others):
        self._table = table
        self._others = others
        super().__init__(self.options)

    @property
    def options(self):
        return {*self._table, *self._others}

    @options.setter
    def options(self, value):
        """Ignored: the table holds the options."""


PARAMETER_CONSTRAINTS = {
    "curvature": [KeysOf(CURVATURES)],
    "structure": [KeysOf(INVERSES, "auto")],
    "block_size": [Interval(Integral, 1, None, closed="left"), None],
    "rank": [Interval(Integral, 1, None, closed="left"), None],
    "fisher_batch_size": [Interval(Integral, 1, None, closed="left")],
    "damping": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto", "penalty"})],
    "leave_out": ["boolean", StrOptions({"auto"})],
    "inversion": [StrOptions({"auto", *INVERSIONS})],
    "backend": [StrOptions({"auto", *BACKENDS})],
    "device": [str, None],
    "track_rows": ["boolean"],
    "unlearn_epsilon": [Interval(Real, 0, None, closed="neither"), MultiplesOfAuto()],
}

# Sections of the estimators' docstrings, by the name of their place-holder.
DOCS = {
    "structure_parameters": """\
block_size : int, default=None
    Number of parameters in a block. None makes one block for each output unit: a class, or a unit
    of a layer. Only for structure 'block', which 'auto' then takes, and for 'gradients' of torch
    modules, where None makes one block.
rank : int, default=None
    Number of eigenvalues of the curvature that 'low_rank' covers. None chooses it by their size.
    Logistic regression with damping 'auto' or 'penalty' adds the diagonal of the curvature that is
    not covered to the damping. Only for structure 'low_rank'; if it is given, 'auto' takes
    'low_rank'.""",
    "logistic_damping": """\
damping : float, 'auto' or 'penalty', default='auto'
    The lambda that is added to the diagonal of the curvature, on the scale of a mean over rows.
    'penalty': the L2 penalty of the coordinate in the objective, ``1 / (C n)``, with a small floor
    for a coordinate without penalty, such as an intercept. A lambda of 1e-4 for both the objective
    and the curvature, as in the paper, is ``C=1 / (1e-4 * n)`` with 'penalty'. 'auto': the same for
    'fisher'; for 'empirical_fisher' the penalty is divided by the ratio of the traces of the
    Hessian and of the empirical Fisher information, so that it has the scale of the curvature.""",
    "network_damping": """\
damping : float, 'auto' or 'penalty', default='auto'
    The lambda that is added to the diagonal of the curvature, on the scale of a mean over rows.
    'auto': 1e-3, for 'fisher' 3e-3. 'penalty': the L2 penalty of the coordinate in the objective,
    ``alpha / n`` for solver 'lbfgs' and about ``alpha`` divided by the batch size for the others,
    with a small floor for intercepts. It is often far below 'auto', and steps are longer then.""",
    "erasure_parameters": """\
fisher_batch_size : int, default=1
    With b > 1 the curvature has one row for each random mini-batch of b training rows: their sum
    with random signs. It then has b times fewer rows, no bias, and some noise. A single row cannot
    leave such a curvature: there is no leave-out, and `fit_curvature` must be called after each
    erasure.
leave_out : bool or 'auto', default='auto'
    Whether the erased rows are taken out of the curvature before the step, equation (1) instead of
    (4) of `docs/method.md`. 'auto': True for 'fisher', False for 'empirical_fisher'. The stored
    inverse is downdated after the step in either case.
inversion : {'auto', 'rank1', 'rank_b', 'cholesky'}, default='auto'
    How 'full' and 'block' are inverted. 'rank1': one Sherman-Morrison update for each row, by a
    compiled kernel. 'rank_b': one update for many rows; for 'block' the same as 'rank1'.
    'cholesky': form the matrix and factorise it. 'auto': the fastest for the sizes.""",
    "tracking_parameters": """\
track_rows : bool, default=False
    Whether to keep a keyed 64-bit digest of each training row, so that `unlearn` refuses rows that
    were never training rows or were erased before, and names their positions in the call. A change
    of the value holds from the next `fit`, `fit_curvature` or `refresh`. It takes 16 bytes for each
    row. The digests and their key are personal data, see `docs/guards.md`.""",
    "backend_parameters": """\
backend : {'auto', 'numba', 'torch'}, default='auto'
    The library that builds the inverse, in float64; the inverse is stored as NumPy arrays. 'auto':
    torch if it is installed, has a CUDA device and the build is large, else numba. 'torch' needs
    ``pip install 'sklearn-ssse[torch]'``.
device : str, default=None
    Device for backend 'torch', as torch names it. None: CUDA if there is one, else the CPU.""",
    "fitted_attributes": """\
curvature_ : object
    The inverse curvature on the scale of a sum over rows: ``solve``, ``downdate``, ``leverage``,
    ``to_dense``, ``nbytes``.
fisher_inverse_ : ndarray of shape (d, d)
    The dense form of `curvature_` on the paper's scale, a mean over rows. Needs ``8 d^2`` bytes.
structure_, inversion_, backend_ : str
    The structure, the inversion and the backend in use.
damping_ : float or ndarray of shape (d,)
    lambda for the retained rows, on the scale of a mean over them; an array for damping 'auto' and
    'penalty'.
    Erasures do not change ``n * damping_``, nor does retraining with the same penalty.
unlearn_epsilon_ : float
    The eps for a random forget set that is small compared with the training set.
refresh_recommended_ : str
    The reason for which a refresh of the model is recommended; empty if there is none.
n_samples_remaining_ : int
    Number of rows of positive weight that the model was fitted to and still holds.
erasures_ : list of ErasureRecord
    One record for each erasure and for each call of `learn` or `rectify`, without any data of the
    rows.""",
}


def documented(cls):
    """Fill the place-holders ``{name}`` of a class's docstring with the shared sections."""
    if cls.__doc__:  # None under python -OO
        for name, text in DOCS.items():
            cls.__doc__ = cls.__doc__.replace(f"    {{{name}}}", indent(text, "    "))
    return cls
