"""Helpers that do not depend on models: imports from scikit-learn, chunks, memory, warnings.

Each module is its own front door. None may import another folder of the package.
"""
