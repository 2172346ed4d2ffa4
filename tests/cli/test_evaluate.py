"""`overpaint evaluate` and `overpaint compare` from end to end, with tiny models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fakes import build_tiny_clip

from overpaint.cli import main
from overpaint.errors import UserError
from overpaint.models.origin import model_origin
from overpaint.report.schema import Report
from tiny import build_tiny_pipeline

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two editors of random weights, one of NaN, and a CLIP."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models")
    build_tiny_pipeline(folder / "one")
    build_tiny_pipeline(folder / "two", seed=1)
    weights = build_tiny_pipeline(folder / "nan") / "vae/diffusion_pytorch_model.safetensors"
    save_file({name: value * float("nan") for name, value in load_file(weights).items()}, weights)
    build_tiny_clip(folder / "judge")
    return folder


def run(*words: object) -> int:
    return main(["evaluate", *map(str, words), "--steps", "1", "--device", "cpu"])


def test_a_report_of_two_models_and_one_that_is_broken(models, tmp_path, capfd) -> None:
    names = [models / name for name in ("one", "nan", "two")]
    words = ("--scenes", 13, "--seed", 9, "--clip", models / "judge", "-o", tmp_path, "--json")
    assert run(*names, *words) == 0
    out, err = capfd.readouterr()
    printed = json.loads(out)
    assert set(printed["scores"]) == {"one", "two"}
    assert any("nan was left out: the vae" in n and "no numbers" in n for n in printed["notes"])
    assert "DINO similarity was left out" in err
    report = Report.model_validate_json((tmp_path / "report.json").read_text())
    assert [model.label for model in report.models] == ["one", "two"]
    direction = report.models[0].scores["overall"]["clip_direction"].count
    assert direction + report.models[0].undefined.get("clip_direction", 0) == 13
    assert report.unedited is not None
    assert report.unedited.scores["overall"]["retrieval"].mean == 0.0
    assert set(printed["unedited"]) == set(printed["scores"]["one"]) == set(printed["better"])
    assert [one.b for one in report.against_unedited] == ["one", "two"]
    assert printed["trained_on"] == {"one": None, "two": None}
    assert (report.comparisons[0].a, report.comparisons[0].b) == ("one", "two")
    assert report.versions["overpaint"]
    assert (tmp_path / "report.html").stat().st_size > 50_000

    before = (tmp_path / "report.json").read_bytes()
    assert run(*names, *words) == 0  # a second run finds everything done
    assert (tmp_path / "report.json").read_bytes() == before
    capfd.readouterr()

    assert main(["compare", str(tmp_path), str(tmp_path), "--json", "-o", str(tmp_path / "c")]) == 0
    compared = json.loads(capfd.readouterr().out)
    assert len(compared["comparisons"]) == 4
    assert compared["comparisons"][0]["differences"]["overall"]["l2"]["mean"] == 0.0
    assert (tmp_path / "c" / "report.html").is_file()
    assert [one["b"] for one in compared["against_unedited"]][:2] == ["one (1)", "two (1)"]
    assert {m["name"]: m["better"] for m in compared["metrics"]} == printed["better"]
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 0
    assert "cannot be told apart" in capfd.readouterr().out


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_a_changed_weight_never_gives_the_old_figures(models, tmp_path, part, capfd) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(models / "two", model := tmp_path / "model")
    words = (model, "--scenes", 3, "--clip", models / "judge", "-o", tmp_path / "out")
    assert run(*words) == 0
    before = (tmp_path / "out/report.json").read_bytes()
    path = model / f"{part}.safetensors"
    weights = load_file(path)
    middle = sorted(weights)[len(weights) // 2]
    weights[middle] = weights[middle] + 0.5
    save_file(weights, path, metadata={"format": "pt"})
    capfd.readouterr()
    if run(*words) == 0:  # done again
        assert (tmp_path / "out/report.json").read_bytes() != before
    else:
        assert "another" in capfd.readouterr().err or "sha256" in capfd.readouterr().err


def test_a_model_s_hash_is_that_of_its_weights_not_of_its_card(tmp_path) -> None:
    folder = build_tiny_pipeline(tmp_path / "m")
    before = model_origin(folder)
    (folder / "README.md").write_text("# A card")
    assert model_origin(folder) == before
    (folder / "overpaint.json").write_text('{"guidance_scale": 2.0}')
    assert model_origin(folder) != before


def test_mistakes_are_one_sentence_each(models, tmp_path, capfd) -> None:
    for words, code, sentence in (
        (
            (models / "nan", "--scenes", 3, "--clip", "none", "-o", tmp_path / "a"),
            1,
            "no model could",
        ),
        ((models / "one", "--pairs", tmp_path / "b", "-o", tmp_path), 1, "there is no folder"),
        (("nothing", "--scenes", 3, "-o", tmp_path), 1, "there is no model 'nothing'"),
        ((models / "one", "--scenes", 3, "--pairs", tmp_path, "-o", tmp_path), 2, "together"),
        ((models / "one", "--limit", 3, "-o", tmp_path), 1, "limit belongs to pairs"),
        ((models / "one", "--preset", "emu-edit", "-o", tmp_path), 1, "preset belongs to pairs"),
        (
            (models / "one", "--preset", "emu-edit", "--pairs", models, "-o", tmp_path),
            1,
            "Emu Edit's",
        ),
    ):
        assert run(*words) == code
        _, err = capfd.readouterr()
        assert sentence in err
        assert "Traceback" not in err


def test_a_recipe_s_block_is_read_and_flags_win(models, tmp_path, capfd) -> None:
    recipe = tmp_path / "r.yaml"
    judge = models / "judge"
    recipe.write_text(
        f"seed: 9\ntrain: {{steps: 1}}\nevaluate:\n  pairs: nowhere\n  limit: 2\n  clip: {judge}\n"
        f"  against: [{models / 'two'}]\n  size: 32\n  curve_cases: 3\n"
    )
    assert run(models / "one", "--recipe", recipe, "-o", tmp_path / "a") == 1
    assert "there is no folder nowhere" in capfd.readouterr().err
    words = ("--recipe", recipe, "--scenes", 4, "--set", "size=40", "-o", tmp_path / "a")
    assert run(models / "one", *words) == 0
    report = Report.model_validate_json((tmp_path / "a/report.json").read_text())
    assert [model.label for model in report.models] == ["two", "one"]
    assert (report.data["count"], report.data["seed"], report.data["size"]) == (4, 9, 40)
    assert run(models / "one", "--recipe", recipe, "--set", "sise=3", "-o", tmp_path / "b") == 1
    assert "evaluate.sise (--set evaluate.sise=3) is no known key" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--curve-cases", "3"], "curve"),
        (["--curve-image-scales", "1,2"], "curve"),
        (["--curve-text-scales", "0,4"], "curve"),
        (["--drift-scenes", "2"], "galleries"),
        (["--picture", "a.png"], "galleries"),
        (["--instruction", "make it night"], "galleries"),
        (["--bias-folder", "portraits"], "bias"),
    ],
)
def test_an_option_of_a_part_asks_for_the_part(words, part, tmp_path, monkeypatch) -> None:
    seen = []

    def stop(models, settings, *_, **__):
        seen.append({name: getattr(settings, name) for name in ("curve", "galleries", "bias")})
        raise UserError("enough")

    monkeypatch.setattr("overpaint.evaluation.stage.evaluate_with_settings", stop)
    assert run("nano", "-o", tmp_path, *words) == 1
    assert run("nano", "-o", tmp_path, *words, f"--no-{part}") == 1
    assert [found[part] for found in seen] == [True, False]
    assert not any(value for found in seen for name, value in found.items() if name != part)
