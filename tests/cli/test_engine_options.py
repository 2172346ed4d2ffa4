"""Where shards are made, as options and recipes say it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from overpaint.cli import main
from overpaint.cli._engine import read_engine
from overpaint.engine import Engine


@pytest.mark.parametrize(
    ("kind", "workers", "overrides", "wanted"),
    [
        (None, None, [], Engine("ray", 4)),
        (None, 2, [], Engine("ray", 2)),
        ("local", None, [], Engine("local", 1)),
        ("ray", None, ["workers=3", "pairs.seed=1", "seed=2"], Engine("ray", 3)),
        (None, None, ["engine=local", "workers=1"], Engine("local", 1)),
    ],
)
def test_options_win_over_the_recipe(
    tmp_path: Path,
    kind: Literal["local", "ray"] | None,
    workers: int | None,
    overrides: list[str],
    wanted: Engine,
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("engine: ray\nworkers: 4\npairs:\n  anything: 1\n")
    assert read_engine(kind, workers, recipe, overrides) == wanted


def test_without_a_recipe_it_is_this_process() -> None:
    assert read_engine(None, None, None, []) == Engine("local", 1)


def test_workers_without_ray_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "captions.txt").write_text("a cat on a chair\n")
    words = ["instruct", "generate", "--captions", str(tmp_path / "captions.txt")]
    words += ["--model", "m", "--endpoint", "http://127.0.0.1:9/v1", "-o", str(tmp_path / "out")]
    assert main([*words, "--workers", "2"]) == 1
    assert "take the ray engine for more" in capsys.readouterr().err
    assert not (tmp_path / "out" / "data").exists()
