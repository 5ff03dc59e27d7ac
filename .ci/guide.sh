#!/usr/bin/env bash
# The guide builds as a book into target/guide, and no relative link or anchor of the documents is broken; its examples are tests of the
# crate's documentation (the job test). Seconds, and three minutes where mdBook must be built.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need python3 python3
python3 .ci/links.py
command -v mdbook > /dev/null || cargo install --quiet mdbook --locked --no-default-features --features search
mdbook build docs/guide
target=target/guide
for page in docs/guide/*.md; do
    name=$(basename "$page" .md)
    [[ $name = SUMMARY || -f $target/$name.html ]] || { echo "the book has no $name.html" >&2; exit 1; }
done
