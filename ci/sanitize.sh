#!/usr/bin/env bash
# The core's unit tests under AddressSanitizer: no read or write outside of a block that the unsafe code was given, none
# after it was freed, and nothing leaked. Skipped where the toolchain has no sanitizer runtime.
#
# What has no unsafe code of its own and takes long is left out, for it takes ten times as long here: operators, ordered state, the conversion
# of rows. `ci/sanitize.sh all` runs these as well, and whole jobs: the tests of the promises and of faults, on both drivers. That takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
if ! ls "$(rustc --print sysroot)/lib/rustlib/$host/lib/"librustc*rt.asan.a >/dev/null 2>&1; then
    echo "skipped: this toolchain has no AddressSanitizer runtime for $host"
    exit 0
fi
# The flag is not stable yet; the pinned toolchain knows it all the same. A directory of its own: it changes every crate.
export CARGO_TARGET_DIR="$PWD/target/sanitize" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
left_out=(--skip operator::recovery --skip state::ordered --skip record::convert)
[ "${1:-}" != all ] || left_out=()
cargo test --quiet --locked --package pelton-core --lib --target "$host" -- ${left_out[@]+"${left_out[@]}"}

if [ "${1:-}" = all ]; then
    # glommio 0.9 keeps the queue of a task that was cancelled when its executor ended: some 250 bytes for each core of a run.
    suppressions=$(mktemp)
    trap 'rm -f "$suppressions"' EXIT
    printf 'leak:glommio::executor\nleak:glommio::task\n' >"$suppressions"
    LSAN_OPTIONS="suppressions=$suppressions:print_suppressions=0" \
        cargo test --quiet --locked --package pelton --test promises --test faults --target "$host"
fi
