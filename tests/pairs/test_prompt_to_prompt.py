"""Prompt-to-Prompt against a slow transcription, one candidate, branch and layer at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from overpaint.models import TextToImageModel
from overpaint.models.encoding import encode_texts
from overpaint.pairs import prompt_to_prompt, sampler
from overpaint.pairs.prompt_to_prompt import PromptToPromptMethod
from overpaint.pairs.sampler import Sampler, make_scheduler
from overpaint.pairs.settings import PairsSettings
from overpaint.pairs.token_alignment import mix_columns
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed
from tiny import tiny_text_to_image

STEPS = 4
TRIPLETS = [
    Triplet(original_prompt=original, edit_prompt="edit it", edited_prompt=edited)
    for original, edited in (
        ("a cat and a tree", "a dog and a tree"),
        ("the house", "the house and a zebra at night"),
    )
]
SEEDS = [21, 22]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToImageModel:
    """Its queries and keys are larger than a fresh model's, which attends to all alike."""
    model = tiny_text_to_image(tmp_path_factory.mktemp("tiny"))
    with torch.no_grad():
        for name, weight in model.unet.named_parameters():
            if "to_q" in name or "to_k" in name:
                weight *= 3.0
    return model


def settings(**changes) -> PairsSettings:
    values = {"method": "prompt-to-prompt", "num_inference_steps": STEPS, "candidates": 3}
    return PairsSettings(**{**values, "keep": 1, "guidance_scale": [1.5, 3.0], **changes})


@pytest.fixture
def latents(monkeypatch) -> list[torch.Tensor]:
    """A tensor of latents for each batch that our side draws."""
    seen: list[torch.Tensor] = []
    own = sampler.decode_latents
    monkeypatch.setattr(sampler, "decode_latents", lambda m, x: (seen.append(x), own(m, x))[1])
    return seen


class Slow:
    """An attention layer written out; it remembers its maps, or changes them by those before."""

    def __init__(self) -> None:
        self.remembered: list[torch.Tensor] = []
        self.replayed: list[torch.Tensor] | None = None
        self.replace_self = False
        self.mix = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(x)
            for x in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        maps = torch.softmax(query @ key.transpose(1, 2) / query.shape[-1] ** 0.5, dim=-1)
        self.remembered.append(maps)
        if self.replayed is not None:
            before = self.replayed[len(self.remembered) - 1]
            if encoder_hidden_states is None and self.replace_self:
                maps = before
            if encoder_hidden_states is not None and self.mix is not None:
                maps = before @ self.mix.from_original + maps * self.mix.own
        return attn.to_out[0](attn.batch_to_head_dim(maps @ value))


@torch.no_grad()
def transcription(model, request, candidate, mix=None, cross_fraction=0.0):
    """The latents of one candidate, original and edited: arXiv:2208.01626, algorithm 1."""
    texts = encode_texts(model, ["", request.original_prompt, request.edited_prompt])
    generator = torch.Generator().manual_seed(candidate.spec.seed)
    noise = torch.randn(1, 8, 8, 8, generator=generator)
    schedulers = [make_scheduler(model.scheduler, "ddim") for _ in range(2)]
    for scheduler in schedulers:
        scheduler.set_timesteps(STEPS)
    z = [noise, noise]
    usual = dict(model.unet.attn_processors)
    prompts = (request.original_prompt, request.edited_prompt)
    for step, t in enumerate(schedulers[0].timesteps):
        answers = []
        for shown in (True, False):
            slow = Slow()
            for which in (0, 1):
                slow.remembered, slow.replayed = [], slow.remembered if which else None
                slow.replace_self = step < candidate.spec.attention_fraction * STEPS
                slow.mix = mix if shown and step < cross_fraction * STEPS else None
                model.unet.set_attn_processor(slow)
                text = texts[prompts[which] if shown else ""][None]
                answers.append(model.unet(z[which], t, text).sample)
        full, none = answers[:2], answers[2:]
        for which in (0, 1):
            guided = none[which] + candidate.spec.guidance_scale * (full[which] - none[which])
            z[which] = schedulers[which].step(guided, t, z[which]).prev_sample
    model.unet.set_attn_processor(usual)
    return torch.cat(z)


