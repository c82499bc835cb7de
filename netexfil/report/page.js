// The page's state, filters and table. Foreign text goes into text nodes and attribute values only: nothing here makes HTML from strings.
const all = JSON.parse(document.getElementById('data').textContent);
const levels = ['info', 'low', 'medium', 'high', 'critical'];
const PAGE = 100;
const DEFAULTS = {q: '', sev: '', proto: '', allowed: '1', sort: 'score', dir: 'desc', page: '1', open: '', t: '', host: '', to: ''};
const state = {...DEFAULTS};
const $ = id => document.getElementById(id);

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== ''));
  return node;
}

const units = ['B', 'kB', 'MB', 'GB', 'TB'];
function bytes(count) {
  if (count === null || count === undefined) return '?';
  let unit = 0;
  while (Math.abs(count) >= 999.5 && unit < 4) { count /= 1000; unit += 1; }
  return unit === 0 ? `${Math.round(count)} B` : `${count.toFixed(count < 9.995 ? 2 : count < 99.95 ? 1 : 0)} ${units[unit]}`;
}
const time = ts => ts === null ? 'no time' : new Date(ts * 1000).toISOString().replace('T', ' ').slice(0, 19);
const signed = value => value === null || value === undefined ? '' : (value > 0 ? '+' : value < 0 ? '−' : '') + Math.abs(value).toFixed(2);

// The fragment holds the whole state, so that a view can be sent as a link.
function load() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = given.get(key) ?? DEFAULTS[key];
}
function save() {
  const shown = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) shown.set(key, value);
  const text = shown.toString();
  history.replaceState(null, '', text ? '#' + text : location.pathname + location.search);
}
function change(values) {
  Object.assign(state, values.page ? values : {page: '1', ...values});
  save();
  draw();
}

const hay = new Map();
function haystack(f) {
  if (!hay.has(f)) {
    const words = [f.id, f.host, f.to, f.protocol, f.tool, f.process, f.user, f.severity, f.allowed, ...f.evidence.map(e => `${e[0]} ${e[2]}`),
      ...f.links.map(l => `${l.event.command_line || ''} ${l.event.image || ''} ${l.event.host || ''} ${l.event.user || ''}`), ...f.uids];
    hay.set(f, words.join('\n').toLowerCase());
  }
  return hay.get(f);
}

// A name that may break after its dots, colons and dashes rather than anywhere.
const soft = text => text.split(/(?<=[.:/@_-])(?=[^.:/@_-])/).flatMap((part, number) => number ? [document.createElement('wbr'), part] : [part]);

function zoomed() {
  const ends = state.t.split(',').map(Number);
  return ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1] ? ends : null;
}

// Findings that pass; `but` names one filter to leave out (a chart must not hide what it offers to choose).
function passing(but) {
  const wanted = state.q.toLowerCase().split(/\s+/).filter(Boolean), floor = levels.indexOf(state.sev), view = but === 'time' ? null : zoomed();
  return all.filter(f => (!state.proto || f.protocol === state.proto) && levels.indexOf(f.severity) >= floor && (state.allowed === '1' || !f.allowed)
    && (!view || (f.last !== null && f.last >= view[0] && f.first <= view[1]))
    && (but === 'cell' || ((!state.host || f.host === state.host) && (!state.to || f.to === state.to)))
    && wanted.every(word => haystack(f).includes(word)));
}

// Columns: key, head, what sorts, how a cell is filled.
const columns = [
  ['score', 'Score', f => f.score, f => [el('b', {}, String(Math.round(f.score))), ' ', badge(f)], 'score'],
  ['first', 'Time (UTC)', f => f.first, f => time(f.first), ''],
  ['host', 'Host', f => f.host, f => soft(f.host), 'who'],
  ['to', 'Destination', f => f.to, f => soft(f.to), 'who'],
  ['protocol', 'Protocol', f => f.protocol, f => f.protocol, 'name'],
  ['tool', 'Tool', f => f.tool, f => f.tool, 'name'],
  ['bytes', 'Bytes out', f => f.low ?? -1, f => el('span', {title: f.exact}, f.size), 'num'],
  ['pcr', 'PCR', f => f.pcr ?? -2, f => signed(f.pcr), 'num'],
  ['process', 'Process, user', f => f.process, f => f.user ? `${f.process} as ${f.user}` : f.process, 'who'],
  ['why', 'Because', f => f.evidence.length, f => strongest(f).map(e => el('div', {}, e[2])), 'why'],
];
function badge(f) {
  return f.allowed ? el('span', {class: 'badge allowed', title: f.allowed}, 'allowed') : el('span', {class: 'badge ' + f.severity}, f.severity);
}
const strongest = f => [...f.evidence].filter(e => e[0] !== 'cap').sort((a, b) => b[1] - a[1]).slice(0, 2);

function sorted(rows) {
  const column = columns.find(c => c[0] === state.sort) || columns[0], sign = state.dir === 'asc' ? 1 : -1;
  const keyed = rows.map(f => [column[2](f), f]);
  keyed.sort((a, b) => a[0] < b[0] ? -sign : a[0] > b[0] ? sign : b[1].score - a[1].score || (a[1].id < b[1].id ? -1 : 1));
  return keyed.map(pair => pair[1]);
}

