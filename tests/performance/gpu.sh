#!/usr/bin/env bash
# Everything that needs a GPU, measured in under ten minutes: a short table last, the full one in $OUT (or
# results/gpu/). Needs the checkout, a Python 3.11 or 3.12 with torch ($PYTHON), and, where other packages are
# missing there, their wheels in $WHEELS (or .wheels/), which are made where there is a network:
#   tests/performance/gpu.sh --fill-wheels 3.12          # the Python version of the machine with the GPU
#   tests/performance/gpu.sh --fill-wheels 3.12 peft     # and more that it lacks, without what those need
# Try the script without a GPU: tests/performance/gpu.sh --device cpu --tiny
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=${WHEELS:-.wheels}
# What a machine with torch, transformers, peft and accelerate lacks, 11 MiB; the rest is the machine's own.
packages=(
    annotated-types diffusers ftfy importlib-metadata lazy-importer open-clip-torch pydantic pydantic-core
    typing-inspection wcwidth
)
needed='import accelerate, diffusers, ftfy, numpy, open_clip, peft, PIL, pyarrow, pydantic, rich, transformers, typer'
if [ "${1:-}" = --fill-wheels ]; then
    rm -f "$wheels"/*.whl  # two versions of a package stop the whole installation
    exec "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$2" \
        --constraint constraints.txt --dest "$wheels" "${packages[@]}" "${@:3}"
fi
if ! "$python" -c "$needed" 2>/dev/null; then
    [ -d "$wheels" ] || { echo "packages are missing, and there is no folder $wheels: see the head of $0" >&2; exit 2; }
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$place" \
        "$wheels"/*.whl
    export PYTHONPATH="$place${PYTHONPATH:+:$PYTHONPATH}"
    "$python" -c "$needed"  # what is missing still is said now
fi
export PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
"$python" tests/performance/gpu.py --out "${OUT:-results/gpu}" "$@"
