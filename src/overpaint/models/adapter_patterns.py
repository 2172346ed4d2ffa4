"""The patterns in a LoRA's configuration: which modules it is for, as regular expressions.

PEFT compares each with the name of every module by `re`, which has no limit on time: `(\\w+)+x` takes
longer than anybody waits. So each pattern is first compared in a process of its own, which can be
stopped.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from overpaint.models.folders import cannot_load

SECONDS = 10.0  # a pattern of everyday use takes milliseconds
_PLAIN = re.compile(r"[\w.-]*")
# Those that peft compiles: a string or a list of strings, and the keys of tables. Lists of
# target_modules and exclude_modules are compared as plain words.
_WHOLE = ("target_modules", "exclude_modules")
_LISTS = ("modules_to_save", "layers_pattern")
_KEYS = ("rank_pattern", "alpha_pattern")
_COMPARE = """
import json, re, sys
patterns, names = json.load(sys.stdin)
for pattern in patterns:
    for form in (pattern, rf"(.*\\.)?({pattern})$", rf"(^|.*\\.){pattern}($|\\..*)"):
        try:
            compiled = re.compile(form)
        except (re.error, RecursionError, OverflowError):
            continue  # peft says so itself
        for name in names:
            compiled.match(name)
            compiled.fullmatch(name)
"""


def check_patterns(config: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    """Make sure that comparing an adapter's patterns with the names of modules comes to an end.

    Args:
        config: adapter_config.json, which may hold anything.
        names: of the modules of the model that it is put on.

    Raises:
        UserError: it takes longer than `SECONDS`.
    """
    patterns = sorted({text for text in _patterns(config) if not _PLAIN.fullmatch(text)})
    if not patterns:
        return
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _COMPARE],
            input=json.dumps([patterns, list(names)]).encode("utf-8", "surrogatepass"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        why = (
            f"comparing its patterns, such as {patterns[0]!r}, with the model's modules has no end"
        )
        raise cannot_load(what, why) from None


def _patterns(config: Mapping[str, Any]) -> Iterator[str]:
    for key in _WHOLE:
        if isinstance(config.get(key), str):
            yield config[key]
    for key in _LISTS:
        value = config.get(key)
        found = value if isinstance(value, list) else [value]
        yield from (text for text in found if isinstance(text, str))
    for key in _KEYS:
        value = config.get(key)
        yield from (value if isinstance(value, dict) else {})
