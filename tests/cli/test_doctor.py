"""Doctor says what is broken and what to do, and its exit code says whether anything is."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from overpaint import machine
from overpaint.cli import main
from overpaint.machine import Device, Finding, Report


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    """A report of a machine without faults, which the command shows instead of looking."""
    report = Report(
        overpaint="0.1.0",
        python="3.11.7",
        devices=[Device("cpu", "CPU", 8 << 30, False)],
        findings=[Finding("python", "fine", "Python 3.11.7."), Finding("llm", "note", "absent.")],
        abilities=["Editing runs here."],
    )
    monkeypatch.setattr(machine, "examine", lambda: report)
    return report


def test_words_for_people(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok   python       Python 3.11.7.\n" in out
    assert out.endswith("Editing runs here.\n")


def test_one_object_for_machines(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["devices"][0]["name"] == "cpu"
    assert shown["findings"][1]["state"] == "note"


def test_something_broken_exits_1(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(report, findings=[Finding("torchvision", "broken", "cannot be imported.")])
    monkeypatch.setattr(machine, "examine", lambda: broken)
    assert main(["doctor"]) == 1


def test_a_broken_torchvision_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(
        [], 1, b"", b"Traceback\nRuntimeError: operator torchvision::nms does not exist\n"
    )
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: failed)
    finding = machine._torchvision()
    assert finding.state == "broken"
    assert "nms does not exist" in finding.text
    assert "pip uninstall torchvision" in finding.text


def test_no_torchvision_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert machine._torchvision().state == "fine"


def test_every_extra_is_known_by_its_packages() -> None:
    assert "trl" in machine.packages_of_extra("llm")
    assert machine.packages_of_extra("scale") == ["ray"]
    assert "torch" not in machine.packages_of_extra("llm")


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [(4, "too little"), (16, "training it wants 24 GB"), (80, "and trains it")],
)
def test_what_a_gpu_can_do_follows_from_its_memory(gigabytes: int, expected: str) -> None:
    cpu = Device("cpu", "CPU", 64 << 30, False)
    gpu = Device("cuda:0", "Some GPU", gigabytes << 30, True)
    first, second = machine._abilities([cpu, gpu], nano_works=True)
    assert "runs here" in first
    assert expected in second


def test_this_machine_is_examined() -> None:
    """The real thing, on whatever machine runs the tests."""
    found = {finding.name: finding for finding in machine.examine().findings}
    assert found["torch"].state == "fine"
    assert {"python", "cpu", "cores", "disk", "torchvision", "nano", "llm"} <= found.keys()
