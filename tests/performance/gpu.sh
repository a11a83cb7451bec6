#!/usr/bin/env bash
# Everything that needs a GPU, measured in under ten minutes: a short table last, the full one in
# $OUT (or results/gpu/). Needs the checkout, a Python 3.11 or 3.12 with torch, and, where the other
# packages are missing, their wheels in .wheels/ (or $WHEELS), made elsewhere with
#   python -m pip download --no-deps --only-binary=:all: --python-version 3.12 -d .wheels \
#     diffusers transformers tokenizers safetensors huggingface-hub hf-xet accelerate peft pydantic \
#     pydantic-core annotated-types typing-inspection regex httpx httpcore h11 anyio sniffio certifi idna
# Try the script without a GPU: tests/performance/gpu.sh --device cpu --tiny
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=${WHEELS:-.wheels}
if ! "$python" -c 'import diffusers, pydantic, transformers' 2>/dev/null && [ -d "$wheels" ]; then
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --target "$place" "$wheels"/*.whl
    export PYTHONPATH="$place${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
"$python" tests/performance/gpu.py --out "${OUT:-results/gpu}" "$@"
