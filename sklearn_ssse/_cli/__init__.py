"""The command line, ``python -m sklearn_ssse``.

The folder knows files: models, rows and records. It must not know arithmetic: it calls the verbs.
"""

from sklearn_ssse._cli.parser import main
