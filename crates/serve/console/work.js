// What runs, since when it is whole, and how far backfills and syncs have come.

import { ask } from './ask.js';
import { badge, h, show, table } from './dom.js';
import { standing, warming } from './overview.js';
import { count, instant, low, seconds, share } from './words.js';

const bar = (part) => h('span', { class: 'badges' }, h('progress', { max: 1, value: part }), ` ${Math.floor(part * 100)} %`);

export function work({ project, live, until }) {
  const place = h('div');
  until(live.watch((point) => {
    if (!point) return;
    const views = point.now.views?.by_name;
    const rows = project.views.map((view) => {
      const held = views?.[view.name];
      const part = warming(held, view);
      return [h('a', { href: `#/view/${encodeURIComponent(view.name)}` }, view.name), h('code', null, view.fingerprint),
        { cell: held ? held.generation : '–', class: 'n' },
        held?.whole === 'beginning' ? 'the beginning' : instant(held?.whole),
        view.reach_seconds === null ? 'without end' : seconds(view.reach_seconds), held ? bar(part) : '–',
        views ? standing(held, view) : badge('asked elsewhere', '')];
    });
    const jobs = Object.entries(point.now.live?.jobs ?? {});
    const backfills = jobs.filter(([, job]) => job.backfill).map(([name, { backfill }]) => [
      name, { cell: backfill.job, class: 'n' }, badge(low(backfill.phase), { done: 'good', refused: 'bad', stuck: 'bad' }[backfill.phase] ?? 'mid'),
      bar(backfill.events ? backfill.offered / backfill.events : backfill.phase === 'done' ? 1 : 0),
      { cell: `${count(backfill.offered)} of ${count(backfill.events)}`, class: 'n' },
      Object.entries(backfill.outcomes).map(([outcome, n]) => `${low(outcome)} ${share(n, backfill.offered)}`).join(', '), backfill.message ?? '']);
    const syncs = jobs.filter(([, job]) => job.sync).map(([name, { sync }]) => [
      name, badge(low(sync.phase), { done: 'good', failed: 'bad' }[sync.phase] ?? 'mid'), bar(sync.counts.rows ? sync.counts.offered / sync.counts.rows : 1),
      { cell: count(sync.counts.rows), class: 'n' }, { cell: count(sync.counts.refused), class: 'n' }, seconds(sync.counts.millis / 1_000), sync.message ?? '']);
    show(place,
      h('p', { class: 'quiet' }, `${project.views.length} feature views run by the definitions of when this process began. A view is complete when what it has taken in covers its longest window.`),
      table(['view', 'fingerprint', { cell: 'generation', class: 'n' }, 'whole since', 'longest window', 'covered', 'state'], rows),
      h('h2', null, 'Backfills'),
      backfills.length ? table(['view', { cell: 'job', class: 'n' }, 'phase', 'taken in', { cell: 'events', class: 'n' }, 'what became of them', ''], backfills)
        : h('p', null, 'None is under way, and none has been. ', h('code', null, 'tiderace backfill VIEW'), ' gives a view its past.'),
      h('h2', null, 'Syncs of batch views'),
      syncs.length ? table(['view', 'phase', 'taken in', { cell: 'rows', class: 'n' }, { cell: 'refused', class: 'n' }, 'took', ''], syncs) : h('p', null, 'There is no batch view that was synced.'));
  }));
  return { title: 'Plan', element: h('div', null, place, changes()) };
}

const SIGNS = { added: ['new', 'good'], removed: ['gone', 'bad'], renamed: ['renamed', 'mid'], changed: ['means something else', 'bad'], kept: ['kept otherwise', 'mid'] };

// What runs beside the lock file, as `tiderace plan` says it of the same definitions.
function changes() {
  const place = h('section', { id: 'changes', 'aria-label': 'Against the lock file' });
  const look = async () => {
    const head = [h('h2', null, 'Against the lock file'), h('p', { class: 'quiet' }, 'The definitions of when this process began, beside ',
      h('code', null, 'tiderace.lock'), ' as it is now. ', h('button', { type: 'button', onclick: look }, 'Look again'))];
    try {
      const told = await ask('/v1/console/changes');
      if (told.changes === null) {
        show(place, head, h('p', null, 'There is no lock file. ', h('code', null, 'tiderace plan PROJECT --write'), ' makes it.'));
      } else if (told.changes.length === 0) {
        show(place, head, h('p', null, badge('the same', 'good'), ' Everything means what the lock file says.'));
      } else {
        show(place, head, table(['what', 'name', 'change', 'before', 'now'], told.changes.map((one) => [
          one.subject, one.part ? `${one.name}:${one.part}` : one.name, badge(...SIGNS[one.kind]), one.before ?? one.from ?? '–', one.after ?? '–'])));
      }
    } catch (error) {
      show(place, head, h('p', { role: 'alert' }, error.message));
    }
  };
  look();
  return place;
}
