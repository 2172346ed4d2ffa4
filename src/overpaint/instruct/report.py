"""What a set of triplets is like: the summary, a table of it, and a page of samples to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from random import Random
from typing import Any

from overpaint.files import write_atomic
from overpaint.instruct.quality import measure
from overpaint.tally import Tally

SAMPLES = 60

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4c8bf5; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
         vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums; width: 6rem }
td.bar { width: 40% } .bar div { background: var(--bar); height: .8rem; border-radius: 2px }
.faint { opacity: .7 }
"""


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
        *(f"{name:<11}{_percent(quality[key])}" for name, key in _FIGURES),
        "kinds      " + ", ".join(f"{kind} {n}" for kind, n in summary["kinds"].items()),
    ]
    for what, counts in (("captions", captions["rejected"]), ("tries", tally["rejected"])):
        lines += [f"rejected   {n:>6} {what}: {why}" for why, n in counts.items()]
    return "\n".join(lines)


_FIGURES = (
    ("valid", "valid"),
    ("no-op", "no_op"),
    ("distinct", "distinct"),
    ("consistent", "consistent"),
)


def write_page(
    path: Path, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], seed: int
) -> None:
    """Write the page: one file without scripts or anything from elsewhere.

    Raises:
        UserError: it cannot be written.
    """
    quality = summary["quality"]
    figures = [(name, _percent(quality[key])) for name, key in _FIGURES]
    figures.insert(0, ("kept of the rows wanted", _percent(summary["keep_rate"])))
    drawn = Random(seed).sample(range(len(rows)), min(SAMPLES, len(rows)))
    parts = [
        f"<h1>{summary['rows']} triplets</h1>",
        f"<p>from {summary['captions']['kept']} captions, {summary['tally']['seen']} tries; "
        f"model {escape(str(summary.get('model')))}</p>",
        _plain_table(figures),
        "<h2>Kinds of edit</h2>",
        _bars(summary["kinds"]),
        "<h2>Rejected captions</h2>",
        _rejections(summary["captions"]),
        "<h2>Rejected tries</h2>",
        _rejections(summary["tally"]),
        "<h2>Words of an instruction</h2>",
        _bars(summary["instruction_words"]),
        "<h2>Words of an edited caption</h2>",
        _bars(summary["edited_caption_words"]),
        f"<h2>{len(drawn)} rows, drawn at random</h2>",
        _samples([rows[index] for index in sorted(drawn)]),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Triplets</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
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


def _plain_table(rows: Sequence[tuple[str, str]]) -> str:
    cells = (f"<tr><td>{escape(a)}</td><td class=n>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{''.join(cells)}</table>"


def _bars(counts: Mapping[str, int]) -> str:
    if not counts:
        return "<p class=faint>none</p>"
    most = max(counts.values())
    cells = (
        f"<tr><td>{escape(name)}</td><td class=n>{count}</td>"
        f'<td class=bar><div style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in counts.items()
    )
    return f"<table>{''.join(cells)}</table>"


def _rejections(tally: Mapping[str, Any]) -> str:
    if not tally["rejected"]:
        return "<p class=faint>none</p>"
    cells = (
        f"<tr><td>{escape(why)}</td><td class=n>{count}</td>"
        f"<td class=faint>{'<br>'.join(map(escape, tally['examples'].get(why, [])))}</td></tr>"
        for why, count in tally["rejected"].items()
    )
    return f"<table>{''.join(cells)}</table>"


def _samples(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "<tr><th>caption</th><th>instruction</th><th>edited caption</th><th>kind</th></tr>"
    columns = ("original_prompt", "edit_prompt", "edited_prompt", "kind")
    body = (
        "<tr>" + "".join(f"<td>{escape(str(row[name]))}</td>" for name in columns) + "</tr>"
        for row in rows
    )
    return f"<table>{head}{''.join(body)}</table>"
