#!/usr/bin/env bash
# Fuzzing of everything that reads bytes, guided by coverage: `ci/fuzz.sh [SECONDS_PER_TARGET [TARGET...]]`, 20 seconds
# each if nothing is said. Not a step of .ci/run: what it finds depends on how long it runs.
#
# Each target begins with tools/fuzz/corpus/TARGET and what earlier runs have found (target/fuzz/corpus/TARGET). An
# input that fails is kept in target/fuzz/found; run the target's binary with its path to see it fail again.
# `ci/fuzz.sh merge` renews the corpus in the tree: some 40 inputs for each target, of what earlier runs have found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The coverage passes of LLVM, which the pinned toolchain has: what `cargo fuzz` would ask a nightly one for.
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR="$PWD/target/fuzz"
export RUSTFLAGS="--cfg fuzzing -Clink-dead-code -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
cargo build --quiet --locked --release --target "$host" --manifest-path tools/fuzz/Cargo.toml --bins

found="$CARGO_TARGET_DIR/found"
mkdir -p "$found"
targets=()
for source in tools/fuzz/targets/*.rs; do
    targets+=("$(basename "$source" .rs)")
done

run() { # run TARGET ARGUMENT...
    local target=$1
    shift
    RUST_BACKTRACE=1 "$CARGO_TARGET_DIR/$host/release/$target" -artifact_prefix="$found/$target-" -timeout=20 -rss_limit_mb=4096 "$@"
}

if [ "${1:-}" = merge ]; then
    for target in "${targets[@]}"; do
        kept="tools/fuzz/corpus/$target"
        mkdir -p "$CARGO_TARGET_DIR/corpus/$target" "$kept"
        run "$target" -set_cover_merge=1 -max_len=512 "$kept" "$CARGO_TARGET_DIR/corpus/$target" >"$CARGO_TARGET_DIR/$target.log" 2>&1
        # A few dozen inputs of all sizes begin a run as well as hundreds do, beside those that a person wrote.
        find "$kept" -type f ! -name 'seed*' -printf '%s %p\n' | sort -n | cut -d ' ' -f 2- |
            awk '{ path[NR] = $0 } END { for (i = 1; i <= NR; i++) if (int(i * 40 / NR) == int((i - 1) * 40 / NR)) print path[i] }' |
            xargs -r rm --
        printf '%-10s %s inputs\n' "$target" "$(find "$kept" -type f | wc -l)"
    done
    exit 0
fi

seconds=${1:-20}
[ $# -le 1 ] || targets=("${@:2}")
failed=()
for target in "${targets[@]}"; do
    corpus="$CARGO_TARGET_DIR/corpus/$target"
    mkdir -p "$corpus" "tools/fuzz/corpus/$target"
    log="$CARGO_TARGET_DIR/$target.log"
    if run "$target" -max_total_time="$seconds" -max_len=4096 "$corpus" "tools/fuzz/corpus/$target" >"$log" 2>&1; then
        printf '%-10s %s\n' "$target" "$(grep -E '^Done ' "$log" || tail -n 1 "$log")"
    else
        failed+=("$target")
        printf '%-10s FAILED\n' "$target"
        grep -m 1 -A 2 'panicked at' "$log" || true
        grep -E 'SUMMARY|Test unit written' "$log" || tail -n 5 "$log"
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: failed: ${failed[*]}; see target/fuzz/TARGET.log"; exit 1; }
