"""A nano-shaped editing pipeline of random weights, small enough to build in a test.

Stock classes throughout, so that both our loader and diffusers' own read the directory:
an AutoencoderKL of three levels (factor 4, 8 latent channels), a U-Net with twice the latent
channels at its input, a CLIP text tower and a real byte-level BPE tokenizer in CLIP's layout.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from overpaint.sampler import SamplerSettings

NATIVE_SIZE = 32  # pixels: 8 latents x the autoencoder's factor 4
LATENT_CHANNELS = 8
MAX_TOKENS = 32

SENTENCES = [
    "turn the cat into a dog",
    "add a red apple on the left",
    "make it night",
    "remove the tree and the house",
    "turn it into a line drawing",
    "a cat and a tree on a blue background",
    "change the background to green",
    "swap the two objects",
]

DDIM = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
}


def defaults_of(steps: int, text_scale: float, image_scale: float) -> SamplerSettings:
    """What a model says that it edits best with."""
    return SamplerSettings(
        num_inference_steps=steps, guidance_scale=text_scale, image_guidance_scale=image_scale
    )


def build_tiny_tokenizer(directory: Path) -> None:
    """Write vocab.json, merges.txt and the rest of a CLIP tokenizer trained on SENTENCES."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    learner.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(vocab_size=200, end_of_word_suffix="</w>", show_progress=False),
    )
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = alphabet + [letter + "</w>" for letter in alphabet]
    words += [left + right for left, right in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(dict.fromkeys(words))}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)
    tokenizer.save_pretrained(directory)
    # transformers 5 writes tokenizer.json only; CLIP's own two files are its older layout.
    (directory / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def tiny_components(
    *, in_channels: int = 2 * LATENT_CHANNELS, vocab_size: int = 800, seed: int = 0
):  # type: ignore[no-untyped-def]
    """Return (unet, vae, text_encoder, scheduler) with weights that depend on `seed` only."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=NATIVE_SIZE // 4,
            in_channels=in_channels,
            out_channels=LATENT_CHANNELS,
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=2,
            norm_num_groups=8,
        )
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            latent_channels=LATENT_CHANNELS,
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=NATIVE_SIZE,
            scaling_factor=0.5,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocab_size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=MAX_TOKENS,
                bos_token_id=vocab_size - 2,
                eos_token_id=vocab_size - 1,
                pad_token_id=vocab_size - 1,
            )
        )
    return unet.eval(), vae.eval(), text_encoder.eval(), DDIMScheduler(**DDIM)


def tiny_controlnet(*, seed: int = 0, **changes: object):  # type: ignore[no-untyped-def]
    """A ControlNet for the U-Net of `tiny_components(in_channels=LATENT_CHANNELS)`.

    Its last layers are drawn too: they begin at zero, and would pass nothing on.
    """
    from diffusers import ControlNetModel

    shape: dict[str, object] = {
        "in_channels": LATENT_CHANNELS,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
        "conditioning_embedding_out_channels": (4, 8, 16),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controlnet = ControlNetModel(**{**shape, **changes})
        with torch.no_grad():
            for name, weight in controlnet.named_parameters():
                if not weight.any():
                    weight.normal_(std=3.0 if "cond_embedding" in name else 0.1)
    return controlnet.eval()


def build_tiny_pipeline(
    directory: Path | str, *, in_channels: int = 2 * LATENT_CHANNELS, seed: int = 0
) -> Path:
    """Write the tiny pipeline to `directory` (created) and return it as a Path."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    build_tiny_tokenizer(directory / "tokenizer")
    vocab_size = len(json.loads((directory / "tokenizer/vocab.json").read_text(encoding="utf-8")))
    unet, vae, text_encoder, scheduler = tiny_components(
        in_channels=in_channels, vocab_size=vocab_size, seed=seed
    )
    unet.save_pretrained(directory / "unet")
    vae.save_pretrained(directory / "vae")
    text_encoder.save_pretrained(directory / "text_encoder")
    scheduler.save_pretrained(directory / "scheduler")
    pipeline = "StableDiffusionInstructPix2PixPipeline"
    if in_channels == LATENT_CHANNELS:
        pipeline = "StableDiffusionPipeline"
    index = {
        "_class_name": pipeline,
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (directory / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    return directory


def tiny_text_to_image(directory: Path, prediction: str = "v_prediction"):  # type: ignore[no-untyped-def]
    """A tiny model that draws, loaded with its ControlNet; its noise schedule asks `prediction`."""
    from diffusers import DDIMScheduler

    from overpaint.models import load_text_to_image

    build_tiny_pipeline(directory, in_channels=LATENT_CHANNELS)
    DDIMScheduler(**{**DDIM, "prediction_type": prediction}).save_pretrained(
        directory / "scheduler"
    )
    tiny_controlnet().save_pretrained(directory / "controlnet")
    return load_text_to_image(directory, directory, device="cpu")
