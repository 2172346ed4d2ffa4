"""What became of rows and candidates: counts of a shard, their sum, the summary of a run.

The counts of one shard are JSON values in `tallies/`; `summary.json` is made of their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Any

from overpaint.pairs.candidates import KEPT, Candidate, ScoredRow
from overpaint.pairs.scores import RANKED_BY, SCORES, Scores, failures
from overpaint.pairs.settings import PairsSettings
from overpaint.tally import Tally

BINS = 100  # of a histogram over [-1, 1]
_EXAMPLES = 20  # rows set aside that the summary names

# Why a candidate is not kept, besides the names of the scores that fail.
OTHERS_BETTER = "passes, but better ones are kept"
NO_DIRECTION = "no direction: the captions are equal"

UNKNOWN = "unknown"  # a kind that the triplets do not say


@dataclass
class PairStatistics:
    """Counts over some rows and their candidates; `to_dict` gives JSON values."""

    rows: dict[str, int] = field(default_factory=dict)
    """outcome → rows"""
    candidates: int = 0
    accepted: int = 0
    undirected: int = 0
    """candidates without a directional similarity: their captions are equal"""
    rejected: dict[str, int] = field(default_factory=dict)
    """reason → candidates; one that fails by several scores counts for each"""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """kind of edit → rows, rows_kept, accepted"""
    controls: dict[str, dict[str, int]] = field(default_factory=dict)
    """conditioning scale, or tenth of the attention fraction → candidates, passed, accepted"""
    histograms: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    """score → accepted or rejected → bin of [-1, 1] → candidates"""
    shown: list[dict[str, Any]] = field(default_factory=list)
    """a few rows with small pictures, for the page"""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))


def count(rows: Iterable[ScoredRow], settings: PairsSettings) -> PairStatistics:
    """The counts of some rows."""
    found = PairStatistics()
    for row in rows:
        _bump(found.rows, row.outcome)
        kind = found.kinds.setdefault(row.triplet.kind or UNKNOWN, {})
        _bump(kind, "rows")
        _bump(kind, "rows_kept", int(bool(row.kept)))
        _bump(kind, "accepted", len(row.kept))
        found.candidates += len(row.candidates)
        found.accepted += len(row.kept)
        if row.clip_original is not None:
            _enter(found, "clip_original", row.clip_original, kept=False)
        for index, (candidate, scores) in enumerate(zip(row.candidates, row.scores, strict=True)):
            _count_candidate(found, candidate, scores, index in row.kept, settings)
    return found


def add(tallies: Iterable[dict[str, Any]]) -> PairStatistics:
    """The counts of several shards, from what `to_dict` gave of each."""
    total: dict[str, Any] = PairStatistics().to_dict()
    for tally in tallies:
        total = _sum(total, {key: tally[key] for key in total if key in tally})
    return PairStatistics(**total)


def bin_of(score: float) -> int:
    """The bin of a histogram that a score falls into; one that is no number, the lowest."""
    return min(BINS - 1, max(0, floor((score + 1) / 2 * BINS))) if score == score else 0


def _count_candidate(
    found: PairStatistics, candidate: Candidate, scores: Scores, kept: bool, settings: PairsSettings
) -> None:
    failed = failures(scores, settings.thresholds)
    undirected = scores[RANKED_BY] is None
    found.undirected += int(undirected)
    for reason in [] if kept else failed or [OTHERS_BETTER]:
        none = undirected and reason == RANKED_BY
        _bump(found.rejected, NO_DIRECTION if none else reason)
    label = candidate.spec.control
    if label is not None:
        steered = found.controls.setdefault(label, {})
        _bump(steered, "candidates")
        _bump(steered, "passed", int(not failed))
        _bump(steered, "accepted", int(kept))
    for name, value in scores.items():
        if value is not None:
            _enter(found, name, value, kept=kept)


def _enter(found: PairStatistics, score: str, value: float, *, kept: bool) -> None:
    histogram = found.histograms.setdefault(score, {})
    _bump(histogram.setdefault("accepted" if kept else "rejected", {}), str(bin_of(value)))


def _bump(counts: dict[str, int], key: str, by: int = 1) -> None:
    counts[key] = counts.get(key, 0) + by


def _sum(a: Any, b: Any) -> Any:
    """Numbers added, lists joined, mappings key by key."""
    if isinstance(a, dict):
        return {
            key: _sum(a[key], b[key]) if key in a and key in b else a.get(key, b.get(key))
            for key in [*a, *(key for key in b if key not in a)]
        }
    return a + b


def summarise(
    counts: PairStatistics,
    settings: PairsSettings,
    reading: Tally,
    quarantined: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The summary as JSON.

    `accepted` counts pairs, `rows_kept` the triplets that have one or more; `acceptance` is the
    latter's share of all, those that were set aside among them. `without_direction` counts candidates
    whose captions are equal, so that they have no directional similarity. `rejected` counts
    candidates by the scores that are too low, each for every one of them.
    """
    rows = sum(counts.rows.values()) + len(quarantined)
    kept = counts.rows.get(KEPT, 0)
    return {
        "accepted": counts.accepted,
        "rows": rows,
        "rows_kept": kept,
        "acceptance": round(kept / rows, 4) if rows else None,
        "candidates": counts.candidates,
        "without_direction": counts.undirected,
        "outcomes": _ordered(counts.rows),
        "rejected": _ordered(counts.rejected),
        "kinds": {
            kind: {**own, "acceptance": round(own["rows_kept"] / own["rows"], 4)}
            for kind, own in sorted(_kinds(counts, quarantined).items())
        },
        "yield": {label: counts.controls[label] for label in sorted(counts.controls)},
        "triplets": reading.to_dict(),
        "quarantined": {"rows": len(quarantined), "examples": list(quarantined[:_EXAMPLES])},
        "method": settings.method,
        "model": settings.model,
        "controlnet": settings.controlnet_model,
        "clip": settings.judge,
        "thresholds": settings.thresholds.model_dump(),
        "seed": settings.seed,
    }


def _kinds(
    counts: PairStatistics, quarantined: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, int]]:
    """The counts of each kind, rows that were set aside among them."""
    kinds = {kind: dict(own) for kind, own in counts.kinds.items()}
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
