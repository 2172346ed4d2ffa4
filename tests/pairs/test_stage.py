"""The stage from triplets to pairs, in a world of colours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from colours import COLOURS, TRIPLETS, open_colours

from overpaint.data.cells import picture_of
from overpaint.digests import digest
from overpaint.engine import Engine
from overpaint.errors import UserError
from overpaint.pairs import stage
from overpaint.pairs.settings import PairsSettings, Thresholds
from overpaint.pairs.stage import make_pairs
from overpaint.rows import PAIR_COLUMNS, TRIPLET_COLUMNS
from overpaint.shards import read_pairs
from page_check import check_page

pytestmark = pytest.mark.usefixtures("colours")

# In the world of colours a scale of 0.45 keeps enough of the source for the images to be alike.
COMMON = {"thresholds": Thresholds(), "rows_per_shard": 6, "batch_size": 4}
SETTINGS = PairsSettings(controlnet_conditioning_scales=(0.1, 0.3, 0.45), **COMMON)
COUPLES = PairsSettings(method="prompt-to-prompt", candidates=12, **COMMON)


def made(folder: Path) -> dict[str, bytes]:
    """The files that a rerun must not change by a byte."""
    paths = [*folder.glob("data/*"), *folder.glob("tallies/*"), folder / "origin.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


def test_the_best_candidate_that_passes_is_written(triplets: Path, tmp_path: Path) -> None:
    summary = make_pairs(triplets, tmp_path / "out", SETTINGS)
    pairs = read_pairs(tmp_path / "out")
    assert summary["accepted"] == summary["rows_kept"] == len(pairs) == len(TRIPLETS)
    assert summary["candidates"] == 3 * len(TRIPLETS)
    assert set(pairs["conditioning_scale"]) == {0.45}
    assert summary["yield"]["0.1"] == {"candidates": 24, "passed": 0, "accepted": 0}
    assert summary["yield"]["0.45"] == {"candidates": 24, "passed": 24, "accepted": 24}
    assert summary["rejected"]["clip_image"] == 48
    row = pairs[0]
    colour = COLOURS[row["edited_prompt"].split()[1]]
    assert np.argmax(
        np.asarray(picture_of(row["edited_image"], tmp_path, "row")).mean((0, 1))
    ) == np.argmax(colour)
    assert (row["method"], row["model"], row["guidance_scale"]) == ("controlnet", "nano", 7.5)
    assert row["clip_image"] >= 0.65


def test_columns_are_those_of_the_training_example_of_diffusers(
    triplets: Path, tmp_path: Path
) -> None:
    """`train_instruct_pix2pix.py` reads original_image, edit_prompt and edited_image."""
    from datasets import load_dataset
    from PIL import Image

    make_pairs(triplets, tmp_path / "out", SETTINGS)
    data = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert tuple(data.column_names) == PAIR_COLUMNS
    row = data[0]
    assert isinstance(row["original_image"], Image.Image)
    assert isinstance(row["edited_image"], Image.Image)
    assert row["edit_prompt"] in {triplet["edit_prompt"] for triplet in TRIPLETS}


def test_both_pictures_of_a_couple_are_its_own(triplets: Path, tmp_path: Path) -> None:
    summary = make_pairs(triplets, tmp_path / "out", COUPLES)
    pairs = read_pairs(tmp_path / "out")
    assert 0 < len(pairs) <= 4 * len(TRIPLETS)
    assert summary["accepted"] == len(pairs)
    assert summary["rejected"]["passes, but better ones are kept"] > 0
    assert all(0 <= share <= 1 for share in pairs["attention_fraction"])
    by_row: dict[tuple[str, ...], list[float]] = {}
    for pair in pairs:
        row = tuple(pair[name] for name in TRIPLET_COLUMNS)
        by_row.setdefault(row, []).append(pair["clip_direction"])
    assert max(map(len, by_row.values())) == 4
    assert all(row == sorted(row, reverse=True) for row in by_row.values())


def test_the_bytes_depend_on_the_rows_alone(triplets: Path, tmp_path: Path) -> None:
    make_pairs(triplets, tmp_path / "one", SETTINGS)
    turned = tmp_path / "turned.jsonl"
    turned.write_text("".join(json.dumps(row) + "\n" for row in reversed(TRIPLETS)))
    make_pairs(turned, tmp_path / "two", SETTINGS)
    assert made(tmp_path / "one") == made(tmp_path / "two")
    make_pairs(triplets, tmp_path / "three", SETTINGS.model_copy(update={"seed": 1}))
    assert made(tmp_path / "one") != made(tmp_path / "three")


def test_a_rerun_does_what_is_missing_and_nothing_else(
    triplets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = make_pairs(triplets, out, SETTINGS)
    before, whole = made(out), digest(out)
    next((out / "data").glob("train-00001-*")).unlink()
    (out / "summary.json").write_text("{half")
    again = make_pairs(triplets, out, SETTINGS)
    assert made(out) == before
    assert {**again, "speed": None} == {**first, "speed": None}
    assert again["speed"]["rows"] < first["speed"]["rows"]

    def refuse(*_: object) -> None:
        raise AssertionError("a finished run loads no model")

    shutil.rmtree(out)
    make_pairs(triplets, out, SETTINGS)
    whole = digest(out)
    monkeypatch.setattr(stage, "open_generator", refuse)
    make_pairs(triplets, out, SETTINGS)
    assert digest(out) == whole


def test_of_a_source_unlike_its_caption_no_candidate_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"original_prompt": "a red car", "edit_prompt": "paint it", "edited_prompt": "a blue car"},
        {"original_prompt": "a pale car", "edit_prompt": "paint it", "edited_prompt": "a red car"},
    ]
    source = tmp_path / "some.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = []

    def remember(*arguments: object) -> object:
        stages.append(open_colours(*arguments))  # type: ignore[arg-type]
        # A picture of another colour than its caption says.
        draw = stages[-1].method.draw_sources
        monkeypatch.setattr(
            stages[-1].method,
            "draw_sources",
            lambda triplets, seeds: [
                np.zeros_like(p) + np.uint8([0, 0, 9]) if "pale" in t.original_prompt else p
                for t, p in zip(triplets, draw(triplets, seeds), strict=True)
            ],
        )
        return stages[-1]

    monkeypatch.setattr(stage, "open_generator", remember)
    thresholds = Thresholds(clip_original=0.9, clip_image=None)
    summary = make_pairs(
        source, tmp_path / "out", SETTINGS.model_copy(update={"thresholds": thresholds})
    )
    assert [triplet.original_prompt for triplet in stages[0].method.asked] == ["a red car"]
    assert summary["outcomes"] == {"kept": 1, "the source is unlike its caption": 1}
    assert summary["candidates"] == 3


def test_a_row_that_fails_is_set_aside_with_its_reason(
    triplets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_broken(*arguments: object) -> object:
        opened = open_colours(*arguments)  # type: ignore[arg-type]
        draw = opened.method.draw_candidates

        def fail(triplets: list, seeds: list, sources: list) -> object:
            if any(triplet.original_prompt == "a red bird" for triplet in triplets):
                raise RuntimeError("no red birds")
            return draw(triplets, seeds, sources)

        monkeypatch.setattr(opened.method, "draw_candidates", fail)
        return opened

    monkeypatch.setattr(stage, "open_generator", open_broken)
    summary = make_pairs(triplets, tmp_path / "out", SETTINGS)
    assert summary["quarantined"]["rows"] == 2
    assert "no red birds" in summary["quarantined"]["examples"][0]["reason"]
    assert summary["accepted"] == len(TRIPLETS) - 2
    assert summary["rows"] == len(TRIPLETS)  # they count as triplets without a pair
    assert summary["acceptance"] == round(1 - 2 / len(TRIPLETS), 4)
    assert sum(kind["rows"] for kind in summary["kinds"].values()) == len(TRIPLETS)
    assert summary["kinds"]["attribute"]["rows_kept"] == summary["kinds"]["attribute"]["rows"] - 2


def test_another_recipe_is_refused_in_the_same_folder(triplets: Path, tmp_path: Path) -> None:
    make_pairs(triplets, tmp_path / "out", SETTINGS)
    other = SETTINGS.model_copy(update={"guidance_scale": (5.0, 5.0)})
    with pytest.raises(UserError, match="guidance_scale was"):
        make_pairs(triplets, tmp_path / "out", other, Engine())


def test_the_page_shows_both_sides(triplets: Path, tmp_path: Path) -> None:
    strict = Thresholds(clip_image=0.65, clip_direction=0.15, clip_edited=0.72)
    make_pairs(triplets, tmp_path / "out", SETTINGS.model_copy(update={"thresholds": strict}))
    page = (tmp_path / "out" / "pairs.html").read_text(encoding="utf-8")
    assert "<script" not in page
    check_page(page)
    for words in (
        "Acceptance by kind",
        "conditioning scale",
        "Accepted",
        "Rejected",
        "clip_image below 0.65",
    ):
        assert words in page


def test_an_error_of_every_row_is_no_finished_folder(
    triplets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where shards are so small that none alone gives the stage up."""

    def open_broken(*arguments: object) -> object:
        opened = open_colours(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(opened.method, "draw_sources", lambda triplets, seeds: 1 / 0)
        return opened

    few = SETTINGS.model_copy(update={"rows_per_shard": 2})
    with monkeypatch.context() as broken:
        broken.setattr(stage, "open_generator", open_broken)
        with pytest.raises(Exception, match="triplets could be made; the first failed with Zero"):
            make_pairs(triplets, tmp_path / "out", few)
    assert not (tmp_path / "out" / "data").exists()
    assert make_pairs(triplets, tmp_path / "out", few)["quarantined"]["rows"] == 0


@pytest.mark.parametrize(
    ("kind", "reason"), [("\ud83d", "broken Unicode"), ("long" * 100, "over-long")]
)
def test_a_kind_that_cannot_be_stored_costs_its_row(tmp_path: Path, kind: str, reason: str) -> None:
    source = tmp_path / "some.jsonl"
    bad = {**TRIPLETS[0], "kind": kind}
    source.write_text("".join(json.dumps(row) + "\n" for row in (bad, TRIPLETS[1])))
    summary = make_pairs(source, tmp_path / "out", SETTINGS)
    assert summary["triplets"]["rejected"] == {reason: 1}
    assert summary["rows"] == 1
