"""An independent count for .ci/wordfreq.sh: words of all UTF-8 files below a folder, compared with wordfreq's JSON.

Python's str.isalnum and Rust's char::is_alphanumeric differ for combining vowel signs and a few symbols, which the folders counted in
CI do not hold: the script says so and fails if one does.
"""
import collections, json, os, re, sys, unicodedata

counts = collections.Counter()
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        with open(os.path.join(folder, name), "rb") as file:
            try:
                text = file.read().decode("utf-8")
            except UnicodeDecodeError:
                continue
        odd = [c for c in text if unicodedata.category(c) in ("Mn", "Mc", "So") and not c.isalnum()]
        assert not any(unicodedata.category(c) in ("Mn", "Mc") for c in odd), f"{name}: a combining sign"
        word = []
        for c in text + " ":
            if c.isalnum():
                word.append(c)
            elif word:
                counts["".join(word).lower()] += 1
                word.clear()
top = sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:20]
want = {"words": sum(counts.values()), "distinct": len(counts), "top": [list(row) for row in top]}
got = json.load(open(sys.argv[2]))
assert got == want, f"wordfreq says {got}, this count {want}"
print(f"wordfreq agrees: {want['words']} words, {want['distinct']} distinct")
