#!/usr/bin/env bash
# Model checking: loom runs every interleaving, at small sizes, of the code that shards share: ring, clock line, doorbell.
# A model is a test in a module named `model`, compiled under cfg(loom) only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A directory of its own, as cfg(loom) changes every crate. Optimised, since models are many runs; not linked as the
# release is, which takes minutes.
export CARGO_TARGET_DIR="$PWD/target/loom" RUSTFLAGS="--cfg loom"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true

# The models of a crate, by its name; finding none means that this script looks in the wrong place.
models_of() { # models_of PACKAGE
    local output
    output=$(cargo test --quiet --locked --release --package "$1" --lib -- model:: 2>&1) || { echo "$output"; return 1; }
    echo "$output" | grep '^test result'
    ! grep -q '^test result: ok\. 0 passed' <<<"$output" || { echo "loom: no model in $1"; return 1; }
}

models_of pelton-core
