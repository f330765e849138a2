#!/usr/bin/env bash
# The core's unit tests under AddressSanitizer: no read or write outside of a block that the unsafe code was given, none
# after it was freed, and nothing leaked. Skipped where the toolchain has no sanitizer runtime.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
if ! ls "$(rustc --print sysroot)/lib/rustlib/$host/lib/"librustc*rt.asan.a >/dev/null 2>&1; then
    echo "skipped: this toolchain has no AddressSanitizer runtime for $host"
    exit 0
fi
# The flag is not stable yet; the pinned toolchain knows it all the same. A directory of its own: it changes every crate.
export CARGO_TARGET_DIR="$PWD/target/sanitize" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
cargo test --quiet --locked --package pelton-core --lib --target "$host"
