"""`pairs.html`: what was accepted and what was rejected, and by which figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from overpaint.files import write_atomic
from overpaint.html.plots import Dot, Histogram, dot_plot, histogram_plot
from overpaint.html.rendering import read_part, render
from overpaint.pairs.candidates import KEPT
from overpaint.pairs.scores import SCORES
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.statistics import BINS, PairStatistics, reason_in_words

ROWS_A_SIDE = 24  # accepted and rejected rows on the page
# Beside a picture the score that decides stands first.
LABELS = {name: score.label for name, score in reversed(SCORES.items())}


def write_page(
    path: Path, counts: PairStatistics, summary: Mapping[str, Any], settings: PairsSettings
) -> None:
    """Write the page: one file without scripts or anything from elsewhere.

    Raises:
        UserError: it cannot be written.
    """
    from markupsafe import Markup

    thresholds = settings.thresholds.model_dump()
    accepted = [row for row in counts.shown if row["outcome"] == KEPT]
    rejected = [row for row in counts.shown if row["outcome"] != KEPT]
    page = render(
        read_part("overpaint.pairs", "pairs.html.jinja"),
        summary=summary,
        facts=_facts(summary),
        kinds_plot=Markup(_kinds_plot(summary["kinds"])),
        yield_plot=Markup(_yield_plot(counts, settings)),
        by_scale=settings.method == "controlnet",
        score_plots=[(name, Markup(plot)) for name, plot in _score_plots(counts, settings)],
        meaning={name: score.compares for name, score in SCORES.items()},
        short=LABELS,
        thresholds=thresholds,
        sides=[("Accepted", accepted[:ROWS_A_SIDE]), ("Rejected", rejected[:ROWS_A_SIDE])],
        reasons=[
            *((f"triplet: {why}", n) for why, n in summary["triplets"]["rejected"].items()),
            *((f"triplet: {why}", n) for why, n in summary["outcomes"].items() if why != KEPT),
            *(
                (f"candidate: {reason_in_words(why, thresholds)}", n)
                for why, n in summary["rejected"].items()
            ),
        ],
    )
    write_atomic(path, page.encode())


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the page begins with."""
    speed, acceptance = summary["speed"], summary["acceptance"]
    return [
        ("triplets with a pair", f"{summary['rows_kept']} of {summary['rows']}"),
        ("acceptance", "—" if acceptance is None else f"{100 * acceptance:.1f} %"),
        ("pairs", str(summary["accepted"])),
        ("candidates", str(summary["candidates"])),
        ("pairs a second", "—" if speed is None else f"{speed['accepted_per_second']:.3g}"),
        ("method", summary["method"]),
        ("model", summary["model"]),
        *([("ControlNet", summary["controlnet"])] if summary["controlnet"] else []),
        ("CLIP", summary["clip"]),
        ("set aside", str(summary["quarantined"]["rows"])),
    ]


def _kinds_plot(kinds: Mapping[str, Mapping[str, int]]) -> str:
    """Share of the triplets of each kind that have a pair, the best first."""
    if not kinds:
        return ""
    shares = {kind: _share(own["rows_kept"], own["rows"]) for kind, own in kinds.items()}
    ordered = sorted(shares, key=lambda kind: -shares[kind].value)
    return dot_plot(
        {f"{kind} ({kinds[kind]['rows']})": [shares[kind]] for kind in ordered},
        ["triplets with a pair"],
        title="Share of the triplets of each kind that have a pair, with 95 % intervals",
        axis=(0.0, 1.0),
        show=_percent,
    )


def _yield_plot(counts: PairStatistics, settings: PairsSettings) -> str:
    """Shares of the candidates that pass, and that are kept, by what steered them."""
    if not counts.controls:
        return ""
    what = "conditioning scale" if settings.method == "controlnet" else "attention fraction"
    rows: dict[str, Sequence[Dot | None]] = {
        label: [
            _share(counts.controls[label]["passed"], counts.controls[label]["candidates"]),
            _share(counts.controls[label]["accepted"], counts.controls[label]["candidates"]),
        ]
        for label in sorted(counts.controls)
    }
    return dot_plot(
        rows,
        ["passes", "is kept"],
        title=f"Share of the candidates that pass, and that are kept, by {what}",
        show=_percent,
    )


def _score_plots(counts: PairStatistics, settings: PairsSettings) -> list[tuple[str, str]]:
    """The distribution of each score over accepted and rejected candidates."""
    plots = []
    for name in SCORES:
        found = counts.histograms.get(name)
        if not found:
            continue
        plots.append(
            (
                name,
                histogram_plot(
                    Histogram(
                        {side: _bins(found.get(side, {})) for side in ("accepted", "rejected")},
                        first=-1.0,
                        width=2 / BINS,
                        title=f"Distribution of {name} over accepted and rejected candidates",
                        x_title=name,
                        threshold=getattr(settings.thresholds, name),
                    )
                ),
            )
        )
    return plots


def _bins(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(place): count for place, count in counts.items()}


def _share(part: int, whole: int) -> Dot:
    """A share with its 95 % interval (Wilson's, which holds for few and for none)."""
    if not whole:
        return Dot(0.0)
    z, share = 1.96, part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return Dot(share, max(0.0, middle - half), min(1.0, middle + half))


def _percent(value: float) -> str:
    return f"{100 * value:g} %"
