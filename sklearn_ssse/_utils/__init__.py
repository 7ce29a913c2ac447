"""Helpers without knowledge of models: imports from scikit-learn, chunks, memory, progress, warnings.

Each module is its own front door. None may import another folder of the package.
"""
