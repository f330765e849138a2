#!/usr/bin/env bash
# Says what this machine lacks to build and check the tree. What is only nice to have is reported, not required.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

missing=0
need() { # need COMMAND ADVICE
    if command -v "$1" >/dev/null; then
        printf '%-10s %s\n' "$1" "$(command -v "$1")"
    else
        printf '%-10s MISSING: %s\n' "$1" "$2"
        missing=1
    fi
}

need rustc "install rustup from https://rustup.rs; rust-toolchain.toml then picks the toolchain"
need cargo "comes with rustup"
need cc "a C compiler and linker, for build scripts and linking: apt-get install gcc libc6-dev"
need python3 "version 3.11 or later, for the checks in ci/: apt-get install python3"
[ "$missing" = 0 ] || exit 1

python3 -c 'import tomllib' 2>/dev/null || { echo "python3 is older than 3.11: it has no tomllib"; missing=1; }

wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
found=$(rustc --version | cut -d' ' -f2)
if [ "$found" = "$wanted" ]; then
    echo "toolchain  $found, as pinned"
else
    echo "toolchain  $found, but rust-toolchain.toml pins $wanted: rustup toolchain install $wanted"
    missing=1
fi
for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || { echo "cargo $tool MISSING: rustup component add ${tool/#fmt/rustfmt}"; missing=1; }
done

echo "machine    $(nproc) cores, $(awk '/MemTotal/ { printf "%d", $2 / 1048576 }' /proc/meminfo) GiB, Linux $(uname -r)"
echo "memlock    $(ulimit -l) KiB (glommio needs 512 per core)"
echo "io_uring   $(python3 -B ci/io_uring.py || true)"
exit "$missing"
