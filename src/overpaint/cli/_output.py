"""What commands print: one JSON object on stdout, words for people on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from overpaint.text import printable_lines


def print_json(report: Mapping[str, object]) -> None:
    """Print the one machine-readable object of `--json` on stdout.

    Numbers that JSON does not know (NaN, infinities) are an error here, not in the reader. What is
    no ASCII is escaped: any terminal can show it, and none obeys it.
    """
    print(json.dumps(report, allow_nan=False, default=str))


def echo(words: object) -> None:
    """Print words on stdout, as `say` does on stderr."""
    print(printable_lines(words), flush=True)


def say(sentence: str) -> None:
    """Print a word to the user on stderr, where it never mixes with results."""
    print(printable_lines(sentence), file=sys.stderr, flush=True)
