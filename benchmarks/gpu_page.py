"""From the parts that `gpu.sh` did to OUT/results.json and OUT/page.html."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_parts import PARTS

from overpaint.files import write_atomic, write_json
from overpaint.html.rendering import render

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{{ device }}</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<p class="eyebrow">Overpaint, figures of a device</p>
<h1>{{ device }}</h1>
<p class="lead">{{ done }} of {{ parts | length }} parts done in {{ "%.0f" | format(seconds) }} s{{ ", of networks in miniature: no figure here says anything of speed" if smoke else ", at the size of Stable Diffusion 1.5, with random weights" }}.</p>
</header>
<main>
{% for part in parts %}
<section>
<h2>{{ part.name }}</h2>
{% if part.rows %}
<p class="small">{{ "%.1f" | format(part.seconds) }} s in all</p>
<div class="wide"><table class="facts"><tbody>
{% for name, value in part.rows %}
<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></div>
{% elif part.failed %}
<p><b>Failed</b> with exit code {{ part.failed.exit_code }}: {{ part.failed.last_line | join(" ") }}</p>
{% else %}
<p class="small">Not done yet: run the same command again.</p>
{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


def main(out: Path) -> None:
    """Write both files anew."""
    done = {name: read(out / "parts" / f"{name}.json") for name in PARTS}
    failed = {name: read(out / "parts" / f"{name}.failed") for name in PARTS}
    known = {name: found for name, found in done.items() if found}
    write_json(
        out / "results.json", {"done": known, "failed": {k: v for k, v in failed.items() if v}}
    )
    first: dict[str, Any] = next(iter(known.values()), {"machine": {"device": "no part is done"}})
    page = render(
        PAGE,
        device=first["machine"]["device"],
        smoke=first["machine"].get("size") == "smoke",
        done=len(known),
        seconds=sum(found["seconds"] for found in known.values()),
        parts=[
            {
                "name": name,
                "rows": list(rows_of(known[name]["figures"])) if name in known else [],
                "seconds": known[name]["seconds"] if name in known else 0,
                "failed": failed[name],
            }
            for name in PARTS
        ],
    )
    write_atomic(out / "page.html", page.encode())
    print(f"{out / 'page.html'}: {len(known)} of {len(PARTS)} parts")


def read(path: Path) -> dict[str, Any] | None:
    """A part's file; None where it is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def rows_of(figures: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """The figures as names and words, those of a table in it under its name."""
    for name, value in figures.items():
        said = f"{above}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from rows_of(value, f"{said}: ")
        elif name != "digest":
            yield said, f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
