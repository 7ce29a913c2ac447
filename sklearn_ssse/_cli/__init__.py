"""The command line, ``python -m sklearn_ssse``.

The folder reads and writes models, rows and records. It must not compute an erasure: it calls the
verbs.
"""

from sklearn_ssse._cli.parser import main
