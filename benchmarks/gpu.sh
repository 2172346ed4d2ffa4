#!/usr/bin/env bash
# Every figure that needs a GPU, and every stage once at the size of Stable Diffusion 1.5 with random
# weights. No network and no downloaded weights.
#
#   benchmarks/gpu.sh OUT [--smoke] [--device cuda] [--limit 540] [PART ...]
#
# Parts are done in order, each in a process of its own; one that fails does not stop the others. No
# part is begun that could not end within --limit seconds of this call, so that the whole fits into
# a machine that is lent for nine minutes at a time: the same command goes on where it stopped.
# OUT/results.json and OUT/page.html hold what is known so far. --smoke takes networks so small that
# a CPU does all of it in some minutes.
set -u
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$here/../src:$here${PYTHONPATH:+:$PYTHONPATH}"
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

case ${1:-} in
    "" | -*) echo "usage: gpu.sh OUT [--smoke] [--device cuda] [--limit 540] [PART ...]" >&2; exit 2 ;;
esac
out=$1
shift
size=full device=cuda limit=540 parts=()
while [ $# -gt 0 ]; do
    case $1 in
        --smoke) size=smoke device=cpu ;;
        --device) device=$2; shift ;;
        --limit) limit=$2; shift ;;
        -*) echo "unknown option $1" >&2; exit 2 ;;
        *) parts+=("$1") ;;
    esac
    shift
done
[ ${#parts[@]} -gt 0 ] || read -ra parts <<<"$(python "$here/gpu_parts.py" --list)"

mkdir -p "$out/parts"
began=$SECONDS failed=0
for part in "${parts[@]}"; do
    [ -f "$out/parts/$part.json" ] && continue
    left=$((limit - (SECONDS - began)))
    if [ "$left" -lt "$(python "$here/gpu_parts.py" --least "$part" --size "$size")" ]; then
        echo "gpu: $left s are left, so $part waits for the next call" >&2
        break
    fi
    echo "gpu: $part" >&2
    timeout --kill-after=10 "$left" python "$here/gpu_parts.py" "$part" \
        --out "$out" --size "$size" --device "$device" 2>"$out/parts/$part.log"
    code=$?
    if [ "$code" -ne 0 ]; then
        failed=1
        tail -n 3 "$out/parts/$part.log" >&2
        python "$here/gpu_parts.py" "$part" --out "$out" --size "$size" --failed "$code"
    fi
done
python "$here/gpu_page.py" "$out"
exit "$failed"
