// Works on words, maps, JSON texts and buffers: documents.js TEXT
const text = require('fs').readFileSync(process.argv[2], 'utf8');
const places = new Map();
text.split('\n').forEach((line, number) => {
  for (const word of line.match(/\w+/g) || []) {
    if (!places.has(word)) places.set(word, []);
    places.get(word).push(number);
  }
});
const rows = [...places].map(([word, lines]) => ({ word, lines: lines.slice(0, 50), upper: word.toUpperCase() }));
const again = JSON.parse(JSON.stringify(rows)).sort((a, b) => b.lines.length - a.lines.length || (a.word < b.word ? -1 : 1));
const buffers = again.map((row) => Buffer.alloc(row.lines.length * 100 + 9000, row.word));
console.log(again.length, Buffer.concat(buffers.slice(0, 100)).length);
