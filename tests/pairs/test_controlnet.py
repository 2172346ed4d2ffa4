"""The ControlNet method draws what diffusers' own pipelines draw, in batches and for less."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from overpaint.errors import UserError
from overpaint.models import TextToImageModel
from overpaint.pairs import sampler
from overpaint.pairs.canny import canny
from overpaint.pairs.controlnet import ControlNetMethod
from overpaint.pairs.settings import PairsSettings
from overpaint.rows import Triplet
from overpaint.seeds import derive_seed
from tiny import NATIVE_SIZE, tiny_text_to_image

TRIPLETS = [
    Triplet(original_prompt=original, edit_prompt="edit it", edited_prompt=edited)
    for original, edited in (
        ("a cat and a tree", "a dog and a tree"),
        ("the house", "the house at night"),
        ("a red apple on the left", "a green apple on the left"),
    )
]
SEEDS = [11, 12, 13]
SCALES = (0.5, 1.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> TextToImageModel:
    return tiny_text_to_image(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def epsilon(tmp_path_factory) -> TextToImageModel:
    return tiny_text_to_image(tmp_path_factory.mktemp("epsilon"), "epsilon")


def settings(**changes) -> PairsSettings:
    values = {"num_inference_steps": 3, "guidance_scale": 4.0, "batch_size": 5}
    return PairsSettings(**{**values, "controlnet_conditioning_scales": SCALES, **changes})


def sources() -> list[np.ndarray]:
    """Pictures full of edges, which a random model does not draw."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (3, NATIVE_SIZE // 4, NATIVE_SIZE // 4, 3), dtype=np.uint8)
    return list(coarse.repeat(4, axis=1).repeat(4, axis=2))


@pytest.fixture
def latents(monkeypatch) -> list[torch.Tensor]:
    """The latents of every picture that our side draws, before they are decoded."""
    seen: list[torch.Tensor] = []
    own = sampler.decode_latents

    def decode(model, drawn):
        seen.extend(drawn)
        return own(model, drawn)

    monkeypatch.setattr(sampler, "decode_latents", decode)
    return seen


def stock(kind, model, scheduler, **more):
    """A pipeline of diffusers, from the same parts."""
    parts = {name: getattr(model, name) for name in ("vae", "text_encoder", "tokenizer", "unet")}
    pipeline = kind(
        **parts,
        **more,
        scheduler=sampler.make_scheduler(model.scheduler, scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "euler-ancestral", None])
@pytest.mark.parametrize("which", ["model", "epsilon"])
def test_sources_equal_the_stock_pipelines(which, scheduler, latents, request):
    from diffusers import StableDiffusionPipeline

    model = request.getfixturevalue(which)
    method = ControlNetMethod(model, settings(scheduler=scheduler, num_inference_steps=4))
    pictures = method.draw_sources(TRIPLETS, SEEDS)
    pipeline = stock(StableDiffusionPipeline, model, scheduler)
    for row, (wanted, seed) in enumerate(zip(TRIPLETS, SEEDS, strict=True)):
        theirs = pipeline(
            wanted.original_prompt,
            num_inference_steps=4,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
        ).images[0]
        torch.testing.assert_close(latents[row], theirs, atol=1e-4, rtol=0)
        assert pictures[row].shape == (NATIVE_SIZE, NATIVE_SIZE, 3)
        assert pictures[row].dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "euler-ancestral"])
@pytest.mark.parametrize("which", ["model", "epsilon"])
def test_candidates_equal_the_stock_pipelines(which, scheduler, latents, request):
    from diffusers import StableDiffusionControlNetPipeline

    model = request.getfixturevalue(which)
    method = ControlNetMethod(model, settings(candidate_scheduler=scheduler))
    given = sources()[:2]
    candidates = method.draw_candidates(TRIPLETS[:2], SEEDS[:2], given)
    pipeline = stock(
        StableDiffusionControlNetPipeline, model, scheduler, controlnet=model.controlnet
    )
    ours = iter(latents)
    for wanted, source, row in zip(TRIPLETS[:2], given, candidates, strict=True):
        edges = torch.from_numpy(canny(source)).float()[None, None] / 255
        assert 0.05 < edges.mean() < 0.95
        assert [c.spec.conditioning_scale for c in row] == list(SCALES)
        for candidate in row:
            assert candidate.original is source
            theirs = pipeline(
                wanted.edited_prompt,
                image=edges.expand(-1, 3, -1, -1),
                num_inference_steps=3,
                guidance_scale=4.0,
                controlnet_conditioning_scale=candidate.spec.conditioning_scale,
                generator=torch.Generator().manual_seed(candidate.spec.seed),
                output_type="latent",
            ).images[0]
            torch.testing.assert_close(next(ours), theirs, atol=1e-4, rtol=0)


def test_sources_keep_a_scheduler_of_their_own(model):
    mixed = settings(scheduler="ddim", candidate_scheduler="pndm")
    drawn = ControlNetMethod(model, mixed).draw_sources(TRIPLETS[:1], SEEDS[:1])
    alone = ControlNetMethod(model, settings(scheduler="ddim")).draw_sources(
        TRIPLETS[:1], SEEDS[:1]
    )
    other = ControlNetMethod(model, settings(scheduler="pndm")).draw_sources(
        TRIPLETS[:1], SEEDS[:1]
    )
    np.testing.assert_array_equal(drawn, alone)
    assert (drawn[0] != other[0]).any()


