"""A row is completed as it would be alone: the batch beside it changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from overpaint.engine.threads import fixed_threads
from overpaint.errors import UserError
from overpaint.instruct.models import LanguageModel, load_language_model
from overpaint.instruct.sampling import choose, complete
from overpaint.instruct.settings import GenerateSettings
from overpaint.instruct.text_format import TextFormat, grammar
from tiny_language import CAPTIONS

FORMAT = TextFormat("kinds")
PROMPTS = [FORMAT.prompt(caption, "add") for caption in CAPTIONS[:6]]
SHORT = {"max_new_tokens": 40, "max_instruction": 12, "max_caption": 16}


@pytest.fixture(autouse=True)
def _threads_of_a_run() -> Iterator[None]:
    """As the engine computes: rounding depends on the number of threads."""
    with fixed_threads():
        yield


def load(folder: Path) -> LanguageModel:
    return load_language_model(folder, torch.device("cpu"), torch.float32)


def settings(**changes: object) -> GenerateSettings:
    return GenerateSettings(**{**SHORT, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 1.3])
def test_batches_of_any_size_give_the_same_rows(
    family: str, temperature: float, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("llguidance", reason="needs the extra llm")
    model = load(request.getfixturevalue(family))
    seeds = list(range(len(PROMPTS)))
    texts = [
        complete(model, PROMPTS, seeds, settings(temperature=temperature, batch_size=size))
        for size in (1, 4, 16)
    ]
    assert texts[0] == texts[1] == texts[2]
    # Backwards, and so in other company: a row keeps its text.
    backwards = settings(temperature=temperature, batch_size=3)
    assert complete(model, PROMPTS[::-1], seeds[::-1], backwards)[::-1] == texts[0]


def test_without_structure_rows_are_the_same_too(llama: Path) -> None:
    model = load(llama)
    seeds = [7] * len(PROMPTS)
    free = [
        complete(model, PROMPTS, seeds, settings(structure=False, batch_size=size))
        for size in (1, 5)
    ]
    assert free[0] == free[1]


def test_greedy_rows_are_those_of_transformers_alone(gemma: Path) -> None:
    model = load(gemma)
    found = complete(model, PROMPTS, [0] * 6, settings(temperature=0, structure=False))
    for prompt, text in zip(PROMPTS[:3], found, strict=False):
        ids = model.tokenizer(prompt, return_tensors="pt")
        out = model.model.generate(**ids, do_sample=False, max_new_tokens=40)
        alone = model.tokenizer.decode(out[0, ids.input_ids.shape[1] :], skip_special_tokens=True)
        assert alone.startswith(text)
        assert text == alone or text.endswith("END")


def test_structure_makes_every_finished_text_valid(gemma: Path) -> None:
    pytest.importorskip("llguidance", reason="needs the extra llm")
    model = load(gemma)
    texts = complete(model, PROMPTS, list(range(6)), settings(temperature=1.0))
    parsed = [FORMAT.parse(text) for text in texts]
    assert sum(pair is not None for pair in parsed) >= 4  # the others met the limit of tokens
    for text, pair in zip(texts, parsed, strict=True):
        if pair is None:
            assert len(model.tokenizer(text)["input_ids"]) >= 30
            continue
        edit, edited = pair
        assert text == FORMAT.completion(edit, edited)
        assert 2 <= len(edit) <= 12
        assert 2 <= len(edited) <= 16
        assert not {*edit, *edited} & {"\n", "%", "#"}


def test_another_seed_gives_another_text(gemma: Path) -> None:
    model = load(gemma)
    one, other = (
        complete(model, PROMPTS[:3], [seed] * 3, settings(structure=False)) for seed in (1, 2)
    )
    assert one != other


def test_structure_without_its_package_says_what_to_install(
    gemma: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(UserError, match=r"overpaint\[llm\]"):
        complete(load(gemma), PROMPTS[:1], [0], settings())


def test_choose_draws_from_the_smallest_set_that_reaches_top_p() -> None:
    """Against a transcription: sort, keep until the sum reaches p, renormalise, draw."""
    torch.manual_seed(0)
    scores = torch.randn(64, 700) * 3
    scores[:, ::7] = -math.inf
    uniform = torch.rand(64, dtype=torch.float64)
    for top_p in (0.3, 0.9, 1.0):
        chosen = choose(scores, uniform, 1.7, top_p)
        for row in range(64):
            p = torch.softmax(scores[row].double() / 1.7, -1)
            order = p.argsort(descending=True)
            size = int((p[order].cumsum(-1) < top_p - 1e-9).sum()) + 1
            kept = order[:size]
            share = (p[kept] / p[kept].sum()).cumsum(-1)
            near = (share - uniform[row]).abs().min() < 1e-6  # too close to call in float32
            assert near or chosen[row, 0] == kept[int((share <= uniform[row]).sum())]


def test_choose_follows_the_probabilities() -> None:
    scores = torch.tensor([[math.log(0.5), math.log(0.3), math.log(0.2)]]).repeat(4000, 1)
    uniform = torch.linspace(0, 0.9999, 4000, dtype=torch.float64)
    share = torch.bincount(choose(scores, uniform, 1.0, 1.0)[:, 0], minlength=3) / 4000
    assert torch.allclose(share, torch.tensor([0.5, 0.3, 0.2]), atol=1e-3)


def test_the_formats_say_and_read_the_same() -> None:
    paper = TextFormat("delimited")
    assert paper.prompt("a dog", "add") == "a dog\n##\n"
    assert FORMAT.prompt("a dog", "add") == "a dog\n## add\n"
    assert (
        paper.completion("add a hat", "a dog with a hat") == "add a hat\n%%\na dog with a hat\nEND"
    )
    assert paper.parse("add a hat\n%%\na dog with a hat\nEND and more") == (
        "add a hat",
        "a dog with a hat",
    )
    for broken in ("add a hat\n%%\na dog", "add a hat\nEND", "a\n%%\nb\n%%\nc\nEND", ""):
        assert paper.parse(broken) is None


def test_the_grammar_takes_what_the_format_writes() -> None:
    llguidance = pytest.importorskip("llguidance", reason="needs the extra llm")
    text = grammar(40, 80)
    assert not llguidance.LLMatcher.validate_grammar(llguidance.LLMatcher.grammar_from_lark(text))
