"""Helpers that do not depend on models: imports from scikit-learn, chunks, memory, warnings.

Other folders import from the modules directly. None may import another folder of the package.
"""
