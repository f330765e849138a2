#!/usr/bin/env bash
# The simulator: jobs through crashes, power losses and failing disks, each run drawn from one seed; within three minutes.
#
#   canaries   mistakes that are built in on purpose are found within CANARY_SEEDS seeds; otherwise nothing else here means anything
#   found      seeds that once found something (ci/seeds)
#   fixed      the same seeds every time: with the same code, the same trace, which is printed
#   fresh      others for every commit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CANARY_SEEDS=200
FIXED_SEEDS=2000
FRESH_SEEDS=2000

cargo build --profile unlinked --locked --package pelton-sim
sim=target/unlinked/pelton-sim

for mistake in unflushed skipped unnamed reread absent untaken unsynced early placed; do
    echo "canary: $mistake, within $CANARY_SEEDS seeds"
    if ! said=$("$sim" --canary "$mistake" --seeds "$CANARY_SEEDS"); then
        printf '%s\nthe simulator does not find a mistake that was built in: %s\n' "$said" "$mistake"
        exit 1
    fi
    grep -m 1 FAILED <<<"$said"
done

echo "seeds that found something"
cat ci/seeds/*.txt | while read -r seed _; do
    case $seed in '' | '#'*) continue ;; esac
    "$sim" --seeds 1 --from "$seed" --jobs 1
done

echo "fixed seeds, twice"
first=$("$sim" --seeds "$FIXED_SEEDS" --minutes 1)
echo "$first"
second=$("$sim" --seeds 200 --jobs 1)
third=$("$sim" --seeds 200 --jobs 2)
if [[ ${second##*trace} != "${third##*trace}" ]]; then
    printf 'the same seeds gave two traces:\n%s\n%s\n' "$second" "$third"
    exit 1
fi

# Numbers that no fixed seed has, others for each commit or, outside of a repository, for each day.
commit=$(git rev-parse --short=7 HEAD 2>/dev/null || date +%y%m%d)
from=$((16#$commit * 100000 + 1000000))
echo "fresh seeds, from $from"
"$sim" --seeds "$FRESH_SEEDS" --from "$from" --minutes 1
