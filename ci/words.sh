#!/usr/bin/env bash
# One word for each thing: what ci/retired-words.txt lists stands in no file and no file's name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What is found, with the word to say instead; nothing if nothing is.
found() { # found DIRECTORY
    local word instead
    while IFS=$'\t' read -r word instead; do
        case $word in '' | '#'*) continue ;; esac
        {
            (cd "$1" && grep -rnIP --exclude-dir=target --exclude-dir=.git --exclude=Cargo.lock --exclude=retired-words.txt \
                --exclude=words.sh -e "$word" . || true)
            (cd "$1" && find . -not -path '*/target/*' -not -path './.git/*' -type f | grep -P -e "$word" || true)
        } | sed "s|\$|   -> say: $instead|"
    done <ci/retired-words.txt
}

# The check is alive: a retired word in a text and one in a file's name are both found.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo 'The lanes of a job.' >"$work/keeper.md"
if [[ $(found "$work" | wc -l) -ne 2 ]]; then
    echo 'words: the check does not find what it looks for' >&2
    exit 1
fi

said=$(found .)
if [[ -n $said ]]; then
    printf '%s\n' "$said" >&2
    printf 'words: retired words, listed in ci/retired-words.txt\n' >&2
    exit 1
fi
