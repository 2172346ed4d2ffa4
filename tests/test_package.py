"""The package's front door: public names, found lazily, and one version."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import overpaint


def test_public_names_resolve() -> None:
    for name in overpaint.__all__:
        assert getattr(overpaint, name) is not None
        assert name in dir(overpaint)
    with pytest.raises(AttributeError, match="no attribute 'Edtior'"):
        _ = overpaint.Edtior  # type: ignore[attr-defined]


def test_a_name_is_loaded_when_asked_for_and_not_before() -> None:
    code = (
        "import sys, overpaint\n"
        "assert 'overpaint.errors' not in sys.modules\n"
        "assert issubclass(overpaint.UserError, Exception)\n"
        "assert 'overpaint.editing' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_stands_the_same_in_all_places(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert project["version"] == citation["version"] == overpaint.__version__
