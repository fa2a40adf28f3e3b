// Records that were refused, with the reason why.

import { ask } from './ask.js';
import { badge, h, show, table } from './dom.js';
import { bytes, count, instant, low } from './words.js';

export function letters({ project, live, until }, name) {
  const sources = project.sources.filter((source) => !source.is_table);
  const source = sources.find((one) => one.name === name) ?? sources[0];
  if (!source) return { title: 'Dead letters', element: h('p', null, 'The project has no stream that could refuse a record.') };
  const reasons = h('p', { class: 'badges', id: 'reasons' });
  const place = h('div', null, h('p', { class: 'quiet' }, 'Reading…'));
  let seen = null;
  let ended = false;
  until(() => { ended = true; });
  const look = async () => {
    try {
      const told = await ask(`/v1/console/dead-letters/${encodeURIComponent(source.name)}`);
      if (ended) return;
      const open = [...place.querySelectorAll('details[open]')].map((one) => one.id);
      show(place, listed(source, told));
      for (const id of open) document.getElementById(id)?.setAttribute('open', '');
    } catch (error) {
      if (!ended) place.replaceChildren(h('p', { class: 'bad', role: 'alert' }, error.message));
    }
  };
  until(live.watch((point) => {
    const refused = point?.now.live?.sources[source.name]?.refused;
    if (!refused) return;
    const all = Object.values(refused).reduce((a, b) => a + b, 0);
    show(reasons, `${count(all)} since the beginning `, Object.entries(refused).map(([reason, n]) => badge(`${low(reason)} ${count(n)}`, 'bad')));
    // New ones are read when there are some.
    if (seen !== null && all !== seen) look();
    seen = all;
  }));
  look();
  const tabs = h('p', { class: 'chips' }, sources.map((one) => h('a', { class: 'chip', href: `#/letters/${encodeURIComponent(one.name)}`,
    'aria-current': one === source ? 'true' : null }, one.name)));
  return { title: 'Dead letters', element: h('div', null, tabs, reasons, place) };
}

function listed(source, told) {
  if (told.elsewhere) return h('p', null, 'They lie with the process that owns the state: open its console.');
  if (told.letters.length === 0) return h('p', null, `Nothing that ${source.name} refused is kept.`);
  const rows = told.letters.map((letter) => h('tr', null,
    h('td', null, instant(letter.broker_time)),
    h('td', { class: 'n' }, `${letter.partition}/${letter.offset}`),
    h('td', null, badge(low(letter.reason), 'bad'), letter.replayed ? badge('replayed', 'good') : null),
    h('td', null, h('details', { id: `l-${letter.partition}-${letter.offset}-${letter.reason}` },
      h('summary', { class: 'item' }, letter.detail),
      h('pre', { tabindex: 0 }, letter.payload),
      h('p', { class: 'quiet' }, letter.is_text ? null : 'base64; ', letter.is_cut ? 'the beginning of ' : null, bytes(letter.bytes),
        '; to send it again: ', h('code', null, `tiderace dead-letters replay ${source.name} ${letter.partition}/${letter.offset}`))))));
  return h('div', null, h('p', { class: 'quiet' }, `The newest ${told.letters.length}.`),
    table(['written', { cell: 'place', class: 'n' }, 'reason', 'particulars'], rows, { id: 'letters' }));
}
