// What opens below a finding: its reasons as a waterfall, sessions, processes as a tree, facts and next steps.
function detail(f) {
  return el('div', {class: 'columns'},
    el('div', {}, el('h3', {}, `Evidence: ${Math.round(f.score)} points`), waterfall(f), el('h3', {}, 'Processes and events'), processes(f)),
    el('div', {}, el('h3', {}, 'Facts'), facts(f), el('h3', {}, `Sessions (${f.sessions})`), sessions(f), steps(f)));
}

function waterfall(f) {
  const ordered = [...f.evidence].sort((a, b) => (b[1] > 0) - (a[1] > 0) || Math.abs(b[1]) - Math.abs(a[1]));
  let sum = 0, least = 0, most = 1;
  for (const e of ordered) { sum += e[1]; least = Math.min(least, sum); most = Math.max(most, sum); }
  const at = points => (points - least) / (most - least) * 100;
  const bar = (from, to, kind) => {
    const step = el('div', {class: 'step ' + kind});
    step.style.left = at(Math.min(from, to)) + '%';
    step.style.width = at(Math.max(from, to)) - at(Math.min(from, to)) + '%';
    return el('div', {class: 'track', 'aria-hidden': 'true'}, step);
  };
  sum = 0;
  const rows = ordered.flatMap(([code, points, text, value, threshold, source]) => {
    const kind = points > 0 ? 'for' : points < 0 ? 'against' : 'told', from = sum;
    sum += points;
    const measured = [value && `measured ${value}`, threshold && `threshold ${threshold}`, source && `from ${source}`].filter(Boolean).join(' · ');
    return [el('div', {class: 'pts ' + kind}, (points > 0 ? '+' : points < 0 ? '−' : '') + Number(Math.abs(points).toFixed(1))), bar(from, sum, kind),
      el('div', {}, text, ' ', el('code', {}, code), measured ? el('div', {class: 'soft'}, measured) : null)];
  });
  return el('div', {class: 'fall'}, rows, el('div', {class: 'pts'}, String(Number(f.score.toFixed(1)))), bar(0, f.score, 'sum'), el('div', {}, `score, ${f.confidence} confidence`));
}

function facts(f) {
  const rows = [['Bytes out', `${f.size} (${f.exact}), ${f.quality || 'quality not told'}`], ['Bytes in', f.in === null ? '?' : bytes(f.in)], ['PCR', signed(f.pcr)], ['First', time(f.first)],
    ['Last', time(f.last) + (f.progress ? ' (in progress)' : '')], ['Lasted', f.duration], ['Rate', f.rate ? f.rate + '/s' : ''], ['Tool', f.tool], ['Window', f.window], ['ATT&CK', f.attack.join('; ')],
    ['Allowed', f.allowed], ['Id', f.id]];
  return el('dl', {class: 'facts'}, rows.filter(row => row[1]).flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]));
}

function sessions(f) {
  if (!f.uids.length) return el('p', {class: 'soft'}, 'None was seen.');
  const rest = f.sessions - f.uids.length;
  return el('div', {}, el('div', {class: 'uids'}, f.uids.map(uid => el('span', {class: 'uid'}, uid)), rest > 0 ? el('span', {class: 'soft'}, `and ${rest} more`) : null),
    el('p', {class: 'soft'}, 'Their packets: ', el('code', {}, `netexfil carve SOURCE --findings FILE --finding ${f.id} -o out.pcapng`)));
}

function steps(f) {
  return f.next.length ? el('div', {}, el('h3', {}, 'Next'), el('ol', {}, f.next.map(([title, lines]) => el('li', {}, title, el('pre', {}, lines.join('\n')))))) : null;
}

// Processes by GUID, else by host and pid; a parent is told by its child.
function processes(f) {
  if (!f.links.length) return el('p', {class: 'soft'}, 'No endpoint event was linked.');
  const nodes = new Map();
  const key = (host, guid, pid) => guid ? `g ${guid}` : pid !== undefined ? `${host} ${pid}` : null;
  const node = (id, image, pid) => { if (!nodes.has(id)) nodes.set(id, {id, image, pid, lines: [], users: new Set(), parent: null}); const found = nodes.get(id); found.image ||= image; found.pid ??= pid; return found; };
  f.links.forEach((link, number) => {
    const e = link.event, id = key(e.host, e.guid, e.pid) || `event ${number}`, mine = node(id, e.image, e.pid);
    mine.lines.push(link);
    if (e.user) mine.users.add(e.user);
    const above = key(e.host, e.parent_guid, e.parent_pid);
    if (above && above !== id) { mine.parent = above; const parent = node(above, e.parent_image, e.parent_pid); parent.command ||= e.parent_command_line; }
  });
  const inside = parent => [...nodes.values()].filter(n => n.parent === parent), seen = new Set();
  const branch = n => { if (seen.has(n.id)) return null; seen.add(n.id); const below = inside(n.id); return el('li', {}, process(n), below.length ? el('ul', {class: 'tree'}, below.map(branch)) : null); };
  const roots = [...nodes.values()].filter(n => !n.parent || !nodes.has(n.parent));
  const rest = [...nodes.values()].filter(n => !roots.includes(n));
  return el('div', {}, el('ul', {class: 'tree'}, roots.map(branch), rest.map(branch)), f.more ? el('p', {class: 'soft'}, `${f.more} weaker links are in the JSON record.`) : null);
}

function process(n) {
  const users = [...n.users].join(', ');
  const lines = new Map();
  for (const link of n.lines) {
    const e = link.event, what = e.command_line || e.target || e.title || '', place = `${e.kind || 'event'}\n${what}`;
    if (!lines.has(place)) lines.set(place, {what, kind: e.kind, links: []});
    lines.get(place).links.push(link);
  }
  return el('div', {}, el('strong', {}, n.image || 'unknown program'), n.pid !== undefined && n.pid !== null ? ` pid ${n.pid}` : '', users ? ` as ${users}` : '', n.command && !n.lines.length ? el('div', {}, el('code', {}, n.command)) : null,
    [...lines.values()].map(({what, kind, links}) => el('div', {}, what ? el('code', {}, what) : null, el('div', {class: 'soft'}, tie(kind, links)))));
}

function tie(kind, links) {
  const best = links[0], e = best.event;
  const clock = best.offset === null ? '' : `, clock ${best.offset >= 0 ? '+' : '−'}${Math.abs(best.offset).toFixed(3)} s`;
  const apart = best.apart === null ? '' : `, ${best.apart.toFixed(3)} s apart`;
  const from = e.file ? `, ${e.file}${e.line ? ' line ' + e.line : ''}` : '';
  return `${kind || 'event'}: ${best.match}, ${(best.confidence * 100).toFixed(0)} % sure of ${best.candidates}${apart}${clock}${from}${links.length > 1 ? ` and ${links.length - 1} more` : ''}`;
}
