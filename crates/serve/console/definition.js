// One definition: what it says, where it stands between the others, how its values are spread.

import { distribution, spark } from './chart.js';
import { ask } from './ask.js';
import { badge, h, show, table } from './dom.js';
import { lineage } from './lineage.js';
import { standing, unread } from './overview.js';
import { KINDS, count, instant, low, mood, number, seconds, share } from './words.js';

const LISTS = { source: 'sources', view: 'views', service: 'services', entity: 'entities' };
const EVERY = 3_000;

const link = (kind, name, text) => h('a', { href: `#/${kind}/${encodeURIComponent(name)}` }, text ?? name);

export function definition(context, kind, name, query) {
  const { project } = context;
  const own = project[LISTS[kind]].find((one) => one.name === name);
  if (!own) {
    return { title: 'Not there', element: h('p', null, `The project has no ${KINDS[kind]} ${JSON.stringify(name)}. `,
      h('a', { href: '#/catalogue' }, 'Catalogue')) };
  }
  const parts = { source, view, service, entity: entityPart }[kind](context, own, query);
  return { title: name, element: h('div', null,
    h('p', { class: 'lead' }, badge(KINDS[kind], kind), ' ', own.description ?? ''),
    facts([['owner', own.owner], ['written in', own.file], ...parts.facts]),
    parts.live,
    h('h2', null, 'Lineage'), lineage(project, { kind, name }),
    parts.rest,
    own.text ? [h('h2', null, 'Definition'), h('pre', { class: 'yaml', tabindex: 0, id: 'definition' }, yaml(own.text))] : null) };
}

export const facts = (list) => h('dl', { class: 'facts' }, list.filter(([, what]) => what !== null && what !== undefined && what !== '')
  .map(([name, what]) => h('div', null, h('dt', null, name), h('dd', null, what))));

function source({ project, live, until }, own) {
  const place = h('div');
  until(live.watch((point) => {
    const held = point?.now.live?.sources[own.name];
    if (!held) return;
    show(place, h('h2', null, 'Records'), table(['what became of them', { cell: 'records', class: 'n' }, { cell: 'share', class: 'n' }],
      Object.entries(held.outcomes).map(([outcome, n]) => [
        held.refused[outcome] ? [badge(low(outcome), 'bad'), ' ', link('letters', own.name, 'dead letters')] : low(outcome),
        { cell: count(n), class: 'n' }, { cell: share(n, held.outcomes.read), class: 'n' }])),
    facts([['newest event', instant(held.newest)], ['not read yet', behind(held)], ['partitions', held.partitions], ['losses', held.losses || null],
      ['state', held.stopped ? badge('stopped', 'bad') : badge('reading', 'good')]]));
  }));
  return {
    facts: [['stream', own.stream], ['event time', own.event_time], ['event id', own.event_id], ['lateness', own.allowed_lateness],
      ['archive', null]],
    live: place,
    rest: [h('h2', null, 'Columns'), table(['column', 'type'], own.columns.map((column) => [column.name, column.type]))],
  };
}

// Records that were not read yet, by topic, and how many of them one partition has.
const behind = (held) => unread(held) === null ? null : Object.entries(held.lags)
  .map(([topic, lag]) => `${count(lag.records)} records${topic ? ` of ${topic}` : ''}${lag.greatest ? `, ${count(lag.greatest)} in one partition` : ''}`)
  .join('; ');

function entityPart({ project }, own) {
  const views = project.views.filter((view) => view.entity === own.name);
  return { facts: [['keys', own.keys.map((key) => `${key.name}: ${key.type}`).join(', ')]], live: null,
    rest: [h('h2', null, 'Feature views'), h('ul', { class: 'list' }, views.map((view) => h('li', null,
      h('a', { class: 'item', href: `#/view/${encodeURIComponent(view.name)}` }, h('b', null, view.name), h('span', { class: 'what' }, view.description ?? '')))))] };
}

function view(context, own, query) {
  const { live, until } = context;
  const place = h('p', { class: 'badges' });
  until(live.watch((point) => {
    const views = point?.now.views;
    if (!views) return;
    const held = views.by_name?.[own.name];
    show(place, standing(held, own), held ? [` lag ${seconds(held.lag_seconds)}, generation ${held.generation}, whole since `,
      held.whole === 'beginning' ? 'the beginning' : instant(held.whole)] : '');
  }));
  return {
    facts: [['entity', link('entity', own.entity)], ['source', link('source', own.source)], ['history', own.history], ['max age', own.max_age],
      ['topic of values', own.topic], ['fingerprint', h('code', null, own.fingerprint)]],
    live: place,
    rest: [h('h2', null, 'Features'), featureTable(context, 'view', own, own.features.map((one) => ({ ...one,
      told: meaning(one), window: one.window })), query)],
  };
}

// What a feature is, without its type, which has a column of its own.
function meaning(one) {
  const type = `${one.type}, `;
  return one.words?.startsWith(type) ? one.words.slice(type.length) : one.words ?? '';
}

