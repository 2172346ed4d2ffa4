"""Editing pictures by instruction: the `Editor`, its sampling loop, contact sheets."""

from __future__ import annotations

from overpaint.editing.editor import Edit, Editor

__all__ = ["Edit", "Editor"]
