// Everything that is defined, to be searched.

import { badge, h } from './dom.js';
import { lineage } from './lineage.js';
import { KINDS } from './words.js';

const MOST = 200;

// All there is to find, each with the words it is found by.
function everything(project) {
  const one = (kind, own, more) => ({
    kind, name: own.name, href: `#/${kind}/${encodeURIComponent(own.name)}`, description: own.description ?? '', owner: own.owner ?? '',
    words: [own.name, own.description, own.owner, ...more].filter(Boolean).join(' ').toLowerCase(),
  });
  return [
    ...project.services.map((own) => one('service', own, [])),
    ...project.views.map((own) => one('view', own, [own.entity, own.source])),
    ...project.entities.map((own) => one('entity', own, own.keys.map((key) => key.name))),
    ...project.sources.map((own) => one('source', own, own.columns.map((column) => column.name))),
    ...project.views.flatMap((view) => view.features.map((own) => ({
      ...one('feature', own, [view.name, own.of, own.words]), name: `${view.name}:${own.name}`,
      href: `#/view/${encodeURIComponent(view.name)}?feature=${encodeURIComponent(own.name)}`, owner: view.owner ?? '',
      description: own.words ?? `${own.of ? `of ${own.of}, ` : ''}${own.window}, ${own.type}`,
    }))),
    ...project.services.flatMap((service) => service.on_demand.map((own) => ({
      ...one('feature', own, [service.name, own.expr]), name: `${service.name}:${own.name}`,
      href: `#/service/${encodeURIComponent(service.name)}?feature=${encodeURIComponent(own.name)}`, owner: service.owner ?? '',
      description: `${own.expr}, ${own.type}`,
    }))),
  ];
}

// Names that begin with what is wanted come first, then names that have it, then the rest.
function find(project, wanted, kind) {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = everything(project).filter((own) => (kind === 'all' || own.kind === kind) && words.every((word) => own.words.includes(word)));
  if (words.length === 0) return found;
  const rank = (own) => {
    const name = own.name.toLowerCase();
    return name === words[0] ? 0 : name.startsWith(words[0]) || name.includes(`:${words[0]}`) ? 1 : name.includes(words[0]) ? 2 : 3;
  };
  return found.map((own) => [rank(own), own]).sort(([a], [b]) => a - b).map(([, own]) => own);
}

// A text with what was searched for marked.
function marked(text, wanted) {
  const word = wanted.toLowerCase().split(/\s+/).find((one) => one && text.toLowerCase().includes(one));
  if (!word) return text;
  const at = text.toLowerCase().indexOf(word);
  return [text.slice(0, at), h('mark', null, text.slice(at, at + word.length)), text.slice(at + word.length)];
}

export function catalogue({ project }, query) {
  const wanted = query.get('q') ?? '';
  const kind = query.get('kind') ?? 'all';
  const found = find(project, wanted, kind);
  const chips = ['all', ...Object.keys(KINDS)].map((one) => h('a', {
    class: 'chip', 'aria-current': one === kind ? 'true' : null,
    href: `#/catalogue?${new URLSearchParams({ q: wanted, kind: one })}`,
  }, one === 'all' ? 'all' : `${KINDS[one]}s`.replace('entitys', 'entities')));
  const list = found.slice(0, MOST).map((own) => h('li', null, h('a', { class: 'item', href: own.href },
    badge(KINDS[own.kind], own.kind), h('b', null, marked(own.name, wanted)),
    h('span', { class: 'what' }, marked(own.description, wanted)), h('span', { class: 'owner' }, own.owner))));
  return {
    title: 'Catalogue',
    element: h('div', null,
      h('p', { class: 'chips' }, chips, h('span', { class: 'quiet', id: 'found' }, `${found.length} found`)),
      h('ul', { class: 'list' }, list),
      found.length > MOST ? h('p', { class: 'quiet' }, `The first ${MOST} are shown.`) : null,
      found.length === 0 ? h('p', null, `Nothing has ${JSON.stringify(wanted)} in its name, description, owner or columns.`) : null,
      wanted === '' && kind === 'all' ? [h('h2', null, 'Lineage'), lineage(project, null)] : null),
  };
}
