"""What a recipe will cost: counted from its settings, and a line laid through what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from overpaint.cli import main
from overpaint.evaluation.settings import EvaluateSettings
from overpaint.instruct.settings import InstructSettings
from overpaint.pairs.settings import PairsSettings
from overpaint.runs.cost import (
    Amount,
    Cost,
    Trial,
    cost_of,
    fit,
    of_evaluate,
    of_instruct,
    of_pairs,
    of_train,
    table,
    total,
)
from overpaint.training.settings import TrainSettings

Captured = pytest.CaptureFixture[str]
POINTS = [Amount(1, 20), Amount(8, 160), Amount(8, 320)]


@pytest.mark.parametrize("costs", [(3.0, 0.5, 0.01), (0.0, 0.5, 0.01), (3.0, 0.0, 0.0)])
def test_the_line_through_the_trials_is_found(costs: tuple[float, float, float]) -> None:
    trials = [
        Trial(p, costs[0] + costs[1] * p.rows + costs[2] * p.evaluations, 0.0) for p in POINTS
    ]
    assert np.allclose(fit(trials, "seconds"), costs, atol=1e-6)


def test_noise_makes_no_cost_negative() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        trials = [Trial(p, float(draw.uniform(0, 5)), 1.0) for p in POINTS]
        assert fit(trials, "seconds").min() >= 0
        assert fit(trials, "megabytes").tolist() == [1.0, 0.0, 0.0]


def test_amounts_whose_rows_and_evaluations_go_together_are_predicted() -> None:
    trials = [Trial(Amount(n, 80 * n), 5 + 2.0 * n, 0.0) for n in (8, 16)]
    cost = cost_of("instruct", 0.0, Amount(160, 80 * 160), trials)
    assert cost.hours == pytest.approx((5 + 320) / 3600)


def test_half_of_it_done_is_half_to_do() -> None:
    trials = [Trial(p, 0.5 * p.rows + 0.01 * p.evaluations, p.rows) for p in POINTS]
    whole, half = (cost_of("pairs", done, Amount(100, 4000), trials) for done in (0.0, 0.5))
    assert whole.hours == pytest.approx(90 / 3600)
    assert half.hours == pytest.approx(45 / 3600)
    assert half.megabytes == pytest.approx(100)  # in the end


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"method": "controlnet", "num_inference_steps": 10}, 7 * (1 + 5) * 2 * 10),
        ({"method": "controlnet", "seeds_per_scale": 2, "guidance_scale": 1}, 7 * 11 * 40),
        ({"method": "prompt-to-prompt", "candidates": 3, "keep": 1}, 7 * 2 * 3 * 2 * 40),
    ],
)
def test_pairs_are_counted(settings: dict[str, object], wanted: int) -> None:
    assert of_pairs(PairsSettings.model_validate(settings), 7) == Amount(7, wanted)


@pytest.mark.parametrize(
    ("settings", "rows", "evaluations"),
    [
        ({"scenes": 10}, 10, 10 * 3 * 50),
        ({"scenes": 10, "against": ("nano",)}, 20, 2 * 10 * 3 * 50),
        ({"scenes": 10, "image_guidance_scale": 1, "num_inference_steps": 4}, 10, 10 * 2 * 4),
        (
            {"scenes": 10, "curve": True, "curve_cases": 4, "curve_image_scales": (1, 1.5)},
            10 + 8,
            (30 + 4 * 2 + 4 * 3) * 50,
        ),
    ],
)
def test_cases_are_counted(settings: dict[str, object], rows: int, evaluations: int) -> None:
    values = EvaluateSettings.model_validate(settings)
    assert of_evaluate(values, None, TrainSettings()) == Amount(rows, evaluations)


def test_texts_and_samples_are_counted() -> None:
    text = InstructSettings.model_validate({"generate": {"per_caption": 2, "max_new_tokens": 40}})
    assert of_instruct(text, 5) == Amount(10, 400)
    assert of_instruct(text, None) is None
    train = TrainSettings(steps=3, batch_size=4, gradient_accumulation_steps=2)
    assert of_train(train, 9) == Amount(9, 24)


def test_a_sum_is_known_where_every_part_is() -> None:
    known, unknown = Cost("a", 1, 2, 3, 4.0, 0.5), Cost("b", 0, 2, 3, note="no model b.")
    assert total([known, known]).hours == 1.0
    assert total([known, unknown]).hours is None
    assert table([known, unknown]).splitlines()[-1] == "b: no model b."


def test_what_cannot_be_had_is_said_and_nothing_is_left_behind(
    tmp_path: Path, capsys: Captured
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\npairs: {model: ./absent}\ntrain: {model: ./absent}\nevaluate: {}\n")
    assert main(["run", str(recipe), "--plan", "--json", "-o", str(tmp_path / "run")]) == 0
    found = {one["stage"]: one for one in json.loads(capsys.readouterr().out)["stages"]}
    assert "there is no model './absent'" in found["pairs"]["note"]
    assert "there is no model yet" in found["evaluate"]["note"]
    assert found["evaluate"]["evaluations"] == 600 * 3 * 50
    assert [one["hours"] for one in found.values()] == [None, None, None]
    assert not (tmp_path / "run").exists()


def test_a_recipe_of_tiny_models_is_planned_and_what_is_done_costs_nothing(
    recipe: Path, whole: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overpaint.runs.trial._PAIRS", (3, 5))
    monkeypatch.setattr("overpaint.runs.trial._CASES", (1, 3))
    monkeypatch.setattr("overpaint.runs.trial.QUICK", 0.0)  # no trial is made again
    shown = []
    for folder in (tmp_path / "new", whole):
        assert main(["run", str(recipe), "--plan", "--json", "-o", str(folder)]) == 0
        shown.append(json.loads(capsys.readouterr().out))
    new, done = shown
    assert all(one["hours"] > 0 and one["megabytes"] > 0 for one in new["stages"])
    assert [one["note"] for one in new["stages"]] == [""] * 4
    assert not (tmp_path / "new").exists()
    assert done["hours"] == 0
    assert [one["done"] for one in done["stages"]] == [1.0] * 4
    assert [one["rows"] for one in new["stages"]][:1] == [12]
    change = ["--set", "instruct.seed=9", "--set", "pairs.model=./absent"]
    change += ["--set", "train.model=./absent"]
    assert main(["run", str(recipe), "--plan", "--json", "-o", str(whole), *change]) == 0
    instruct = json.loads(capsys.readouterr().out)["stages"][0]
    assert "seed was 3 and is now 9), and would be refused" in instruct["note"]
