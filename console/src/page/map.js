const map = { start() {}, draw() {}, async load() {} };
const events = { async load() {} };
