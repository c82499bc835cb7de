// The timeline (bytes out by host, stacked, zoomable) and the map (host by destination).
const SVG = 'http://www.w3.org/2000/svg', HEIGHT = 230, LEFT = 64, BOTTOM = 24, TOP = 10, BINS = 120, TOP_HOSTS = 8, MAP = 12;
let WIDTH = 1200;
function draw_(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function extent() {
  let from = Infinity, to = -Infinity;
  for (const f of all) if (f.first !== null) { from = Math.min(from, f.first); to = Math.max(to, f.last); }
  if (!(from < Infinity)) return [0, 1];
  const edge = Math.max((to - from) * 0.02, 0.5);
  return [from - edge, to + edge];
}
const full = extent();
const view = () => zoomed() || full;
function zoom(from, to) {
  const least = 0.01;
  if (to - from < least) to = from + least;
  const whole = from <= full[0] && to >= full[1];
  change({t: whole ? '' : `${Math.max(from, full[0]).toFixed(3)},${Math.min(to, full[1]).toFixed(3)}`});
}
function scale(by, shift) {
  const [from, to] = view(), middle = (from + to) / 2 + shift * (to - from), half = (to - from) / 2 * by;
  zoom(middle - half, middle + half);
}

// Hosts by volume keep their colour while filters change.
const ranked = (() => {
  const sums = new Map();
  for (const f of all) if (!f.allowed) sums.set(f.host, (sums.get(f.host) || 0) + (f.low || 0));
  return new Map([...sums].sort((a, b) => b[1] - a[1]).slice(0, TOP_HOSTS).map(([host], place) => [host, place]));
})();

// Bytes of each finding spread evenly over its time: bins[host rank][bin].
function binned(rows, from, to) {
  const bins = Array.from({length: TOP_HOSTS + 1}, () => new Float64Array(BINS)), wide = (to - from) / BINS;
  for (const f of rows) {
    if (f.allowed || !f.low || f.first === null || f.last < from || f.first > to) continue;
    const place = ranked.get(f.host) ?? TOP_HOSTS, lasted = Math.max(f.last - f.first, wide / 1e6);
    const begin = Math.max(0, Math.floor((f.first - from) / wide)), end = Math.min(BINS - 1, Math.floor((f.last - from) / wide));
    for (let bin = begin; bin <= end; bin += 1) {
      const part = Math.min(f.last, from + (bin + 1) * wide) - Math.max(f.first, from + bin * wide);
      bins[place][bin] += f.low * (begin === end && f.first >= from && f.last <= to ? 1 : Math.max(0, part) / lasted);
    }
  }
  return bins;
}

function ticks(from, to) {
  const steps = [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 31536000];
  const step = steps.find(s => (to - from) / s <= Math.max(4, WIDTH / 150)) || (to - from) / 6, found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  const text = at => { const iso = new Date(at * 1000).toISOString(); return step >= 86400 ? iso.slice(0, 10) : step >= 60 ? (to - from > 86400 ? iso.slice(5, 16).replace('T', ' ') : iso.slice(11, 16)) : step >= 1 ? iso.slice(11, 19) : iso.slice(11, 22); };
  return found.map(at => [at, text(at)]);
}

function timeline(rows) {
  WIDTH = Math.max(320, Math.min(1500, $('timeline').clientWidth || 1200));
  const [from, to] = view(), bins = binned(rows, from, to), across = (WIDTH - LEFT - 8) / BINS, high = HEIGHT - TOP - BOTTOM;
  let most = 0, total = 0;
  for (let bin = 0; bin < BINS; bin += 1) { const sum = bins.reduce((all_, host) => all_ + host[bin], 0); most = Math.max(most, sum); total += sum; }
  const svg = draw_('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${bytes(total)} out between ${time(from)} and ${time(to)} UTC; at most ${bytes(most)} in one bar`});
  for (const share of [0, 0.5, 1]) {
    const y = TOP + high * (1 - share);
    svg.append(draw_('line', {x1: LEFT, x2: WIDTH - 8, y1: y, y2: y, class: 'grid'}), draw_('text', {x: LEFT - 6, y: y + 4, 'text-anchor': 'end'}, bytes(most * share)));
  }
  for (const [at, text] of ticks(from, to)) {
    const x = LEFT + (at - from) / (to - from) * (WIDTH - LEFT - 8), half = text.length * 3.5; // an end's text stays inside
    svg.append(draw_('text', {x, y: HEIGHT - 6, 'text-anchor': x + half > WIDTH ? 'end' : 'middle'}, text));
  }
  const names = [...ranked.keys(), 'other hosts'];
  for (let bin = 0; most > 0 && bin < BINS; bin += 1) {
    let y = TOP + high;
    bins.forEach((host, place) => {
      if (!host[bin]) return;
      const tall = Math.max(host[bin] / most * high, 0.8);
      y -= tall;
      svg.append(draw_('rect', {x: LEFT + bin * across + 0.5, y, width: Math.max(across - 1, 1), height: tall, class: 'c' + place},
        draw_('title', {}, `${names[place]}: ${bytes(host[bin])} from ${time(from + bin * (to - from) / BINS)}`)));
    });
  }
  $('timeline').replaceChildren(svg);
  $('range').textContent = zoomed() ? `${time(from)} to ${time(to)}` : '';
  const present = names.map((name, place) => [name, place, bins[place].reduce((a, b) => a + b, 0)]).filter(entry => entry[2] > 0);
  $('legend').replaceChildren(...present.map(([name, place, sum]) => el('li', {}, el('span', {class: 'swatch c' + place}), `${name} ${bytes(sum)}`)));
}

function wire() {
  const at = event => { const box = $('timeline').getBoundingClientRect(), [from, to] = view(), x = (event.clientX - box.left) / box.width * WIDTH; return from + Math.min(1, Math.max(0, (x - LEFT) / (WIDTH - LEFT - 8))) * (to - from); };
  let begun = null;
  $('timeline').addEventListener('pointerdown', event => { begun = at(event); });
  addEventListener('pointerup', event => { if (begun !== null) { const end = at(event), [from, to] = view(); if (Math.abs(end - begun) > (to - from) / 100) zoom(Math.min(begun, end), Math.max(begun, end)); } begun = null; });
  let width = innerWidth;
  addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; timeline(passing('time')); } });
  const keys = {'+': [0.5, 0], '=': [0.5, 0], '-': [2, 0], ArrowLeft: [1, -0.25], ArrowRight: [1, 0.25]};
  $('timeline').addEventListener('keydown', event => { if (event.key === '0') change({t: ''}); else if (keys[event.key]) { event.preventDefault(); scale(...keys[event.key]); } });
  for (const [id, by, shift] of [['zoom-in', 0.5, 0], ['zoom-out', 2, 0], ['pan-left', 1, -0.25], ['pan-right', 1, 0.25]]) $(id).addEventListener('click', () => scale(by, shift));
  $('zoom-all').addEventListener('click', () => change({t: ''}));
}

