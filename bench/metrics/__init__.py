"""Metrics: what each is (`table`), the networks it reads with, features on disk, and features to numbers."""
