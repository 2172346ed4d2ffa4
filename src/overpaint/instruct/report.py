"""What a set of triplets is like: the summary, a table of it, and a page of samples to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from overpaint.files import write_atomic
from overpaint.html.rendering import read_part, render
from overpaint.instruct.quality import measure
from overpaint.tally import Tally

SAMPLES = 60


def summarise(
    rows: Sequence[Mapping[str, Any]], wanted: int, reading: Tally, tally: Tally
) -> dict[str, Any]:
    """The summary as JSON.

    `keep_rate` is rows over rows wanted; `tally` counts every try, `captions` the reading.
    """
    return {
        "rows": len(rows),
        "wanted": wanted,
        "keep_rate": round(len(rows) / wanted, 4) if wanted else None,
        "quality": measure(rows).to_dict(),
        "kinds": dict(sorted(Counter(row["kind"] or "unknown" for row in rows).items())),
        "instruction_words": _lengths(rows, "edit_prompt"),
        "edited_caption_words": _lengths(rows, "edited_prompt"),
        "captions": reading.to_dict(),
        "tally": tally.to_dict(),
    }


def table(summary: Mapping[str, Any]) -> str:
    """The summary for a terminal."""
    quality, captions, tally = summary["quality"], summary["captions"], summary["tally"]
    lines = [
        f"captions   {captions['kept']} of {captions['seen']} used",
        f"triplets   {summary['rows']} of {summary['wanted']} wanted, from {tally['seen']} tries",
        *(f"{name:<11}{_percent(quality[key])}" for name, key, _ in _FIGURES),
        "kinds      " + ", ".join(f"{kind} {n}" for kind, n in summary["kinds"].items()),
    ]
    for what, counts in (("captions", captions["rejected"]), ("tries", tally["rejected"])):
        lines += [f"rejected   {n:>6} {what}: {why}" for why, n in counts.items()]
    return "\n".join(lines)


_FIGURES = (
    ("valid", "valid", "all three texts are there, on one line each"),
    ("no-op", "no_op", "the edited caption says what the caption says; fewer is better"),
    ("distinct", "distinct", "different instructions over rows"),
    ("consistent", "consistent", "the instruction names a word that the caption gained or lost"),
)


def write_page(
    path: Path, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], seed: int
) -> None:
    """Write the page: one file without scripts or anything from elsewhere.

    Raises:
        UserError: it cannot be written.
    """
    quality = summary["quality"]
    figures = [(name, _percent(quality[key]), meaning) for name, key, meaning in _FIGURES]
    kept = ("kept", _percent(summary["keep_rate"]), "rows over rows that were wanted")
    drawn = Random(seed).sample(range(len(rows)), min(SAMPLES, len(rows)))
    page = render(
        read_part("overpaint.instruct", "triplets.html.jinja"),
        summary=summary,
        figures=[kept, *figures],
        rows=[rows[index] for index in sorted(drawn)],
    )
    write_atomic(path, page.encode())


def _lengths(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, int]:
    """How many rows have how many words, in steps that keep the list short."""
    counts = Counter(len(row[column].split()) for row in rows)
    step = max(1, -(-max(counts, default=1) // 12))
    grouped: Counter[int] = Counter()
    for words, count in counts.items():
        grouped[words // step * step] += count
    end = "–{}" if step > 1 else ""
    return {f"{low}{end.format(low + step - 1)}": grouped[low] for low in sorted(grouped)}


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"
