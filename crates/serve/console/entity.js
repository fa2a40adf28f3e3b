// One entity: its values, how far to believe each, and what each was made of.

import { ask, typed } from './ask.js';
import { badge, h, table } from './dom.js';
import { facts } from './definition.js';
import { count, instant, low, mood, seconds, value } from './words.js';

export function entity({ project, until }, query) {
  const place = h('div', { 'aria-live': 'polite' });
  if (!project.answers) {
    return { title: 'Entity', element: h('p', null, 'This process answers no lookups: open the console of one that runs as ',
      h('code', null, 'run'), ' or ', h('code', null, 'serve'), '.') };
  }
  if (project.services.length === 0) {
    return { title: 'Entity', element: h('p', null, 'The project has no feature service to ask.') };
  }
  const service = project.services.find((one) => one.name === query.get('service')) ?? project.services[0];
  const choice = h('select', { id: 'service' }, project.services.map((one) =>
    h('option', { value: one.name, selected: one === service }, one.name)));
  choice.addEventListener('change', () => { location.hash = `#/entity?service=${encodeURIComponent(choice.value)}`; });
  const columns = [...service.keys.map((key) => ({ ...key, of: 'entities' })), ...service.request_data.map((one) => ({ ...one, of: 'request_data' }))];
  const inputs = columns.map((column, at) => h('input', { id: `in-${at}`, value: query.get(column.name) ?? '', autocomplete: 'off', spellcheck: 'false',
    inputmode: column.type === 'string' ? null : 'decimal' }));
  const when = h('input', { id: 'as-of', value: query.get('as_of') ?? '', placeholder: 'now', autocomplete: 'off', size: 24 });
  let ended = false;
  until(() => { ended = true; });
  const look = async () => {
    place.replaceChildren(h('p', { class: 'quiet' }, 'Asking…'));
    let told;
    try {
      told = await lookup(service, columns, inputs, when.value.trim());
    } catch (error) {
      if (!ended) place.replaceChildren(h('p', { class: 'bad', role: 'alert' }, error.message));
      return;
    }
    if (!ended) place.replaceChildren(answer(project, service, columns, inputs, told));
  };
  const submit = (event) => {
    event.preventDefault();
    const asked = new URLSearchParams({ service: service.name });
    columns.forEach((column, at) => { if (inputs[at].value !== '') asked.set(column.name, inputs[at].value); });
    if (when.value.trim()) asked.set('as_of', when.value.trim());
    // The address says what was asked, so that it can be passed on.
    history.replaceState(null, '', `#/entity?${asked}`);
    look();
  };
  const form = h('form', { class: 'ask', onsubmit: submit },
    h('label', null, 'service', choice),
    columns.map((column, at) => h('label', null, h('span', null, column.name, h('small', null, ` ${column.type}${column.of === 'request_data' ? ', of the request' : ''}`)), inputs[at])),
    h('label', null, h('span', null, 'as of', h('small', null, ' RFC 3339')), when),
    h('button', { type: 'submit', class: 'primary' }, 'Look up'));
  if (service.keys.every((key) => query.has(key.name))) look();
  else queueMicrotask(() => inputs[0]?.focus());
  return { title: 'Entity', element: h('div', null, form, place) };
}

function lookup(service, columns, inputs, as_of) {
  const parts = (of) => columns.flatMap((column, at) => column.of === of
    ? [`${JSON.stringify(column.name)}:[${inputs[at].value === '' && of === 'request_data' ? 'null' : typed(inputs[at].value, column.type)}]`] : []).join(',');
  const more = as_of ? `,"as_of":${JSON.stringify(as_of)}` : '';
  return ask('/v1/features', `{"service":${JSON.stringify(service.name)},"entities":{${parts('entities')}},`
    + `"request_data":{${parts('request_data')}},"include_metadata":true${more}}`);
}

