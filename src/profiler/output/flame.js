(function () {
  'use strict';
  var svg = document.documentElement, frames = Array.prototype.slice.call(svg.querySelectorAll('.f'));
  var WIDTH = +svg.getAttribute('data-width'), GLYPH = 6.6, focus = { x: 0, w: 1, d: 0 }, found = null;
  var info = svg.getElementById('info'), matched = svg.getElementById('matched'), reset = svg.getElementById('reset');
  frames.forEach(function (f) {
    f.at = { x: +f.getAttribute('data-x'), w: +f.getAttribute('data-w'), d: +f.getAttribute('data-d') };
    f.box = f.querySelector('rect');
    f.label = f.querySelector('text');
    f.name = f.getAttribute('data-n');
    f.addEventListener('click', function () { zoom(f.at); });
    f.addEventListener('mouseover', function () { info.textContent = f.querySelector('title').textContent; });
    f.addEventListener('mouseout', function () { info.textContent = ''; });
  });
  function fit(name, width) {
    var room = Math.floor((width - 6) / GLYPH);
    return room < 3 ? '' : name.length <= room ? name : name.slice(0, room - 2) + '..';
  }
  function zoom(to) {
    focus = to;
    frames.forEach(function (f) {
      var a = f.at, above = a.d < to.d && a.x <= to.x + 1e-9 && a.x + a.w >= to.x + to.w - 1e-9;
      var inside = a.d >= to.d && a.x >= to.x - 1e-9 && a.x + a.w <= to.x + to.w + 1e-9;
      f.style.display = above || inside ? '' : 'none';
      f.style.opacity = above ? 0.5 : 1;
      var x = above ? 0 : (a.x - to.x) / to.w * WIDTH, w = above ? WIDTH : a.w / to.w * WIDTH;
      f.box.setAttribute('x', x + 10);
      f.box.setAttribute('width', Math.max(w - 0.5, 0.1));
      f.label.setAttribute('x', x + 13);
      f.label.textContent = fit(f.name, w);
    });
    reset.style.display = to.d > 0 ? '' : 'none';
  }
  function search(pattern) {
    var sum = 0, end = -1;
    try { found = pattern ? new RegExp(pattern) : null; } catch (e) { matched.textContent = 'no such pattern: ' + e.message; return; }
    frames.forEach(function (f) { f.box.classList.toggle('hit', !!found && found.test(f.name)); });
    frames.filter(function (f) { return found && found.test(f.name); }).sort(function (a, b) {
      return a.at.x - b.at.x || b.at.w - a.at.w;
    }).forEach(function (f) {
      if (f.at.x >= end - 1e-9) { sum += f.at.w; end = f.at.x + f.at.w; }
    });
    matched.textContent = found ? 'matched: ' + (sum * 100).toFixed(1) + ' %' : '';
  }
  reset.addEventListener('click', function () { zoom({ x: 0, w: 1, d: 0 }); });
  function ask() {
    if (found) { search(''); return; }
    var pattern = window.prompt('Regular expression to look for:', '');
    if (pattern !== null) { search(pattern); }
  }
  svg.getElementById('search').addEventListener('click', ask);
  window.addEventListener('keydown', function (e) {
    if ((e.ctrlKey || e.metaKey) && e.key === 'f') { e.preventDefault(); ask(); }
    if (e.key === 'Escape') { search(''); zoom({ x: 0, w: 1, d: 0 }); }
  });
  svg.greyspan = { search: search, zoom: zoom };
})();
