"""`overpaint doctor`: what this machine can run."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of words.")
    ] = False,
) -> None:
    """Say what this machine can run, and what is broken."""
    from dataclasses import asdict

    from overpaint.cli._output import echo, print_json
    from overpaint.machine import examine

    report = examine()
    if as_json:
        print_json(asdict(report))
    else:
        for finding in report.findings:
            echo(f"{_MARKS[finding.state]} {finding.name:<12} {finding.text}")
        typer.echo()
        for sentence in report.abilities:
            echo(sentence)
    if any(finding.state == "broken" for finding in report.findings):
        raise typer.Exit(1)


_MARKS = {"fine": "  ok  ", "note": " note ", "broken": "BROKEN"}