function heads() {
  $('heads').replaceChildren(el('th', {scope: 'col'}, el('span', {class: 'hidden'}, 'Open')), ...columns.map(([key, title, , , kind]) => {
    const here = state.sort === key;
    const flip = () => change({sort: key, dir: here && state.dir === 'desc' ? 'asc' : here ? 'desc' : ['host', 'to', 'tool', 'process', 'protocol', 'first'].includes(key) ? 'asc' : 'desc'});
    return el('th', {scope: 'col', class: kind === 'num' ? 'num' : null, 'aria-sort': here ? (state.dir === 'asc' ? 'ascending' : 'descending') : 'none'},
      el('button', {type: 'button', onclick: flip}, title + (here ? (state.dir === 'asc' ? ' ▲' : ' ▼') : '')));
  }));
}

function rowOf(f, number) {
  const open = state.open.split(',').includes(f.id), place = 'd' + number;
  const toggle = () => {
    const kept = state.open.split(',').filter(id => id && id !== f.id);
    change({page: state.page, open: (open ? kept : [...kept, f.id]).join(',')});
    $('b' + number)?.focus();
  };
  const button = el('button', {type: 'button', id: 'b' + number, 'aria-expanded': String(open), 'aria-controls': open ? place : null, onclick: event => { event.stopPropagation(); toggle(); },
    'aria-label': `${open ? 'Close' : 'Open'} ${f.host} to ${f.to}`}, open ? '−' : '+');
  const row = el('tr', {class: 'row', id: 'f-' + f.id, onclick: () => { if (!String(getSelection())) toggle(); }}, el('td', {}, button),
    columns.map(([, title, , fill, kind]) => el('td', {class: kind || null, 'data-label': title}, fill(f))));
  return open ? [row, el('tr', {class: 'detail', id: place}, el('td', {colspan: columns.length + 1}, detail(f)))] : [row];
}

let printing = false;
function draw() {
  const rows = sorted(passing()), pages = Math.max(1, Math.ceil(rows.length / PAGE)), page = Math.min(pages, Math.max(1, Number(state.page) || 1));
  const shown = printing ? rows.slice(0, 500) : rows.slice((page - 1) * PAGE, page * PAGE);
  heads();
  $('rows').replaceChildren(...shown.flatMap(rowOf));
  const sum = rows.reduce((total, f) => total + (f.allowed ? 0 : f.low || 0), 0);
  $('count').textContent = `${rows.length.toLocaleString('en')} of ${all.length.toLocaleString('en')} findings, ${bytes(sum)} out`;
  const pair = [state.host, state.to].filter(Boolean).join(' to ');
  $('pair').replaceChildren(...pair ? [el('button', {type: 'button', class: 'chip', onclick: () => change({host: '', to: ''}), 'aria-label': `Show more than ${pair}`}, `${pair} ✕`)] : []);
  if (!shown.length) $('rows').append(el('tr', {}, el('td', {colspan: columns.length + 1, class: 'none'}, all.length ? 'No finding passes these filters.' : 'No findings. What could not be read stands under data quality.')));
  pager(page, pages);
  for (const [id, key] of [['q', 'q'], ['sev', 'sev'], ['proto', 'proto']]) if ($(id).value !== state[key]) $(id).value = state[key];
  $('allowed').checked = state.allowed === '1';
  timeline(passing('time'));
  map(passing('cell'));
  document.body.dataset.rows = String(rows.length);
}

function pager(page, pages) {
  const step = (to, title, off) => el('button', {type: 'button', disabled: off, onclick: () => change({page: String(to)})}, title);
  const parts = pages < 2 ? [] : [step(page - 1, 'Previous', page === 1), el('span', {}, `Page ${page} of ${pages}`), step(page + 1, 'Next', page === pages)];
  $('pager').replaceChildren(...parts);
  $('pager').hidden = pages < 2;
}

function theme(name) {
  if (name === 'system') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  $('theme').textContent = 'Theme: ' + name;
}

function start() {
  const protocols = [...new Set(all.map(f => f.protocol))].sort();
  $('proto').append(...protocols.map(name => el('option', {value: name}, name)));
  const names = ['system', 'light', 'dark'];
  let chosen = 0, pause = 0;
  $('theme').addEventListener('click', () => theme(names[chosen = (chosen + 1) % 3]));
  $('q').addEventListener('input', () => { clearTimeout(pause); pause = setTimeout(() => change({q: $('q').value}), 150); });
  $('sev').addEventListener('change', () => change({sev: $('sev').value}));
  $('proto').addEventListener('change', () => change({proto: $('proto').value}));
  $('allowed').addEventListener('change', () => change({allowed: $('allowed').checked ? '1' : '0'}));
  $('clear').addEventListener('click', () => change({...DEFAULTS}));
  addEventListener('beforeprint', () => { printing = true; draw(); });
  addEventListener('afterprint', () => { printing = false; draw(); });
  addEventListener('hashchange', () => { load(); draw(); });
  wire();
  load();
  draw();
  document.body.dataset.ready = String(Math.round(performance.now()));
}
