// The page: which part of it is shown is told by what stands behind the # of its address.

import { ask } from './ask.js';
import { h } from './dom.js';
import * as keys from './keys.js';
import * as live from './live.js';
import { overview } from './overview.js';
import { catalogue } from './catalogue.js';
import { definition } from './definition.js';
import { entity } from './entity.js';
import { letters } from './letters.js';
import { work } from './work.js';

const main = document.getElementById('main');
const search = document.getElementById('search');
let project = null;
let leave = [];

// #/view/customer_spend?feature=x, in parts.
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query ?? '') };
}

function page({ parts: [kind, name], query }, context) {
  switch (kind) {
    case undefined: return overview(context);
    case 'catalogue': return catalogue(context, query);
    case 'source': case 'view': case 'service': return definition(context, kind, name, query);
    case 'entity': return name ? definition(context, kind, name, query) : entity(context, query);
    case 'letters': return letters(context, name ?? query.get('source'));
    case 'plan': return work(context);
    default: return { title: 'Nothing here', element: h('p', null, 'There is no such page. ', h('a', { href: '#/' }, 'Overview')) };
  }
}

function show() {
  leave.forEach((end) => end());
  leave = [];
  const where = place();
  // What a page starts it ends by itself when another is shown.
  const context = { project, live, until: (end) => leave.push(end) };
  const { title, element } = page(where, context);
  document.title = `${title} · ${project.project}`;
  main.replaceChildren(h('h1', null, title), element);
  const [kind] = where.parts;
  for (const link of document.querySelectorAll('nav a')) {
    const own = link.getAttribute('href').replace(/^#\/?/, '');
    const of = { source: 'catalogue', view: 'catalogue', service: 'catalogue' }[kind] ?? kind ?? '';
    const current = own === (kind === 'entity' && where.parts[1] ? 'catalogue' : of);
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (kind !== 'catalogue') search.value = '';
  else if (search !== document.activeElement) search.value = where.query.get('q') ?? '';
}

function pulse(point) {
  const place = document.getElementById('pulse');
  const bad = live.trouble ?? point?.now.views?.unready;
  place.className = bad ? 'bad' : 'good';
  place.textContent = bad ? 'no answer' : 'live';
  place.title = bad ?? 'asked every second';
}

async function begin() {
  keys.start();
  for (;;) {
    try {
      project = await ask('/v1/console/project');
      break;
    } catch (error) {
      main.replaceChildren(h('p', { class: 'bad', role: 'alert' }, `The server does not answer: ${error.message}`));
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
  document.getElementById('project').textContent = project.project;
  document.querySelector('.brand').title = `Tiderace ${project.version}, ${project.role}`;
  live.watch(pulse);
  live.start();
  addEventListener('hashchange', () => { show(); if (search !== document.activeElement) main.focus(); scrollTo(0, 0); });
  search.addEventListener('input', () => {
    const fresh = `#/catalogue?q=${encodeURIComponent(search.value)}`;
    if (place().parts[0] === 'catalogue') { history.replaceState(null, '', fresh); show(); }
    else location.hash = fresh;
  });
  show();
}

begin();
