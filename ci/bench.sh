#!/usr/bin/env bash
# Every workload of the harness, small: the results are exact with any number of shards and on either driver, and the
# benchmarks do not rot. Speed is not judged here: a shared machine has no opinion on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --profile unlinked --locked --package pelton-tools --bin pelton

small() { # small OPTION...
    local lines
    lines=$(target/unlinked/pelton bench --events 200000 --rate 20000 --warmup 0.2 --duration 0.5 --json "$@")
    python3 -c '
import json, sys
for line in sys.stdin:
    run = json.loads(line)
    print("{workload:14} {events:>8} events {result_rows:>8} rows  {checksum}".format(**run))
' <<<"$lines"
}

drivers=(threads)
if python3 -B ci/io_uring.py >/dev/null; then
    drivers+=(glommio)
else
    echo "without the glommio driver: io_uring is $(python3 -B ci/io_uring.py || true)"
fi
for driver in "${drivers[@]}"; do
    for shards in 1 3; do
        echo "driver $driver, $shards shards"
        PELTON_DRIVER=$driver small --shards "$shards"
    done
done

# The first command of README.md, in a container that refuses io_uring: it runs, and says in one line on what.
said=$(python3 -B ci/without_io_uring.py target/unlinked/pelton bench tumble_count --events 200000 --json 2>&1 >/dev/null)
if [[ $said != "note: the job runs on plain threads, since io_uring cannot be used here: "* || $said == *$'\n'* ]]; then
    echo "where io_uring is refused the command said: $said" >&2
    exit 1
fi
echo "where io_uring is refused: plain threads"