// Sums of a host, a destination or a pair: PCR is taken on summed bytes.
function add(sums, key, f) {
  const sum = sums.get(key) || {out: 0, in: 0, findings: 0};
  sum.out += f.low || 0; sum.in += f.in || 0; sum.findings += 1;
  sums.set(key, sum);
}
const ratio = sum => sum.out + sum.in ? (sum.out - sum.in) / (sum.out + sum.in) : 0;
const shade = value => value < -0.33 ? 'p0' : value < 0.33 ? 'p1' : value < 0.9 ? 'p2' : 'p3';

// The largest pairs decide which hosts and destinations have a row or column, so that none is empty.
function largest(pairs) {
  const down = new Set(), across = new Set();
  for (const [key] of [...pairs].sort((a, b) => b[1].out - a[1].out)) {
    const [host, to] = key.split('\n');
    if ((down.has(host) || down.size < MAP) && (across.has(to) || across.size < MAP)) { down.add(host); across.add(to); }
  }
  return [[...down], [...across]];
}

function map(rows) {
  const hosts = new Map(), places = new Map(), pairs = new Map();
  for (const f of rows) { add(hosts, f.host, f); add(places, f.to, f); add(pairs, f.host + '\n' + f.to, f); }
  const [down, across] = largest(pairs), most = Math.max(1, ...[...pairs.values()].map(sum => sum.out));
  const cell = (host, to) => {
    const sum = pairs.get(host + '\n' + to);
    if (!sum) return el('td', {class: 'cell'});
    const chosen = state.host === host && state.to === to, value = ratio(sum), wide = 10 + 26 * Math.sqrt(sum.out / most);
    const button = el('button', {type: 'button', class: shade(value), 'aria-pressed': String(chosen), 'aria-label': `${host} to ${to}: ${bytes(sum.out)} out, PCR ${signed(value)}, ${sum.findings} findings`,
      title: `${host} to ${to}`, onclick: () => { change(chosen ? {host: '', to: ''} : {host, to}); if (!chosen) $('findings').scrollIntoView(); }});
    button.style.width = button.style.height = wide + 'px';
    return el('td', {class: 'cell'}, el('div', {}, button, el('span', {class: 'soft'}, bytes(sum.out))));
  };
  const more = [[hosts.size - down.length, 'hosts'], [places.size - across.length, 'destinations']].filter(entry => entry[0] > 0).map(([count, what]) => `${count} more ${what}`);
  if (!pairs.size) { $('map').replaceChildren(el('p', {}, 'Nothing to show.')); return; }
  const key = [['p3', 'almost only out'], ['p2', 'mostly out'], ['p1', 'both ways'], ['p0', 'mostly in']];
  $('map').replaceChildren(el('table', {class: 'map'}, el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'Host'), across.map(to => el('th', {scope: 'col', title: to}, el('div', {}, soft(to.replace(/^(.+) \(.+\)(:\d+)?$/, '$1$2'))))))),
    el('tbody', {}, down.map(host => el('tr', {}, el('th', {scope: 'row'}, soft(host)), across.map(to => cell(host, to)))))),
  el('ul', {class: 'legend'}, key.map(([kind, text]) => el('li', {}, el('span', {class: 'swatch ' + kind}), text)), more.length ? el('li', {class: 'soft'}, `not shown: ${more.join(', ')}`) : null));
}