def check(model, ours, requests, latents, mixes, cross_fraction=0.0):
    originals = torch.cat([batch[: len(batch) // 2] for batch in latents])
    edited = torch.cat([batch[len(batch) // 2 :] for batch in latents])
    candidates = [(i, candidate) for i, row in enumerate(ours) for candidate in row]
    for k, (i, candidate) in enumerate(candidates):
        slow = transcription(model, requests[i], candidate, mixes[i], cross_fraction)
        torch.testing.assert_close(
            torch.stack([originals[k], edited[k]]), slow, atol=1e-5, rtol=1e-5
        )


@pytest.mark.slow
def test_equals_the_transcription(model, latents):
    """Six candidates of two rows, each with its own fraction and guidance, in uneven batches."""
    p2p = settings(scheduler="ddim", batch_size=8)
    ours = PromptToPromptMethod(model, p2p).draw_candidates(TRIPLETS, SEEDS)
    fractions = [c.spec.attention_fraction for row in ours for c in row]
    assert len(set(fractions)) == 6
    assert all(0.1 <= p <= 0.9 for p in fractions)
    assert len({c.spec.guidance_scale for row in ours for c in row}) == 6
    check(model, ours, TRIPLETS, latents, [None, None])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["swap", "refine"])
def test_cross_attention_equals_the_transcription(model, latents, variant):
    p2p = settings(
        scheduler="ddim",
        cross_attention=variant,
        cross_attention_fraction=0.5,
        reweight=1.5,
        candidates=2,
    )
    ours = PromptToPromptMethod(model, p2p).draw_candidates(TRIPLETS, SEEDS)
    mixes = [
        mix_columns(model.tokenizer, r.original_prompt, r.edited_prompt, variant, 1.5)
        for r in TRIPLETS
    ]
    assert None not in mixes
    check(model, ours, TRIPLETS, latents, mixes, cross_fraction=0.5)


@pytest.mark.parametrize("scheduler", [None, "euler-ancestral"])
def test_without_control_it_is_two_samples_of_one_noise(model, latents, scheduler):
    """Also of the noise that an ancestral sampler adds at every step."""
    free = settings(attention_fraction=0.0, candidates=2, scheduler=scheduler)
    (ours,) = PromptToPromptMethod(model, free).draw_candidates(TRIPLETS[:1], SEEDS[:1])
    (together,) = latents
    plain = Sampler(model, free)
    request = TRIPLETS[0]
    prompts = (request.original_prompt, request.edited_prompt)
    texts = plain.embed(prompts)
    for which, prompt in enumerate(prompts):
        for i, candidate in enumerate(ours):
            guidance = [candidate.spec.guidance_scale]
            plain.sample([prompt], [candidate.spec.seed], guidance, texts)
            torch.testing.assert_close(
                latents[-1][0], together[2 * which + i], atol=1e-5, rtol=1e-5
            )
    assert np.abs(ours[0].original.astype(int) - ours[0].edited).max() > 0


def test_identical_captions_give_identical_pictures(model):
    same = Triplet(original_prompt="a cat", edit_prompt="leave it", edited_prompt="a cat")
    method = PromptToPromptMethod(model, settings(attention_fraction=1.0))
    for candidate in method.draw_candidates([same], [5])[0]:
        np.testing.assert_array_equal(candidate.original, candidate.edited)


def test_maps_are_equal_in_replaced_steps_and_in_no_others(model, monkeypatch):
    """What the layers hand to the attention itself, at each of the steps."""
    maps: list[torch.Tensor] = []
    own = torch.nn.functional.scaled_dot_product_attention

    def spy(query, key, value, **options):
        # As many queries as keys, four rows: the U-Net's self-attention, not the text tower's.
        if query.shape[2] == key.shape[2] and len(query) == 4:
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
            maps.append(scores.softmax(-1))
        return own(query, key, value, **options)

    monkeypatch.setattr(prompt_to_prompt.F, "scaled_dot_product_attention", spy)
    p2p = settings(candidates=1, attention_fraction=0.5, scheduler="ddim")
    PromptToPromptMethod(model, p2p).draw_candidates(TRIPLETS[:1], SEEDS[:1])
    layers = len(maps) // STEPS
    assert layers > 3
    for call, found in enumerate(maps):
        original, edited = found[0::2], found[1::2]  # text and no text, each original and edited
        if call // layers < 2:
            assert torch.equal(original, edited)
        elif call % layers > 0:
            assert (original - edited).abs().max() > 1e-4


def test_a_candidate_is_the_same_in_any_company(model, latents):
    PromptToPromptMethod(model, settings(batch_size=12)).draw_candidates(TRIPLETS, SEEDS)
    (together,) = latents
    latents.clear()
    alone = PromptToPromptMethod(model, settings(batch_size=1))
    for row in (1, 0):
        alone.draw_candidates([TRIPLETS[row]], [SEEDS[row]])
    for i, k in enumerate([3, 4, 5, 0, 1, 2]):
        torch.testing.assert_close(latents[i], together[[k, 6 + k]], atol=1e-5, rtol=1e-5)


def test_seeds_come_from_the_row(model):
    p2p = settings(num_inference_steps=1)
    rows = PromptToPromptMethod(model, p2p).draw_candidates(TRIPLETS, SEEDS)
    for seed, row in zip(SEEDS, rows, strict=True):
        assert [c.spec.seed for c in row] == [derive_seed(seed, "candidate", n) for n in range(3)]


def test_the_models_own_attention_comes_back(model, monkeypatch):
    before = dict(model.unet.attn_processors)
    method = PromptToPromptMethod(model, settings(num_inference_steps=1, candidates=1))
    method.draw_candidates(TRIPLETS[:1], SEEDS[:1])
    assert model.unet.attn_processors == before
    monkeypatch.setattr(method.sampler, "sample", lambda *given, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        method.draw_candidates(TRIPLETS[:1], SEEDS[:1])
    assert model.unet.attn_processors == before
