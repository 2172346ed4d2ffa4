"""The figures by which a set of triplets is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from overpaint.instruct.words import is_consistent, is_no_op, near_key
from overpaint.rows import TRIPLET_COLUMNS


@dataclass(frozen=True)
class Quality:
    """Shares in [0, 1] over `rows` rows; no rows give None."""

    rows: int
    valid: float | None
    """all three texts are there, on one line each"""
    no_op: float | None
    """the edited caption says what the original says"""
    distinct: float | None
    """different instructions over rows; case, punctuation, articles and number make none different"""
    consistent: float | None
    """a content word of the instruction is among the words the caption gained or lost"""
    mean_instruction_words: float | None
    mean_caption_words: float | None

    def to_dict(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return asdict(self)


def measure(rows: Sequence[Mapping[str, str | None]]) -> Quality:
    """The figures over rows with the columns of a triplet."""
    texts = [[row.get(name) or "" for name in TRIPLET_COLUMNS] for row in rows]

    def share(count: int) -> float | None:
        return round(count / len(texts), 4) if texts else None

    def mean_words(column: int) -> float | None:
        return round(sum(len(t[column].split()) for t in texts) / len(texts), 2) if texts else None

    return Quality(
        rows=len(texts),
        valid=share(sum(all(_is_line(text) for text in triplet) for triplet in texts)),
        no_op=share(sum(is_no_op(original, edited) for original, _, edited in texts)),
        distinct=share(len({near_key(edit) for _, edit, _ in texts})),
        consistent=share(sum(is_consistent(*triplet) for triplet in texts)),
        mean_instruction_words=mean_words(1),
        mean_caption_words=mean_words(0),
    )


def _is_line(text: str) -> bool:
    return bool(text.strip()) and "\n" not in text.strip()
