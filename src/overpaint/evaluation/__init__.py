"""Evaluation: what an editor gets right, in numbers."""