function service(context, own, query) {
  const { project, live, until } = context;
  const place = h('div');
  until(live.watch((point) => {
    const held = point?.now.serving?.lookups[own.name];
    if (!held) return;
    const calls = Object.entries(held.calls).map(([code, n]) => badge(`${low(code)} ${count(n)}`, mood(code)));
    const values = Object.values(held.statuses).reduce((a, b) => a + b, 0);
    const statuses = Object.entries(held.statuses).map(([status, n]) => badge(`${low(status)} ${share(n, values)}`, mood(status)));
    show(place, h('p', { class: 'badges' }, 'lookups ', calls, ' values ', statuses));
  }));
  const features = own.features.map((feature) => {
    const of = project.views.find((one) => one.name === feature.view)?.features.find((one) => one.name === feature.name);
    return [h('a', { href: `#/view/${encodeURIComponent(feature.view)}?feature=${encodeURIComponent(feature.name)}` }, `${feature.view}:${feature.name}`),
      of?.type ?? '', of?.window ?? ''];
  });
  const keys = own.keys.map((key) => `${key.name}: ${key.type}`).join(', ');
  return {
    facts: [['keys', keys], ['request data', own.request_data.map((one) => `${one.name}: ${one.type}`).join(', ')],
      ['ask it', h('a', { href: `#/entity?service=${encodeURIComponent(own.name)}` }, 'look an entity up')]],
    live: place,
    rest: [
      own.on_demand.length > 0 ? [h('h2', null, 'On-demand features'), featureTable(context, 'service', own, own.on_demand.map((one) => ({ ...one,
        told: one.expr, window: '' })), query)] : null,
      h('h2', null, 'Features'), table(['feature', 'type', 'window'], features)],
  };
}

// Features with how their values were spread in the last answers, asked every few seconds.
function featureTable({ project, until }, kind, own, features, query) {
  let open = query.get('feature');
  let known = new Map();
  const place = h('div');
  const draw = () => {
    const rows = features.flatMap((one) => {
      const spread = known.get(one.name) ?? {};
      const missing = Object.entries(spread.statuses ?? {}).filter(([status]) => status !== 'PRESENT').reduce((sum, [, n]) => sum + n, 0);
      const turn = () => { open = open === one.name ? null : one.name; draw(); document.getElementById(`f-${one.name}`)?.focus(); };
      const row = h('tr', null,
        h('td', null, h('button', { type: 'button', class: 'item plain', id: `f-${one.name}`, 'aria-expanded': String(open === one.name), onclick: turn }, one.name)),
        h('td', null, one.type), h('td', null, one.told), h('td', null, one.window),
        h('td', { class: 'n' }, spread.sampled ? share(missing, spread.sampled) : '–'),
        h('td', { class: 'n' }, spread.numbers ? number(spread.numbers.p50) : spread.top?.values[0]?.value ?? '–'),
        h('td', null, spread.numbers ? spark(spread.numbers.bars) : ''));
      return open === one.name ? [row, h('tr', { class: 'more' }, h('td', { colspan: 7 }, distribution(spread)))] : [row];
    });
    const held = document.activeElement?.id;
    show(place, table(['feature', 'type', 'what', 'window', { cell: 'without value', class: 'n', title: 'null, not found or withheld, of the last answers' },
      { cell: 'median, or most frequent', class: 'n' }, 'spread'], rows));
    if (held?.startsWith('f-')) document.getElementById(held)?.focus();
  };
  draw();
  if (project.answers) {
    let ended = false;
    const look = async () => {
      if (ended) return;
      if (!document.hidden) {
        try {
          const told = await ask(`/v1/console/values/${kind}/${encodeURIComponent(own.name)}`);
          known = new Map(told.map((one) => [one.name, one]));
          if (!ended) draw();
        } catch { /* The mark beside the search says that nothing answers. */ }
      }
      if (!ended) setTimeout(look, EVERY);
    };
    until(() => { ended = true; });
    look();
  }
  return place;
}

// YAML with its comments, keys and texts told apart.
export function yaml(text) {
  return text.split('\n').flatMap((line) => {
    const out = [];
    let rest = line;
    const key = /^(\s*(?:- )?)([A-Za-z_][\w-]*)(:)(?=\s|$)/.exec(rest);
    if (key) {
      out.push(key[1], h('span', { class: 'k' }, key[2]), key[3]);
      rest = rest.slice(key[0].length);
    }
    for (const part of rest.split(/("(?:[^"\\]|\\.)*"|'[^']*'|(?:^|(?<=\s))#.*$)/)) {
      if (!part) continue;
      if (part.startsWith('#')) out.push(h('span', { class: 'c' }, part));
      else if (part.startsWith('"') || part.startsWith("'")) out.push(h('span', { class: 's' }, part));
      else out.push(part);
    }
    return [...out, '\n'];
  });
}
