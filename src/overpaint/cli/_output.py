"""What commands print: one JSON object on stdout, words for people on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping


def print_json(report: Mapping[str, object]) -> None:
    """Print the one machine-readable object of `--json` on stdout.

    Numbers that JSON does not know (NaN, infinities) are an error here, not in the reader.
    """
    print(json.dumps(report, ensure_ascii=False, allow_nan=False, default=str))


def say(sentence: str) -> None:
    """Print a word to the user on stderr, where it never mixes with results."""
    print(sentence, file=sys.stderr, flush=True)
