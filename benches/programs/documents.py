# Works on documents, maps and strings: documents.py TEXT TIMES
import json, re, sys

text = open(sys.argv[1]).read()
words = {}
for word in re.findall(r"\w+", text):
    words.setdefault(word, []).append(len(words))
rows = [{"word": word, "places": places[:50], "about": {"count": len(places), "upper": word.upper()}} for word, places in words.items()]
for _ in range(int(sys.argv[2])):
    rows = json.loads(json.dumps(rows, indent=1))
print(len(rows), sum(len(line.split()) for line in text.splitlines()))
