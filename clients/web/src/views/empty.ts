// SPDX-License-Identifier: MIT
//
// What stands in the list's place while it is empty: where to begin, or what it waits for.

import { button, byId, copyFrom, element } from './dom.ts';

export interface EmptyHandler {
  onPick(session: string): void;
  onForget(): void;
}

export type EmptyState =
  | { readonly what: 'hidden' }
  | { readonly what: 'welcome'; readonly recents: readonly string[] }
  | { readonly what: 'waiting'; readonly session: string; readonly joined: boolean };

export class EmptyView {
  readonly #root = byId('empty', HTMLElement);
  readonly #handler: EmptyHandler;
  #drawn = '';

  constructor(handler: EmptyHandler) {
    this.#handler = handler;
  }

  render(state: EmptyState): void {
    const wanted = JSON.stringify(state);
    if (wanted === this.#drawn) {
      return;
    }
    this.#drawn = wanted;
    this.#root.hidden = state.what === 'hidden';
    this.#root.replaceChildren(...this.#content(state));
  }

  #content(state: EmptyState): Node[] {
    switch (state.what) {
      case 'hidden':
        return [];
      case 'welcome':
        return this.#welcome(state.recents);
      case 'waiting':
        return state.joined ? waiting(state.session) : joining(state.session);
    }
  }

  #welcome(recents: readonly string[]): Node[] {
    const intro: HTMLElement[] = [
      element('h1', { text: 'Watch a session live' }),
      element('p', {
        text:
          'Enter a session id above. Every event of that session appears here at the moment ' +
          'it is emitted, in order, with its sequence and payload.',
      }),
    ];
    if (recents.length > 0) {
      intro.push(this.#recents(recents));
    }
    return [
      ...intro,
      element('p', { class: 'hint', text: 'No session yet? Emit an event into one:' }),
      command(emitCommand('my-session')),
    ];
  }

  #recents(recents: readonly string[]): HTMLElement {
    const picks = recents.map((session) =>
      button(session, () => this.#handler.onPick(session), {
        class: 'recent',
        testId: 'recent',
        title: `Join ${session}`,
      }),
    );
    const forget = button('Forget these', () => this.#handler.onForget(), { class: 'quiet' });
    const box = element('div', { class: 'recents' }, ...picks, forget);
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', 'Recent sessions');
    return box;
  }
}

function joining(session: string): Node[] {
  return [element('p', { class: 'hint' }, 'Joining ', element('strong', { text: session }), ' …')];
}

function waiting(session: string): Node[] {
  return [
    element('p', { class: 'beat' }, element('span'), element('span'), element('span')),
    element(
      'p',
      {},
      'Joined ',
      element('strong', { text: session }),
      '. Its next event appears here.',
    ),
    element('p', { class: 'hint', text: 'To see one now, from a terminal:' }),
    command(emitCommand(session)),
  ];
}

// A session id needs no quoting: the gateway accepts none with other characters.
function emitCommand(session: string): string {
  return `talus emit ${session} hello '{"from": "the terminal"}'`;
}

function command(text: string): HTMLElement {
  const copy = button('Copy', () => void copyFrom(copy, text));
  return element('div', { class: 'command' }, element('code', { text }), copy);
}
