"""`overpaint compare`: two reports in, who is better out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overpaint.cli._output import echo, print_json

if TYPE_CHECKING:
    from overpaint.report.schema import Comparison, Report


def compare(
    a: Annotated[
        Path, typer.Argument(metavar="A/report.json", help="A report of `overpaint evaluate`.")
    ],
    b: Annotated[
        Path, typer.Argument(metavar="B/report.json", help="Another report, on the same data.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for a report of both models.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say which of two evaluated models is better, and where.

    Compares them kind by kind of edit, and says how sure each difference is.
    """
    from overpaint.artifact import Artifact
    from overpaint.digests import text_digest
    from overpaint.report.comparison import merge_reports
    from overpaint.report.page import Pictures, write_page
    from overpaint.report.schema import read_report, write_report

    first, second = read_report(a), read_report(b)
    merged = merge_reports(first, second)
    here = {model.label for model in merged.models[: len(first.models)]}
    across = [c for c in merged.comparisons if c.a in here and c.b not in here]
    if output is not None:
        sides = [text_digest([report.model_dump_json()]) for report in (first, second)]
        origin = {"stage": "comparison", "a": sides[0], "b": sides[1]}
        artifact = Artifact(output, origin, output / "report.json")
        with artifact.being_made():
            write_report(merged, output)
            write_page(merged, Pictures(), output / "report.html")
            artifact.finish()
    if as_json:
        print_json(_as_json(merged, across, output))
        return
    for sentence in _sentences(merged, across):
        echo(sentence)
    if output is not None:
        typer.echo(output / "report.html")


def _sentences(merged: Report, across: list[Comparison]) -> Iterator[str]:
    from overpaint.report.comparison import in_words, only_in_words
    from overpaint.report.page import against_nothing

    for comparison in across:
        yield in_words(comparison, merged.headline)
        yield from only_in_words(comparison)
        yield f"{comparison.b} minus {comparison.a}; *+ and *- mark where it is clearly better and worse (↑: higher is better):"
        yield from _table(merged, comparison)
    yield from against_nothing(merged)


def _as_json(merged: Report, across: list[Comparison], output: Path | None) -> dict[str, Any]:
    from overpaint.report.comparison import verdict

    def one(comparison: Comparison) -> dict[str, Any]:
        found = verdict(comparison, merged.headline)
        return {
            **comparison.model_dump(),
            "verdict": {"better": found.better, "worse": found.worse, "unclear": found.unclear},
        }

    return {
        "headline": merged.headline,
        "metrics": [metric.model_dump() for metric in merged.metrics],
        "comparisons": [one(comparison) for comparison in across],
        "against_unedited": [one(comparison) for comparison in merged.against_unedited],
        "page": str(output / "report.html") if output else None,
    }


def _table(merged: Report, comparison: Comparison) -> list[str]:
    """A line a kind for the deciding metric, then one a metric overall; `*`: settled."""
    from overpaint.metrics.definitions import METRIC
    from overpaint.report.comparison import is_better, show_difference
    from overpaint.report.schema import OVERALL

    headline = METRIC[merged.headline]
    rows = [
        (f"{headline.title} {headline.arrow} {kind}", found[headline.name], headline.name)
        for kind, found in comparison.differences.items()
        if headline.name in found
    ]
    rows += [
        (f"{METRIC[name].title} {METRIC[name].arrow} {OVERALL}", difference, name)
        for name, difference in comparison.differences.get(OVERALL, {}).items()
        if name != headline.name
    ]
    width = max((len(name) for name, _, _ in rows), default=0)
    return [
        f"  {name:<{width}}  {_mark(found.is_clear, is_better(found, metric))} "
        f"{show_difference(found, metric)}, wins {100 * found.win_rate:.0f} % of {found.count}"
        for name, found, metric in rows
    ]


def _mark(clear: bool, better: bool) -> str:
    return ("*+" if better else "*-") if clear else "  "
