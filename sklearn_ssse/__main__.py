"""``python -m sklearn_ssse``: erase rows from a model file, for whoever has the rows and not the code."""

import sys

from sklearn_ssse._cli import main

if __name__ == "__main__":
    sys.exit(main())
