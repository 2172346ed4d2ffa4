#!/usr/bin/env bash
# nano's third edition from nothing, on one processor core, over as many days as it takes:
#
#     recipes/nano-v3.sh                      # to runs/nano-v3
#     recipes/nano-v3.sh OUT PAIRS RECIPES
#
# Killed at any moment and started again, it goes on where it was; what is finished is skipped.
# It yields to everything else on the machine. docs/nano-log.md tells what was tried.
set -euo pipefail
out="${1:-runs/nano-v3}" pairs="${2:-100000}" recipes="${3:-$(dirname "$0")/nano-v3}"
export PYTHONPATH="$(dirname "$0")/../tools${PYTHONPATH:+:$PYTHONPATH}"  # the trainers of nano's other parts
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

make_once() { # make_once WHAT COMMAND ...: the command, unless what it makes is there
    local made="$1"
    shift
    if [ ! -e "$made" ]; then
        echo "$(date '+%F %T') $made" >&2
        nice -n 19 "$@"
    fi
}
nano=(python -m nano)

make_once "$out/autoencoder/model" \
    "${nano[@]}" autoencoder "$recipes/nano-autoencoder.yaml" -o "$out/autoencoder"
make_once "$out/clip/model" "${nano[@]}" clip "$recipes/nano-clip.yaml" -o "$out/clip"
make_once "$out/clip-drawn/model" "${nano[@]}" clip "$recipes/nano-clip-drawn.yaml" \
    -o "$out/clip-drawn" --start-from "$out/clip" --autoencoder "$out/autoencoder"
make_once "$out/base" "${nano[@]}" assemble "$out/autoencoder" "$out/clip-drawn" -o "$out/base"
make_once "$out/parent" "${nano[@]}" text-to-image "$recipes/nano-text-to-image.yaml" \
    "$out/base" --cache "$out/cache" -o "$out/parent"
make_once "$out/pairs.done" overpaint scenes -n "$pairs" --seed 11 --world small \
    --world-version 2 --size 128 -o "$out/pairs"
touch "$out/pairs.done" # the command's folder is there from its first shard on
make_once "$out/editor" overpaint train --pairs "$out/pairs" --model "$out/parent" \
    --recipe "$recipes/nano-editor.yaml" --cache "$out/cache" -o "$out/editor"
make_once "$out/controlnet" "${nano[@]}" controlnet "$recipes/nano-controlnet.yaml" \
    "$out/parent" --cache "$out/cache" -o "$out/controlnet"
make_once "$out/nano" "${nano[@]}" ship \
    "$out/editor" "$out/base" "$out/parent" "$out/controlnet" -o "$out/nano"
