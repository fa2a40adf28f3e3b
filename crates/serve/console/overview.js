// How it is: what comes in, what is asked, how fresh the answers are.

import { lines } from './chart.js';
import { badge, h, show, table } from './dom.js';
import { count, instant, low, mood, rate, seconds, share } from './words.js';

// Records of a source that were not read yet; null where that cannot be told.
export const unread = (held) => {
  const lags = Object.values(held?.lags ?? {});
  return lags.length ? sum(lags.map((lag) => lag.records)) : null;
};

const sum = (object) => Object.values(object ?? {}).filter((n) => n !== null).reduce((a, b) => a + b, 0);
const perSecond = (v) => v === null ? '–' : `${rate(v)}/s`;
const link = (kind, name) => h('a', { href: `#/${kind}/${encodeURIComponent(name)}` }, name);

export function overview({ project, live, until }) {
  const tiles = h('div', { class: 'tiles', id: 'tiles' });
  const charts = [
    ['live', lines('Records read', perSecond, 'by source'), (point) => point.read],
    ['serving', lines('Lookups', perSecond, 'by service'), (point) => busy(point)],
    ['serving', lines('Latency of lookups', seconds, 'inside the server'), (point) => point.latency],
    ['live', lines('Freshness', seconds, 'from a change to its publication'), (point) => published(point.now)],
    ['serving', lines('Lag', seconds, 'how long ago rows were whole, by view'), (point) => lags(point.now)],
    ['live', lines('Lag in records', count, 'not read yet, by source'), (point) => behind(point.now)],
    ['live', lines('Age of the newest event', seconds, 'by source, on the clock of events'), (point) => ages(point)],
  ];
  const shown = charts.filter(([part]) => part === 'live' ? project.role !== 'serve' : project.answers);
  const sources = h('section', { 'aria-label': 'Sources' });
  const views = h('section', { 'aria-label': 'Views' });
  const services = h('section', { 'aria-label': 'Services' });
  const draw = (point) => {
    if (!point) return;
    show(tiles, tilesOf(point, project));
    for (const [, chart, of] of shown) {
      const names = new Set(live.history.flatMap((one) => Object.keys(of(one))));
      chart.draw([...names].map((name) => ({ name, points: live.history.map((one) => [one.at, of(one)[name] ?? null]) })));
    }
    if (point.now.live) show(sources, h('h2', null, 'Sources'), sourceTable(point, project));
    show(views, h('h2', null, 'Feature views'), viewTable(point, project));
    if (point.now.serving) show(services, h('h2', null, 'Feature services'), serviceTable(point, project));
  };
  // Once it is on the page: how wide a chart is, is not known before.
  queueMicrotask(() => until(live.watch(draw)));
  return { title: 'Overview', element: h('div', null, tiles,
    h('div', { class: 'charts' }, shown.map(([, chart]) => chart.element)), sources, views, services) };
}

const busy = (point) => Object.fromEntries(Object.entries(point.asked)
  .filter(([name, n]) => !name.startsWith('(') || n > 0));

function published(now) {
  const micros = now.live?.publish_micros;
  return micros ? { p50: micros.p50 / 1e6, p99: micros.p99 / 1e6 } : {};
}

const lags = (now) => Object.fromEntries(Object.entries(now.views?.by_name ?? {})
  .map(([name, held]) => [name, held ? held.lag_seconds : null]));

const behind = (now) => Object.fromEntries(Object.entries(now.live?.sources ?? {}).map(([name, held]) => [name, unread(held)]));

const ages = (point) => Object.fromEntries(Object.entries(point.now.live?.sources ?? {})
  .map(([name, held]) => [name, held.newest ? (point.wall - Date.parse(held.newest)) / 1_000 : null]));

function tilesOf(point, project) {
  const { now } = point;
  const tile = (id, name, value, note, kind) => h('div', { class: `tile ${kind ?? ''}`, id: `tile-${id}` },
    h('span', null, name), h('b', null, value), h('small', null, note));
  const out = [];
  if (now.live) {
    const sources = Object.values(now.live.sources);
    const letters = sum(sources.map((one) => sum(one.refused)));
    const read = sum(sources.map((one) => one.outcomes.read ?? 0));
    out.push(tile('read', 'Read', `${rate(sum(point.read))}/s`, `${count(read)} records in all`));
    out.push(tile('letters', 'Dead letters', count(letters), read ? `${share(letters, read)} of all records` : '', letters ? 'mid' : ''));
    const micros = now.live.publish_micros;
    out.push(tile('fresh', 'Fresh within', seconds(micros ? micros.p99 / 1e6 : null), 'from a change to its publication, p99'));
    out.push(tile('owed', 'Rows owed', count(now.live.owed), `to the online store; ${count(now.live.published)} published`));
  }
  if (now.serving) {
    const calls = sum(Object.values(now.serving.lookups).map((one) => sum(one.calls)));
    out.push(tile('asked', 'Lookups', `${rate(sum(point.asked))}/s`, `${count(calls)} in all`));
    out.push(tile('latency', 'Answered within', seconds(point.latency.p99), 'p99 of the last second'));
    const views = Object.values(now.views.by_name ?? {});
    const bad = views.filter((one) => !one || one.stale).length;
    out.push(tile('views', 'Feature views', bad ? `${bad} of ${project.views.length} behind` : `${project.views.length} up to date`,
      now.views.unready ?? '', bad ? 'bad' : 'good'));
  }
  return out;
}

