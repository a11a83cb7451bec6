#!/usr/bin/env bash
# Everything that needs a GPU, measured in under ten minutes: a short table last, the full one in $OUT (or
# results/gpu/). Needs the checkout, a Python 3.11 or 3.12 with torch ($PYTHON), and, where other packages are
# missing there, their wheels in $WHEELS (or .wheels/), which are made where there is a network:
#   tests/performance/gpu.sh --fill-wheels 3.12        # the Python version of the machine with the GPU
# Try the script without a GPU: tests/performance/gpu.sh --device cpu --tiny
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
wheels=${WHEELS:-.wheels}
packages=(
    accelerate annotated-doc annotated-types anyio certifi charset-normalizer click diffusers filelock fsspec h11
    hf-xet httpcore2 httpx2 huggingface-hub idna importlib-metadata lazy-importer markdown-it-py mdurl numpy
    packaging peft pillow psutil pydantic pydantic-core pygments pyyaml regex requests rich safetensors
    shellingham tokenizers tqdm transformers truststore typer typing-inspection urllib3 zipp
)
if [ "${1:-}" = --fill-wheels ]; then
    exec "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$2" \
        --constraint constraints.txt --dest "$wheels" "${packages[@]}"
fi
if ! "$python" -c 'import accelerate, diffusers, numpy, peft, PIL, pydantic, transformers' 2>/dev/null; then
    [ -d "$wheels" ] || { echo "packages are missing, and there is no folder $wheels: see the head of $0" >&2; exit 2; }
    place=$(mktemp -d)
    trap 'rm -rf "$place"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --target "$place" "$wheels"/*.whl
    export PYTHONPATH="$place${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
"$python" tests/performance/gpu.py --out "${OUT:-results/gpu}" "$@"
