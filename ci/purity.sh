#!/usr/bin/env bash
# The core has no clock, thread, file, socket or randomly seeded map, by construction (docs/adr/0002-the-pure-core.md):
#
# 1. it compiles, with all that is linked into it, against a sysroot that holds `core` and `alloc` and no `std`;
# 2. it declares no foreign function and holds no assembler, and it names neither an instruction nor a type on engine/core/clippy.toml;
# 3. the check is alive: each rule, broken on purpose in a copy of the tree, makes it fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A directory of its own, kept between runs: these builds must not disturb the ordinary ones.
export CARGO_TARGET_DIR="$PWD/target/purity"

make_sysroot() {
    local from to library
    from="$(rustc --print sysroot)/lib/rustlib/$host/lib"
    to="$work/sysroot/lib/rustlib/$host/lib"
    mkdir -p "$to"
    for library in core alloc compiler_builtins; do
        ln -s "$from"/lib"$library"-*.rlib "$from"/lib"$library"-*.rmeta "$to/" 2>/dev/null || true
    done
    [ -n "$(ls "$to"/libcore-*)" ]
}

# With --target, build scripts and procedural macros still get the full sysroot, as they run on this machine at build time.
builds_without_std() { # builds_without_std TREE
    RUSTFLAGS="--sysroot=$work/sysroot" cargo check --quiet --locked --manifest-path "$1/Cargo.toml" \
        --package pelton-core --lib --target "$host"
}

passes_clippy() { # passes_clippy TREE
    cargo clippy --quiet --locked --manifest-path "$1/Cargo.toml" --package pelton-core --lib -- -D warnings
}

declares_nothing_foreign() { # declares_nothing_foreign TREE
    python3 -B ci/foreign.py "$1/engine/core/src"
}

copy_tree() { # copy_tree TARGET
    mkdir "$1"
    tar --exclude=./target --exclude=./.git -cf - . | tar -xf - -C "$1"
}

# spoilt CHECK EXPECTED CODE: the check must fail on the core with that code added, and for the reason expected.
spoilt() {
    local check=$1 expected=$2 code=$3 output
    copy_tree "$work/spoilt"
    printf '//! A canary.\n/// Must not pass.\n%s\n' "$code" >"$work/spoilt/engine/core/src/canary.rs"
    sed -i '0,/^mod \|^pub mod /s//pub mod canary;\n&/' "$work/spoilt/engine/core/src/lib.rs"
    grep -q '^pub mod canary;' "$work/spoilt/engine/core/src/lib.rs"
    if output=$("$check" "$work/spoilt" 2>&1); then
        echo "purity: the check itself is broken: $check accepted: $code"
        return 1
    elif ! grep -q "$expected" <<<"$output"; then
        printf 'purity: %s failed on a canary for another reason than "%s":\n%s\n' "$check" "$expected" "$output"
        return 1
    fi
    rm -rf "$work/spoilt"
}

make_sysroot
builds_without_std .
passes_clippy .
declares_nothing_foreign .
echo "the core builds without std"

spoilt builds_without_std "can't find crate for .std." \
    'extern crate std; pub fn now() -> std::time::Instant { std::time::Instant::now() }'
spoilt builds_without_std "std" 'pub fn start() { std::thread::spawn(|| ()); }'
spoilt passes_clippy "reads a clock" \
    '#[cfg(target_arch = "x86_64")] pub fn now() -> u64 { /* SAFETY: reads a register. */ unsafe { core::arch::x86_64::_rdtsc() } }'
spoilt declares_nothing_foreign "foreign" 'unsafe extern "C" { fn time(out: *mut i64) -> i64; }'
spoilt declares_nothing_foreign "assembler" 'pub fn stop() { unsafe { core::arch::asm!("hlt") } }'
echo "five canaries were caught"
