// SPDX-License-Identifier: MIT
//
// One row of the list. An event's row is a native disclosure, so it opens by mouse and keyboard;
// what it discloses is made when it is first opened.

import type { BusEvent } from '../model/event.ts';
import type { Content, Entry, Gap } from '../model/feed.ts';
import { forPreview, tokenize, toText } from '../model/payload.ts';
import { button, copyFrom, element } from './dom.ts';
import { formatTime } from './format.ts';
import { tokenNodes } from './tokens.ts';

const PREVIEW_LIMIT = 600;
const PRETTY_LIMIT = 200_000;

export function makeRow(entry: Entry): HTMLLIElement {
  const row = makeBody(entry);
  row.dataset['key'] = String(entry.key);
  return row;
}

function makeBody(entry: Entry): HTMLLIElement {
  switch (entry.what) {
    case 'event':
      return eventRow(entry.event, entry.at);
    case 'gap':
      return gapRow(entry.gap, entry.at);
    case 'note':
      return noteRow(entry, entry.at);
  }
}

function eventRow(event: BusEvent, at: number): HTMLLIElement {
  const line = element(
    'summary',
    { class: 'line' },
    element('time', { text: formatTime(at), testId: 'event-time' }),
    element('span', { class: 'type', text: event.type, title: event.type, testId: 'event-type' }),
    element('span', { class: 'number', text: event.seq ?? '–', testId: 'event-seq' }),
    element('span', { class: 'origin', text: originText(event), title: originTitle(event) }),
    element(
      'code',
      { class: 'payload', testId: 'event-payload' },
      ...tokenNodes(tokenize(forPreview(event.payload), { indent: 0, limit: PREVIEW_LIMIT })),
    ),
  );
  // The arrow keys move from row to row; a thousand tab stops would be a trap.
  line.tabIndex = -1;
  const details = element('details', {}, line);
  details.addEventListener('toggle', () => {
    if (details.open && details.childElementCount === 1) {
      details.append(eventDetail(event));
    }
  });

  const row = element('li', { class: 'row event', testId: 'event-row' }, details);
  row.dataset['type'] = event.type;
  row.dataset['kind'] = event.kind;
  row.dataset['eventId'] = event.id ?? '';
  row.classList.toggle('failed', event.failed);
  return row;
}

function originText(event: BusEvent): string {
  return event.id === null ? 'gateway' : (event.origin ?? event.id);
}

function originTitle(event: BusEvent): string {
  return event.id === null
    ? 'Sent by the gateway itself, so it has no event id'
    : `Event id ${event.id}`;
}

function eventDetail(event: BusEvent): HTMLElement {
  const copyPayload = button('Copy payload', () => {
    void copyFrom(copyPayload, toText(event.payload, { indent: 2, limit: Infinity }));
  });
  const bar = element('div', { class: 'detail-bar' }, copyPayload);
  const { id } = event;
  if (id !== null) {
    const copyId = button('Copy event id', () => void copyFrom(copyId, id));
    bar.append(copyId, element('span', { class: 'id', text: id }));
  }
  const pretty = tokenize(event.payload, { indent: 2, limit: PRETTY_LIMIT });
  return element(
    'div',
    { class: 'detail', testId: 'event-detail' },
    element('pre', {}, ...tokenNodes(pretty)),
    bar,
  );
}

const REASONS: Readonly<Record<string, string>> = {
  history: 'the history no longer reaches back that far',
  origin_lost: 'their origin is gone',
  refused: 'the gateway had to drop them: too large, too deep, or not expressible',
};

function gapRow(gap: Gap, at: number): HTMLLIElement {
  const row = element(
    'li',
    { class: 'row gap', testId: 'gap' },
    element('time', { text: formatTime(at) }),
    element(
      'span',
      {},
      element('strong', { text: missing(gap) }),
      ` ${gap.reason}${gap.reason in REASONS ? ` (${REASONS[gap.reason]})` : ''}`,
    ),
  );
  row.dataset['reason'] = gap.reason;
  return row;
}

function missing({ after, first }: Gap): string {
  const from = after === '' ? 'Events are missing' : `Events after ${after} are missing`;
  return first === '' ? `${from}:` : `${from}, up to ${first}:`;
}

function noteRow(note: Extract<Content, { what: 'note' }>, at: number): HTMLLIElement {
  const row = element(
    'li',
    { class: 'row note', testId: 'note' },
    element('time', { text: formatTime(at) }),
    element('span', { text: note.text }),
  );
  row.dataset['tone'] = note.tone;
  return row;
}