function answer(project, service, columns, inputs, told) {
  const [row] = told.rows;
  const evidence = h('div', { id: 'evidence', 'aria-live': 'polite' });
  const views = new Map((row.views ?? []).map((one) => [one.view, one]));
  const messages = new Map((row.messages ?? []).map((one) => [one.index, one.message]));
  const bounds = new Map((row.bounds ?? []).map((one) => [one.index, one]));
  const names = told.features ?? [];
  const rows = row.values.map((one, at) => {
    const own = service.features[at];
    const why = own ? h('button', { type: 'button', class: 'item plain why', onclick: () => explain(project, own, columns, inputs, told.as_of, evidence) }, 'explain') : '';
    const newest = own ? views.get(own.view)?.newest_event_time : null;
    const name = own ? h('a', { href: `#/view/${encodeURIComponent(own.view)}?feature=${encodeURIComponent(own.name)}` }, names[at] ?? own.name)
      : names[at] ?? service.on_demand[at - service.features.length]?.name;
    const flags = row.completeness[at].split('|').map((flag) => badge(low(flag), mood(flag)));
    const remark = [messages.get(at), bounds.has(at) ? bound(bounds.get(at)) : null].filter(Boolean).join('; ');
    return [name, { cell: value(one), class: 'value' }, badge(low(row.statuses[at]), mood(row.statuses[at])),
      [flags, remark ? h('small', null, ` ${remark}`) : ''],
      newest ? { cell: `${seconds((Date.parse(told.as_of) - Date.parse(newest)) / 1_000)} before`, title: newest } : '–', why];
  });
  return h('div', null,
    h('p', { class: 'quiet' }, `as of ${instant(told.as_of)}`, [...views.values()].map((one) =>
      one.warming_since ? `; ${one.view} is whole since ${instant(one.warming_since)}` : '')),
    table(['feature', 'value', 'status', 'completeness', 'newest event', ''], rows, { id: 'answer' }), evidence);
}

function bound(one) {
  if (one.relative !== undefined) return `within ${(one.relative * 100).toFixed(2)} %`;
  if (one.absolute !== undefined) return `within ${one.absolute}`;
  if (one.least_keys !== undefined) return `the ${one.least_keys} least keys only`;
  return one.edges_off_seconds !== undefined ? `edges off by ${one.edges_off_seconds} s` : '';
}

async function explain(project, own, columns, inputs, as_of, place) {
  const view = project.views.find((one) => one.name === own.view);
  const needed = project.entities.find((one) => one.name === view.entity).keys;
  place.replaceChildren(h('p', { class: 'quiet' }, 'Asking…'));
  try {
    const keys = needed.map((key) => {
      const at = columns.findIndex((column) => column.of === 'entities' && column.name === key.name);
      return `${JSON.stringify(key.name)}:${typed(inputs[at].value, key.type)}`;
    });
    const told = await ask('/v1/console/explain', `{"view":${JSON.stringify(own.view)},"feature":${JSON.stringify(own.name)},`
      + `"keys":{${keys.join(',')}},"as_of":${JSON.stringify(as_of)}}`);
    place.replaceChildren(evidence(told));
  } catch (error) {
    place.replaceChildren(h('p', { class: 'bad', role: 'alert' }, error.message));
  }
  place.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}

function evidence(told) {
  const { row } = told;
  const parts = [
    h('h2', null, `${told.view}:${told.feature}`),
    facts([
      ['value', h('b', null, value(told.value))],
      ['status', [badge(low(told.status), mood(told.status)), ' ', told.completeness.split('|').map((flag) => badge(low(flag), mood(flag)))]],
      ['window', told.window],
      ['from', told.after ? `after ${instant(told.after)}` : told.upto ? 'the beginning' : 'as the events decide'],
      ['up to', told.upto ? instant(told.upto) : null],
      ['stands until', told.valid_until ? instant(told.valid_until) : null],
      ['definition', h('code', null, told.definition)],
      ['remark', told.message],
    ]),
  ];
  if (row === null) parts.push(h('p', null, 'The online store has no row of this entity: nothing within reach has happened to it.'));
  else if (row.unreadable) parts.push(h('p', { class: 'bad' }, row.unreadable));
  else {
    const spans = row.spans.reduce((sum, one) => sum + Number(one.events), 0);
    parts.push(h('p', null, `${count(row.counted)} of the ${count(row.held)} events that its row holds one by one are in the window`,
      told.filtered ? ' and pass the feature’s condition' : '', spans ? `, and ${count(spans)} more in spans held merged` : '',
      row.folded ? `; events up to ${instant(row.folded)} are folded` : '', `. The row takes ${count(row.bytes)} bytes.`));
    if (row.events.length > 0) {
      parts.push(table(['event time', 'id', ...told.inputs], row.events.map((event) => [instant(event.time), event.id,
        ...event.inputs.map((one) => ({ cell: value(one), class: 'value' }))]), { id: 'events' }));
    }
    if (row.hidden) parts.push(h('p', { class: 'quiet' }, `and ${count(row.hidden)} before them`));
    if (row.spans.length > 0) {
      parts.push(table(['merged span', 'up to', { cell: 'events', class: 'n' }], row.spans.map((one) => [instant(one.first), instant(one.last), { cell: count(one.events), class: 'n' }])));
    }
  }
  return h('section', { class: 'panel', 'aria-label': 'Explanation' }, parts);
}