function sourceTable(point, project) {
  const rows = project.sources.filter((source) => point.now.live.sources[source.name] || !source.is_table).map((source) => {
    const held = point.now.live.sources[source.name];
    const outcomes = held?.outcomes ?? {};
    const letters = sum(held?.refused);
    return [link('source', source.name), source.stream, { cell: rate(point.read[source.name] ?? 0), class: 'n' },
      { cell: count(outcomes.read ?? 0), class: 'n' }, { cell: count(outcomes.duplicate ?? 0), class: 'n' },
      { cell: letters ? h('a', { href: `#/letters/${source.name}` }, count(letters)) : '0', class: 'n' },
      { cell: unread(held) === null ? '–' : count(unread(held)), class: 'n' }, instant(held?.newest), held?.stopped ? badge('stopped', 'bad') : held?.losses ? badge(`${held.losses} losses`, 'bad') : badge('reading', 'good')];
  });
  return table(['source', 'stream', { cell: 'read/s', class: 'n' }, { cell: 'read', class: 'n' }, { cell: 'copies', class: 'n' },
    { cell: 'refused', class: 'n' }, { cell: 'not read', class: 'n' }, 'newest event', 'state'], rows);
}

export function standing(held, view) {
  if (held === undefined) return badge('not known', 'mid');
  if (held === null) return badge('unavailable', 'bad');
  if (held.stale) return badge(`stale, ${seconds(held.lag_seconds)} behind`, 'bad');
  if (held.whole === null) return badge('nothing consumed yet', 'mid');
  if (held.whole !== 'beginning' && warming(held, view) < 1) return badge('warming', 'mid');
  return badge('complete', 'good');
}

// How much of a view's longest window is covered.
export function warming(held, view, now = Date.now()) {
  if (!held || held.whole === null) return 0;
  if (held.whole === 'beginning') return 1;
  if (view.reach_seconds === null) return 0;
  return view.reach_seconds === 0 ? 1 : Math.min(1, Math.max(0, (now - Date.parse(held.whole)) / 1_000 / view.reach_seconds));
}

function viewTable(point, project) {
  const rows = project.views.map((view) => [link('view', view.name), link('source', view.source),
    { cell: count(view.features.length), class: 'n' }, { cell: rate(point.applied[view.name] ?? (point.now.live ? 0 : null)), class: 'n' },
    { cell: seconds(point.now.views?.by_name?.[view.name]?.lag_seconds), class: 'n' }, view.owner ?? '–',
    point.now.views ? standing(point.now.views.by_name?.[view.name], view) : badge('asked elsewhere', '')]);
  return table(['view', 'source', { cell: 'features', class: 'n' }, { cell: 'applied/s', class: 'n' }, { cell: 'lag', class: 'n' }, 'owner', 'state'], rows);
}

function serviceTable(point) {
  const rows = Object.entries(point.now.serving.lookups).filter(([name, held]) => !name.startsWith('(') || sum(held.calls) > 0)
    .map(([name, held]) => {
      const values = sum(held.statuses);
      const parts = Object.entries(held.statuses).map(([status, n]) => badge(`${low(status)} ${share(n, values)}`, mood(status)));
      const flags = Object.entries(held.incomplete).map(([flag, n]) => badge(`${low(flag)} ${share(n, values)}`, mood(flag)));
      const calls = sum(held.calls);
      const errors = calls - (held.calls.OK ?? 0);
      return [name.startsWith('(') ? name : link('service', name), { cell: rate(point.asked[name] ?? 0), class: 'n' }, { cell: count(calls), class: 'n' },
        { cell: errors ? badge(count(errors), 'bad') : '0', class: 'n' },
        { cell: held.calls.OK ? seconds(held.micros / held.calls.OK / 1e6) : '–', class: 'n' }, h('span', { class: 'badges' }, parts, flags)];
    });
  return table(['service', { cell: 'lookups/s', class: 'n' }, { cell: 'lookups', class: 'n' }, { cell: 'errors', class: 'n' }, { cell: 'mean', class: 'n' }, 'values, since the start'], rows);
}
