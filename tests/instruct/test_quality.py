"""The figures mean what their names say."""

from __future__ import annotations

from overpaint.instruct.quality import measure


def row(edit: str, edited: str, original: str = "a dog on the beach") -> dict[str, str]:
    return {"original_prompt": original, "edit_prompt": edit, "edited_prompt": edited}


def test_each_figure_counts_its_own_fault() -> None:
    rows = [
        row("make the dog a cat", "a cat on the beach"),
        row("Make the dog a cat.", "a cat on the beach"),
        row("make it night", "a dog on the beach, dark"),
        row("add a hat", "A dog on the beach."),
        row("add a hat", ""),
    ]
    quality = measure(rows)
    assert quality.rows == 5
    assert quality.valid == 0.8
    assert quality.no_op == 0.2
    assert quality.distinct == 0.6
    assert quality.consistent == 0.4


def test_no_rows_have_no_figures() -> None:
    assert measure([]).consistent is None
