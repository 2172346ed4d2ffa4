"""How good a set of triplets is: valid, no-op, distinct, consistent.

    python benchmarks/instruct_quality.py TRIPLETS [--json]

TRIPLETS is what `overpaint instruct generate` wrote, or any source that it reads. The figures are
over the rows as they stand; beside them, what cleaning would keep of them, by reason. A row is
consistent when a content word of its instruction is among the words that the edited caption gained
or lost. For comparison: 593 human-written rows stand at 0.917 consistent and 0.838 distinct.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from overpaint.data.formats import read_triplets
from overpaint.errors import UserError
from overpaint.instruct.filters import keep_triplets
from overpaint.instruct.generation import read_summary
from overpaint.instruct.kinds import guess_kind
from overpaint.instruct.quality import measure
from overpaint.tally import Tally


def report_on(source: str) -> dict[str, Any]:
    """Everything that is printed, as one object."""
    unreadable, cleaning = Tally(), Tally()
    rows = read_triplets(source, unreadable)
    kept = list(keep_triplets(rows, cleaning))
    cleaning.add(unreadable)
    report: dict[str, Any] = {
        "source": source,
        "as_it_stands": measure([row.to_row() for row in rows]).to_dict(),
        "after_cleaning": measure([row.to_row() for row in kept]).to_dict(),
        "cleaning": cleaning.to_dict(),
        "kinds": dict(Counter(row.kind or guess_kind(row.edit_prompt) for row in rows)),
    }
    summary = read_summary(Path(source))
    if summary is not None:
        report["generation"] = {name: summary[name] for name in ("keep_rate", "tally")}
    return report


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("triplets")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        report = report_on(options.triplets)
    except UserError as error:
        raise SystemExit(str(error)) from None
    if options.json:
        print(json.dumps(report, ensure_ascii=False))
        return
    columns = ("as_it_stands", "after_cleaning")
    print(f"{'':<24}" + "".join(f"{name.replace('_', ' '):>18}" for name in columns))
    for name in report["as_it_stands"]:
        print(f"{name:<24}" + "".join(f"{report[column][name]!s:>18}" for column in columns))
    for title, counts in (("rejected", report["cleaning"]["rejected"]), ("kind", report["kinds"])):
        for name, count in counts.items():
            print(f"{title}: {name:<48}{count:>8}")
    if "generation" in report:
        print(f"kept of what was asked for: {report['generation']['keep_rate']}")


if __name__ == "__main__":
    main()
