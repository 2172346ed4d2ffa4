"""What a run of this stage came to: `summary.json`, and a table of it for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overpaint.pairs.choice import SCORES
from overpaint.pairs.parts import clip_name, controlnet_name
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.tallies import KEPT, UNKNOWN, Tally
from overpaint.tally import Tally as Reading

_EXAMPLES = 20  # rows set aside that the summary names


def summarise(
    tally: Tally,
    settings: PairsSettings,
    reading: Reading,
    quarantined: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The summary as JSON.

    `accepted` counts pairs, `rows_kept` the triplets that have one or more; `acceptance` is the
    latter's share of all, those that were set aside among them. `without_direction` counts
    candidates whose captions are equal, so that they have no directional similarity. `rejected` counts candidates by the
    scores that are too low, each for every one of them.
    """
    rows = sum(tally.rows.values()) + len(quarantined)
    kept = tally.rows.get(KEPT, 0)
    return {
        "accepted": tally.accepted,
        "rows": rows,
        "rows_kept": kept,
        "acceptance": round(kept / rows, 4) if rows else None,
        "candidates": tally.candidates,
        "without_direction": tally.undirected,
        "outcomes": _ordered(tally.rows),
        "rejected": _ordered(tally.rejected),
        "kinds": {
            kind: {**counts, "acceptance": round(counts["rows_kept"] / counts["rows"], 4)}
            for kind, counts in sorted(_kinds(tally, quarantined).items())
        },
        "yield": {label: tally.controls[label] for label in sorted(tally.controls)},
        "triplets": reading.to_dict(),
        "quarantined": {"rows": len(quarantined), "examples": list(quarantined[:_EXAMPLES])},
        "method": settings.method,
        "model": settings.model,
        "controlnet": controlnet_name(settings),
        "clip": clip_name(settings),
        "thresholds": settings.thresholds.model_dump(),
        "seed": settings.seed,
    }


def _kinds(tally: Tally, quarantined: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The counts of each kind, rows that were set aside among them."""
    kinds = {kind: dict(counts) for kind, counts in tally.kinds.items()}
    for bad in quarantined:
        kind = kinds.setdefault(
            bad["row"].get("kind") or UNKNOWN, {"rows": 0, "rows_kept": 0, "accepted": 0}
        )
        kind["rows"] += 1
    return kinds


def table(summary: Mapping[str, Any]) -> str:
    """The summary for a terminal."""
    speed, triplets = summary["speed"], summary["triplets"]
    lines = [
        f"triplets   {triplets['kept']} of {triplets['seen']} used, "
        f"{summary['rows_kept']} have a pair ({_percent(summary['acceptance'])})",
        f"pairs      {summary['accepted']} of {summary['candidates']} candidates",
    ]
    if speed is not None:
        lines.append(
            f"speed      {speed['accepted_per_second']:.3g} pairs a second "
            f"({speed['rows']} triplets in {speed['seconds']:g} s)"
        )
    lines += [
        f"kind       {kind:<12} {counts['rows_kept']} of {counts['rows']} "
        f"({_percent(counts['acceptance'])})"
        for kind, counts in summary["kinds"].items()
    ]
    lines += [f"rejected   {n:>6} triplets: {why}" for why, n in triplets["rejected"].items()]
    lines += [
        f"without    {n:>6} triplets: {why}"
        for why, n in summary["outcomes"].items()
        if why != KEPT
    ]
    lines += [
        f"rejected   {n:>6} candidates: {reason_in_words(why, summary['thresholds'])}"
        for why, n in summary["rejected"].items()
    ]
    if summary["without_direction"]:
        lines.append(
            f"undefined  {summary['without_direction']:>6} candidates have no direction: "
            "their captions are equal"
        )
    aside = summary["quarantined"]["rows"]
    return "\n".join([*lines, *([f"set aside  {aside:>6} triplets that failed"] if aside else [])])


def reason_in_words(why: str, thresholds: Mapping[str, float | None]) -> str:
    """A reason of a candidate's, with the threshold where it is a score."""
    return f"{why} below {thresholds[why]:g}" if why in SCORES else why


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The commonest first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"
