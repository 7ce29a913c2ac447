"""``python -m sklearn_ssse``: erase rows from a model file, without the code that fitted it."""

import sys

from sklearn_ssse._cli import main

if __name__ == "__main__":
    sys.exit(main())
