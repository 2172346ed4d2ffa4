"""`overpaint compare` answers at once: two JSON files need no deep-learning library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from overpaint.report.build import make_report, model_report
from overpaint.report.schema import CaseResult, write_report

HEAVY = ("torch", "diffusers", "transformers", "datasets", "pyarrow")


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    """A folder with the reports `a` and `b` on the same cases."""
    folder = tmp_path_factory.mktemp("reports")
    for hits, name in ((2, "a"), (6, "b")):
        rows = [
            CaseResult(i, f"key {i}", "night", "make it night", {"l2": 0.1, "retrieval": i < hits})
            for i in range(8)
        ]
        report = make_report(
            title="8 scenes",
            data={"data": "scenes", "count": 8},
            models=[model_report(name, name, None, {"seed": 0}, rows)],
            notes=[],
            command="overpaint evaluate a",
            versions={"torch": "2"},
        )
        write_report(report, folder / name)
    return folder


@pytest.mark.parametrize("flags", ["", "'--json'", "'-o', 'both'"])
def test_comparing_two_reports_imports_no_torch(reports, flags):
    code = (
        "import sys\n"
        "from overpaint.cli import main\n"
        f"code = main(['compare', 'a/report.json', 'b/report.json', {flags}])\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=reports, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
