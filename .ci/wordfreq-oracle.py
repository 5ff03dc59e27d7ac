#!/usr/bin/env python3
"""Counts the words under a path independently and compares the result with wordfreq's: wordfreq-oracle.py PATH JSON

It uses one thread, one dictionary, and no code of the Rust program. Exit codes: 0 the results agree, 1 they differ, 2 wrong
usage, 3 cannot judge: a text holds characters whose kind depends on the version of Unicode.

A word character is one that Unicode calls Alphabetic, or a number (Nd, Nl, No). str.isalnum differs: it leaves out
Other_Alphabetic, which holds the vowel signs of many scripts and the circled letters. unicodedata does not offer that
property, so the list below holds these characters, from Unicode 14.
"""
import collections
import json
import os
import stat
import sys
import unicodedata

OTHER_ALPHABETIC = """
345 5B0-5BD 5BF 5C1-5C2 5C4-5C5 5C7 610-61A 64B-657 659-65F 670 6D6-6DC 6E1-6E4 6E7-6E8 6ED 711 730-73F 7A6-7B0 816-817 81B-823
825-827 829-82C 8D4-8DF 8E3-8E9 8F0-903 93A-93B 93E-94C 94E-94F 955-957 962-963 981-983 9BE-9C4 9C7-9C8 9CB-9CC 9D7 9E2-9E3
A01-A03 A3E-A42 A47-A48 A4B-A4C A51 A70-A71 A75 A81-A83 ABE-AC5 AC7-AC9 ACB-ACC AE2-AE3 AFA-AFC B01-B03 B3E-B44 B47-B48 B4B-B4C
B56-B57 B62-B63 B82 BBE-BC2 BC6-BC8 BCA-BCC BD7 C00-C03 C3E-C44 C46-C48 C4A-C4C C55-C56 C62-C63 C81-C83 CBE-CC4 CC6-CC8 CCA-CCC
CD5-CD6 CE2-CE3 D00-D03 D3E-D44 D46-D48 D4A-D4C D57 D62-D63 D81-D83 DCF-DD4 DD6 DD8-DDF DF2-DF3 E31 E34-E3A E4D EB1 EB4-EB9 EBB-
EBC ECD F71-F81 F8D-F97 F99-FBC 102B-1036 1038 103B-103E 1056-1059 105E-1060 1062-1064 1067-106D 1071-1074 1082-108D 108F
109A-109D 1712-1713 1732-1733 1752-1753 1772-1773 17B6-17C8 1885-1886 18A9 1920-192B 1930-1938 1A17-1A1B 1A55-1A5E 1A61-1A74
1ABF-1AC0 1ACC-1ACE 1B00-1B04 1B35-1B43 1B80-1B82 1BA1-1BA9 1BAC-1BAD 1BE7-1BF1 1C24-1C36 1DE7-1DF4 24B6-24E9 2DE0-2DFF A674-A67B
A69E-A69F A802 A80B A823-A827 A880-A881 A8B4-A8C3 A8C5 A8FF A926-A92A A947-A952 A980-A983 A9B4-A9BF A9E5 AA29-AA36 AA43 AA4C-AA4D
AA7B-AA7D AAB0 AAB2-AAB4 AAB7-AAB8 AABE AAEB-AAEF AAF5 ABE3-ABEA FB1E 10376-1037A 10A01-10A03 10A05-10A06 10A0C-10A0F 10D24-10D27
10EAB-10EAC 11000-11002 11038-11045 11073-11074 11082 110B0-110B8 110C2 11100-11102 11127-11132 11145-11146 11180-11182
111B3-111BF 111CE-111CF 1122C-11234 11237 1123E 112DF-112E8 11300-11303 1133E-11344 11347-11348 1134B-1134C 11357 11362-11363
11435-11441 11443-11445 114B0-114C1 115AF-115B5 115B8-115BE 115DC-115DD 11630-1163E 11640 116AB-116B5 1171D-1172A 1182C-11838
11930-11935 11937-11938 1193B-1193C 11940 11942 119D1-119D7 119DA-119DF 119E4 11A01-11A0A 11A35-11A39 11A3B-11A3E 11A51-11A5B
11A8A-11A97 11C2F-11C36 11C38-11C3E 11C92-11CA7 11CA9-11CB6 11D31-11D36 11D3A 11D3C-11D3D 11D3F-11D41 11D43 11D47 11D8A-11D8E
11D90-11D91 11D93-11D96 11EF3-11EF6 16F4F 16F51-16F87 16F8F-16F92 16FF0-16FF1 1BC9E 1E000-1E006 1E008-1E018 1E01B-1E021
1E023-1E024 1E026-1E02A 1E947 1F130-1F149 1F150-1F169 1F170-1F189
"""

# Alphabetic only in a Unicode after 14: which it is depends on the Rust that compiled wordfreq.
LATER_ALPHABETIC = "363-36F C04 F82-F83 1DD3-1DE6 11080-11081"


def code_points(text):
    for item in text.split():
        first, _, last = item.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


OTHER = frozenset(map(chr, code_points(OTHER_ALPHABETIC)))
LATER = frozenset(map(chr, code_points(LATER_ALPHABETIC)))


def is_word(c):
    """True, False, or None for a character that is either, by the version of Unicode."""
    category = unicodedata.category(c)
    if category[0] in "LN" or c in OTHER:
        return True
    if c in LATER or category == "Cn" and not (0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE):
        return None
    return False


class Kinds(dict):
    """is_word, asked once a character."""

    def __missing__(self, c):
        self[c] = is_word(c)
        return self[c]


KINDS = Kinds()
LOWER = {}


def lower(c):
    """Lower case of the character by itself: no final sigma."""
    if c not in LOWER:
        LOWER[c] = c.lower()
    return LOWER[c]


def words(text):
    start = None
    for at, c in enumerate(text):
        if KINDS[c]:
            if start is None:
                start = at
        elif start is not None:
            yield text[start:at]
            start = None
    if start is not None:
        yield text[start:]


def regular_files(path):
    """What lies at or below the path, links not followed below it."""
    if not os.path.isdir(path):
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(file).st_mode):
                yield file


def count(path, own_json):
    counts = collections.Counter()
    unknown = []
    for file in regular_files(path):
        if os.path.samefile(file, own_json):
            continue
        try:
            with open(file, "rb") as opened:
                text = opened.read().decode("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        # The same run is the same word: lower-case each distinct one once.
        for word, times in collections.Counter(words(text)).items():
            counts["".join(map(lower, word))] += times
        odd = sorted(c for c in set(text) if KINDS[c] is None)
        if odd:
            unknown.append("%s: %s" % (file, " ".join("U+%04X" % ord(c) for c in odd[:5])))
    return counts, unknown


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    path, own_json = sys.argv[1:]
    with open(own_json, encoding="utf-8") as opened:
        got = json.load(opened)
    counts, unknown = count(path, own_json)
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    want = {"words": sum(counts.values()), "distinct": len(counts), "top": [list(item) for item in top]}
    if got == want:
        print("wordfreq agrees: %(words)d words, %(distinct)d distinct" % want)
        return 0
    for key in want:
        if got.get(key) != want[key]:
            print("%s: wordfreq says %r, this count %r" % (key, got.get(key), want[key]), file=sys.stderr)
    if unknown:
        print("and it may be the Unicode version; this one, %s, cannot judge:" % unicodedata.unidata_version, *unknown[:10], sep="\n  ", file=sys.stderr)
        return 3
    return 1


if __name__ == "__main__":
    sys.exit(main())
