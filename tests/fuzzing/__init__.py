"""Random sequences of calls, and the invariants that each call must keep; see `tests/fuzz.py`."""
