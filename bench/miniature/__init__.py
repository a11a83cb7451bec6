"""The miniature model family: its world of scenes, its training, its instruments; apart from the rest.

Imports: bench.errors.
"""
