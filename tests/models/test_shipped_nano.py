"""The shipped weights: they edit, stock diffusers loads them, and both draw the same picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edit_accuracy import edit_accuracy
from PIL import Image

from overpaint import Editor
from overpaint.evaluation.sources import benchmark_examples
from overpaint.models.names import NANO
from overpaint.scenes.examples import sample_example

pytestmark = pytest.mark.slow

STOCK = """
import sys
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from PIL import Image

where, source, out, instruction, steps, text, image = sys.argv[1:]
pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(where)
assert not any(name.split(".")[0] == "overpaint" for name in sys.modules)
pipeline.set_progress_bar_config(disable=True)
edited = pipeline(
    instruction,
    image=Image.open(source),
    num_inference_steps=int(steps),
    guidance_scale=float(text),
    image_guidance_scale=float(image),
    generator=torch.Generator().manual_seed(11),
).images[0]
edited.save(out)
"""


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("nano", device="cpu")


def test_it_edits_scenes_that_it_never_saw(editor: Editor) -> None:
    """A floor far above chance (1/32) and far below the README's figure, which is measured on
    many more scenes by benchmarks/edit_accuracy.py."""
    examples = benchmark_examples(26, 4321, "heldout")

    def edit(batch: list) -> list[np.ndarray]:
        pictures = [Image.fromarray(example.original) for example in batch]
        instructions = [example.edit_prompt for example in batch]
        edits = editor.edit_pairs(pictures, instructions, num_inference_steps=8)
        return [np.asarray(edit.image) for edit in edits]

    assert edit_accuracy(examples, edit)["overall"]["retrieval"]["editor"] > 0.5


def test_the_stock_pipeline_loads_it_and_draws_the_same(editor: Editor, tmp_path: Path) -> None:
    example = sample_example(3, "heldout", kinds=("background",))
    source, out = tmp_path / "source.png", tmp_path / "stock.png"
    Image.fromarray(example.original).save(source)
    prompt = example.edit_prompt
    words = [sys.executable, "-c", STOCK, str(NANO), str(source), str(out), prompt, "7", "3", "1.5"]
    subprocess.run(words, check=True, timeout=300)
    ours = editor.edit(
        source, prompt, seed=11, num_inference_steps=7, guidance_scale=3, image_guidance_scale=1.5
    )[0]
    theirs = np.asarray(Image.open(out)).astype(int)
    assert np.abs(np.asarray(ours).astype(int) - theirs).max() <= 1


def test_only_stock_classes_and_no_pickle_is_shipped() -> None:
    index = json.loads((NANO / "model_index.json").read_text())
    libraries = {value[0] for value in index.values() if isinstance(value, list)}
    assert libraries <= {"diffusers", "transformers", None}
    assert {p.suffix for p in NANO.rglob("*") if p.is_file()} <= {
        ".json",
        ".safetensors",
        ".txt",
        ".md",
    }
    assert sum(p.stat().st_size for p in NANO.rglob("*")) < 40 * 2**20


def test_no_configuration_says_where_it_was_trained() -> None:
    for path in NANO.glob("*/config.json"):
        assert "_name_or_path" not in json.loads(path.read_text(encoding="utf-8"))


def test_the_shipped_clip_knows_the_captions() -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    from nano.pictures import captioned

    pictures, captions = captioned(range(900_000, 900_016), "small", 64)
    tokenizer = AutoTokenizer.from_pretrained(NANO / "tokenizer")
    tokens = tokenizer(captions, padding=True, truncation=True, return_tensors="pt").input_ids
    clip = CLIPModel.from_pretrained(NANO / "clip").eval()
    with torch.no_grad():
        scores = clip(input_ids=tokens, pixel_values=pictures).logits_per_image
    assert (scores.argmax(-1) == torch.arange(16)).float().mean() > 0.7


def test_the_card_says_how_it_was_made() -> None:
    card = (NANO / "README.md").read_text(encoding="utf-8")
    for word in ("OpenMoji", "CC BY-SA 4.0", "steps", "seed", "recipes/nano-editor.yaml"):
        assert word in card
