// Uses JSON texts and buffers of all sizes, and worker threads.
const { Worker, isMainThread, parentPort } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

function work(seed) {
  const digest = crypto.createHash('sha256');
  const rows = [];
  for (let i = 0; i < 40000; i++) rows.push({ id: i, name: `row ${i * seed}`, tags: ['a', 'b', String(i % 13)], at: i / 7 });
  const text = JSON.stringify(rows);
  const again = JSON.parse(text);
  again.sort((a, b) => (a.name < b.name ? -1 : 1));
  digest.update(JSON.stringify(again));
  const keep = [];
  for (let i = 0; i < 20000; i++) {
    const buffer = Buffer.allocUnsafe((i * 7919) % 20000 + 1).fill(i & 255);
    if (i % 10 === 0) keep.push(buffer);
    if (keep.length > 500) keep.shift();
    digest.update(buffer.subarray(0, 64));
  }
  digest.update(Buffer.concat(keep));
  const packed = zlib.gzipSync(text);
  digest.update(zlib.gunzipSync(packed));
  return digest.digest('hex');
}

if (isMainThread) {
  console.log(work(1));
  let left = 3;
  const found = [];
  for (let i = 2; i < 5; i++) {
    const worker = new Worker(__filename);
    worker.on('message', (digest) => {
      found.push(`${i} ${digest}`);
      worker.terminate();
      if (--left === 0) console.log(found.sort().join('\n'));
    });
    worker.postMessage(i);
  }
} else {
  parentPort.once('message', (seed) => parentPort.postMessage(work(seed)));
}
