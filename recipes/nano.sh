#!/usr/bin/env bash
# The whole of nano from nothing, on two processor cores (about two hours) or on a GPU:
#
#     recipes/nano.sh                                  # small world, as shipped
#     PROCESSES=1 recipes/nano.sh recipes/nano-gpu full 300000 runs/nano-gpu
#
# Killed and started again, it goes on where it was. PROCESSES share each batch evenly.
set -euo pipefail
recipes="${1:-recipes}" world="${2:-small}" pairs="${3:-60000}" out="${4:-runs/nano}"
processes="${PROCESSES:-2}"
export PYTHONPATH="$(dirname "$0")/../tools${PYTHONPATH:+:$PYTHONPATH}"  # the trainers of nano's other parts
launch() {
    if [ "$processes" -gt 1 ] && ! command -v nvidia-smi >/dev/null; then
        # a thread a process: they wait once a step
        ACCELERATE_USE_CPU=1 OMP_NUM_THREADS=1 torchrun --nproc_per_node "$processes" -m "$@"
    else
        torchrun --nproc_per_node "$processes" -m "$@"
    fi
}

launch nano autoencoder "$recipes/nano-autoencoder.yaml" -o "$out/autoencoder"
python -m nano clip "$recipes/nano-clip.yaml" -o "$out/clip"
python -m nano clip "$recipes/nano-clip-drawn.yaml" -o "$out/clip-drawn" \
    --start-from "$out/clip" --autoencoder "$out/autoencoder"
python -m nano assemble "$out/autoencoder" "$out/clip-drawn" -o "$out/base"
launch nano text-to-image "$recipes/nano-text-to-image.yaml" "$out/base" \
    --cache "$out/cache" -o "$out/parent"
launch nano controlnet "$recipes/nano-controlnet.yaml" "$out/parent" \
    --cache "$out/cache" -o "$out/controlnet"
overpaint scenes -n "$pairs" --seed 11 --world "$world" -o "$out/pairs"
launch overpaint train --pairs "$out/pairs" --model "$out/parent" \
    --recipe "$recipes/nano-editor.yaml" --cache "$out/cache" -o "$out/editor"
python -m nano ship "$out/editor" "$out/base" "$out/parent" "$out/controlnet" -o "$out/nano"
python benchmarks/edit_accuracy.py --model "$out/nano" --world "$world" --scenes 600 --seed 1234
