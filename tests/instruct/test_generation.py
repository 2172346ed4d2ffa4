"""Captions become triplets: resumable, balanced, every rejection counted, same bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from overpaint.data.formats import read_triplets
from overpaint.digests import digest
from overpaint.engine import running
from overpaint.errors import UserError
from overpaint.instruct import filters, generation
from overpaint.instruct.generation import generate, read_summary, write_rows
from overpaint.instruct.kinds import KINDS
from overpaint.instruct.settings import InstructSettings
from overpaint.instruct.writer import Request
from page_check import check_page
from tiny_language import CAPTIONS

THINGS = "cat fox boat lamp kite drum vase coin harp sled tent oven fern crab bell sock".split()


class FakeWriter:
    """Adds a thing that its seed names; every fourth answer is bad in one of four ways."""

    name = "fake"
    asks_kind = True

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def write(
        self, asked: Sequence[Request], done: Callable[[int], object] = lambda count: None
    ) -> list[tuple[str, str] | None]:
        self.asked += asked
        done(len(asked))
        return [self._answer(request) for request in asked]

    def _answer(self, request: Request) -> tuple[str, str] | None:
        draw = Random(request.seed)
        thing = f"{draw.choice(THINGS)} {draw.randrange(50)}"
        bad = draw.randrange(16)
        if bad == 0:
            return None
        edited = request.caption if bad == 1 else f"{request.caption} with a {thing}"
        instruction = "make it nicer" if bad == 2 else f"add a {thing} ({request.kind})"
        return (f"Sure, here is one: {instruction}" if bad == 3 else instruction, edited)


def settings(**changes: object) -> InstructSettings:
    return InstructSettings(generate={"captions_per_shard": 7, "per_caption": 3, **changes})


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.txt"
    path.write_text("\n".join([*CAPTIONS, CAPTIONS[0], "??"]) + "\n")
    return path


def run(captions: Path, out: Path, values: InstructSettings | None = None) -> FakeWriter:
    writer = FakeWriter()
    generate(captions, out, lambda: writer, values or settings(), {"model": "fake"})
    return writer


def test_every_row_is_kept_or_counted(captions: Path, tmp_path: Path) -> None:
    writer = run(captions, tmp_path / "out")
    summary = read_summary(tmp_path / "out")
    assert summary is not None
    rows = read_triplets(tmp_path / "out", filters.Tally())
    assert summary["rows"] == len(rows) == summary["tally"]["kept"]
    assert summary["wanted"] == 3 * len(CAPTIONS)
    assert summary["tally"]["seen"] == len(writer.asked)
    assert summary["tally"]["seen"] == len(rows) + sum(summary["tally"]["rejected"].values())
    assert summary["captions"]["rejected"] == {filters.DUPLICATE: 1, filters.NO_WORDS: 1}
    reasons = {generation.NO_STRUCTURE, filters.NO_OP, filters.NOT_REFLECTED, filters.META_TALK}
    assert reasons <= set(summary["tally"]["rejected"])
    assert summary["keep_rate"] > 0.9  # of four tries in a row that fail there are few
    quality = summary["quality"]
    assert (quality["valid"], quality["no_op"], quality["consistent"]) == (1.0, 0.0, 1.0)


def test_edits_of_a_caption_differ_in_kind_and_words(captions: Path, tmp_path: Path) -> None:
    run(captions, tmp_path / "out", settings(per_caption=8))
    rows = read_triplets(tmp_path / "out", filters.Tally())
    of_caption: dict[str, list[str]] = {}
    for row in rows:
        of_caption.setdefault(row.original_prompt, []).append(row.edit_prompt)
    assert all(len(set(edits)) == len(edits) for edits in of_caption.values())
    counts = Counter(row.kind for row in rows)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) <= 6


def test_a_shard_holds_an_instruction_as_often_as_it_may() -> None:
    class Monotonous(FakeWriter):
        def _answer(self, request: Request) -> tuple[str, str] | None:
            return ("add a hat", f"{request.caption} with a hat")

    for repeats, kept in ((1, 1), (4, 4), (None, len(CAPTIONS))):
        values = settings(per_caption=1, repeats=repeats, attempts=2)
        rows, tally = write_rows(CAPTIONS, Monotonous(), values)
        assert len(rows) == kept
        wrong = len(CAPTIONS) - kept
        assert tally.rejected.get(generation.REPEATED, 0) == 2 * wrong


def test_a_stopped_run_goes_on_to_the_same_bytes(
    captions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(captions, tmp_path / "whole")
    write, written = running.write_shard, []

    def stop_at_third(*arguments: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(write(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(running, "write_shard", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(captions, tmp_path / "stopped")
    monkeypatch.undo()
    assert read_summary(tmp_path / "stopped") is None
    rest = run(captions, tmp_path / "stopped")
    assert digest(tmp_path / "stopped") == digest(tmp_path / "whole")
    # Nothing was asked for twice but the shard in flight: the other two were there.
    assert len(rest.asked) < len(whole.asked)
    assert run(captions, tmp_path / "stopped").asked == []


def test_the_order_and_number_of_captions_change_no_row(captions: Path, tmp_path: Path) -> None:
    lines = captions.read_text().splitlines()
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed(lines[:12])))
    run(captions, tmp_path / "a", settings(captions_per_shard=100, repeats=None, attempts=1))
    run(other, tmp_path / "b", settings(captions_per_shard=5, repeats=None, attempts=1))
    every = read_triplets(tmp_path / "a", filters.Tally())
    some = read_triplets(tmp_path / "b", filters.Tally())
    assert len(some) > 20
    triplets = {tuple(row.to_row().values()) for row in every}
    assert all(tuple(row.to_row().values()) in triplets for row in some)


def test_other_settings_in_the_same_folder_are_refused(captions: Path, tmp_path: Path) -> None:
    run(captions, tmp_path / "out")
    with pytest.raises(UserError, match=r"top_p was 0\.9 and is now 0\.5"):
        run(captions, tmp_path / "out", settings(top_p=0.5))
    run(captions, tmp_path / "out", settings(batch_size=2))  # changes no row
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        run(captions, tmp_path / "mine")


def test_captions_of_which_none_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("?\n!\n")
    with pytest.raises(UserError, match="none of the 2 captions"):
        run(tmp_path / "c.txt", tmp_path / "out")


def test_the_page_shows_rows_and_escapes_them(tmp_path: Path) -> None:
    captions = tmp_path / "c.jsonl"
    captions.write_text(json.dumps({"caption": "a dog <b>on</b> the beach & more"}))
    run(captions, tmp_path / "out")
    page = (tmp_path / "out" / "triplets.html").read_text()
    assert "&lt;b&gt;on&lt;/b&gt; the beach &amp; more with a" in page
    assert "<b>" not in page
    assert "<script" not in page
    check_page(page)
    assert page.index('id="rows"') < page.index('id="figures"') < page.index('id="rejected"')


def test_a_stock_loader_reads_the_folder(captions: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    run(captions, tmp_path / "out")
    loaded = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded.column_names == [
        *("original_prompt", "edit_prompt", "edited_prompt", "kind", "seed", "model")
    ]
