#!/usr/bin/env bash
# A virtual environment whose llama.cpp is built with RPC, for the tests marked `rpc`: scripts/rpc_venv.sh PATH [EXTRAS].
# pip's cache of wheels knows no CMAKE_ARGS, so this build has a cache of its own; the first call compiles for minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
extras=${2:-tiny,bench,serve,dev}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/speccas-rpc-pip
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} PIP_DISABLE_PIP_VERSION_CHECK=1
asked=$(python3 -c 'import tomllib; print(next(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("llama-cpp-python")))')

python3 -m venv "$venv"
CMAKE_ARGS=-DGGML_RPC=on "$venv/bin/pip" install -q --cache-dir "$cache" --no-binary llama-cpp-python "$asked"
"$venv/bin/pip" install -q -e ".[$extras]"
"$venv/bin/python" -c 'import llama_cpp, sys; sys.exit(0 if llama_cpp.llama_supports_rpc() else "this llama.cpp has no RPC")'
