"""``python -m sklearn_ssse``: erase rows from a model file, without the code that fitted it."""

import sys

from sklearn_ssse._cli import main

if __name__ == "__main__":
    # A name may have characters that the encoding of the terminal lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
