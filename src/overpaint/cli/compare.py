"""`overpaint compare`: two reports in, who is better out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._output import echo, print_json

if TYPE_CHECKING:
    from overpaint.evaluation.report import Comparison, Report


def compare(
    a: Annotated[Path, typer.Argument(metavar="A/report.json", help="A report.")],
    b: Annotated[Path, typer.Argument(metavar="B/report.json", help="Another, on the same data.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for a report of both.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say which of two evaluated models is better, on which kinds of edit, and how sure it is."""
    from overpaint.evaluation.comparison import in_words, merge_reports
    from overpaint.evaluation.page import Pictures, write_page
    from overpaint.evaluation.report import read_report, write_report

    first, second = read_report(a), read_report(b)
    merged = merge_reports(first, second)
    here = {model.label for model in merged.models[: len(first.models)]}
    across = [c for c in merged.comparisons if c.a in here and c.b not in here]
    if output is not None:
        write_report(merged, output)
        write_page(merged, Pictures(), output / "report.html")
    if as_json:
        print_json(_as_json(merged, across, output))
        return
    for comparison in across:
        echo(in_words(comparison, merged.headline))
        echo(f"{comparison.b} minus {comparison.a}; * marks what is settled:")
        for line in _table(merged, comparison):
            echo(line)
    if output is not None:
        typer.echo(output / "report.html")


def _as_json(merged: Report, across: list[Comparison], output: Path | None) -> dict[str, Any]:
    from overpaint.evaluation.comparison import verdict

    def one(comparison: Comparison) -> dict[str, Any]:
        found = verdict(comparison, merged.headline)
        return {
            **comparison.model_dump(),
            "verdict": {"better": found.better, "worse": found.worse, "unclear": found.unclear},
        }

    return {
        "headline": merged.headline,
        "comparisons": [one(comparison) for comparison in across],
        "page": str(output / "report.html") if output else None,
    }


def _table(merged: Report, comparison: Comparison) -> list[str]:
    """A line a kind for the deciding metric, then one a metric overall; `*`: settled."""
    from overpaint.evaluation.comparison import show_difference
    from overpaint.evaluation.report import OVERALL
    from overpaint.evaluation.scoring import METRIC

    rows = [
        (kind, found[merged.headline], merged.headline)
        for kind, found in comparison.differences.items()
        if merged.headline in found
    ]
    rows += [
        (METRIC[name].title, difference, name)
        for name, difference in comparison.differences.get(OVERALL, {}).items()
        if name != merged.headline
    ]
    width = max((len(name) for name, _, _ in rows), default=0)
    return [
        f"  {name:<{width}}  {'*' if found.is_clear else ' '} {show_difference(found, metric)}, "
        f"wins {100 * found.win_rate:.0f} % of {found.count}"
        for name, found, metric in rows
    ]