def test_edges_and_their_strength_change_the_picture(model, latents):
    method = ControlNetMethod(model, settings())
    blank = np.zeros_like(sources()[0])
    method.draw_candidates(TRIPLETS[:1], SEEDS[:1], sources()[:1])
    method.draw_candidates(TRIPLETS[:1], SEEDS[:1], [blank])
    weak, strong, weak_blank, _ = latents
    assert (weak - strong).abs().max() > 1e-2
    assert (weak - weak_blank).abs().max() > 1e-2


def test_a_row_is_the_same_in_any_company(model, latents):
    """Whatever its neighbours and the size of the batch, to float32's rounding."""
    guided = settings(guidance_scale=(2.0, 9.0), seeds_per_scale=2)
    ControlNetMethod(model, guided).draw_candidates(TRIPLETS, SEEDS, sources())
    together, latents[:] = list(latents), []
    alone = ControlNetMethod(model, guided.model_copy(update={"batch_size": 1}))
    for row in (2, 1, 0):
        alone.draw_candidates([TRIPLETS[row]], [SEEDS[row]], [sources()[row]])
    assert len(together) == len(latents) == 12
    for i, row in enumerate((2, 1, 0)):
        torch.testing.assert_close(
            torch.stack(latents[4 * i : 4 * i + 4]),
            torch.stack(together[4 * row : 4 * row + 4]),
            atol=1e-5,
            rtol=1e-5,
        )


def test_seeds_come_from_the_row(model):
    rows = ControlNetMethod(model, settings(seeds_per_scale=3, num_inference_steps=1))
    candidates = rows.draw_candidates(TRIPLETS[:2], SEEDS[:2], sources()[:2])
    for seed, row in zip(SEEDS, candidates, strict=False):
        later = [derive_seed(seed, "candidate", n) for n in (1, 2)]
        assert [c.spec.seed for c in row] == [seed, *later] * 2
        assert [c.spec.conditioning_scale for c in row] == [0.5] * 3 + [1.5] * 3


def test_noise_that_is_not_shared_is_the_sources_nowhere(model):
    method = ControlNetMethod(
        model, settings(seeds_per_scale=2, num_inference_steps=1, shared_noise=False)
    )
    (row,) = method.draw_candidates(TRIPLETS[:1], SEEDS[:1], sources()[:1])
    own = [derive_seed(SEEDS[0], "candidate", n) for n in (0, 1)]
    assert [c.spec.seed for c in row] == own * 2


def test_what_is_the_same_for_all_steps_is_done_once(model):
    """Two rows of two candidates, three steps: each network is asked no oftener than it must."""
    calls: dict[str, list[int]] = {}
    parts = {
        "hint": model.controlnet.controlnet_cond_embedding,
        "text": model.text_encoder,
        "controlnet": model.controlnet,
        "unet": model.unet,
        "decoder": model.vae.decoder,
    }
    hooks = [
        part.register_forward_pre_hook(
            lambda module, args, kwargs, name=name: calls.setdefault(name, []).append(
                len((*args, *kwargs.values())[0])
            ),
            with_kwargs=True,
        )
        for name, part in parts.items()
    ]
    ControlNetMethod(model, settings()).draw_candidates(TRIPLETS[:2], SEEDS[:2], sources()[:2])
    for hook in hooks:
        hook.remove()
    assert calls == {
        "hint": [2],
        "text": [3],
        "controlnet": [8] * 3,
        "unet": [8] * 3,
        "decoder": [4],
    }


def test_the_hints_encoder_comes_back_after_an_error(model, monkeypatch):
    encoder = model.controlnet.controlnet_cond_embedding
    method = ControlNetMethod(model, settings())
    monkeypatch.setattr(method.candidate_sampler, "sample", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        method.draw_candidates(TRIPLETS[:1], SEEDS[:1], sources()[:1])
    assert model.controlnet.controlnet_cond_embedding is encoder


def test_no_rows_make_no_candidates(model):
    assert ControlNetMethod(model, settings()).draw_candidates([], [], []) == []


def test_settings_that_cannot_work(model):
    with pytest.raises(UserError, match="from 1 to 1000"):
        ControlNetMethod(model, settings(num_inference_steps=2000))
    finer = settings().model_copy(update={"resolution": 36})  # no multiple of what is halved away
    with pytest.raises(UserError, match="36 pixels: set `resolution` to a multiple of 8"):
        ControlNetMethod(model, finer)


def test_a_picture_of_nan_is_its_row_s_fault(tmp_path):
    """Not a UserError, which would end the whole run at the same row each time."""
    broken = tiny_text_to_image(tmp_path)
    broken.vae.post_quant_conv.weight.data.fill_(float("nan"))
    with pytest.raises(ArithmeticError, match="not a number"):
        ControlNetMethod(broken, settings()).draw_sources(TRIPLETS[:1], SEEDS[:1])
