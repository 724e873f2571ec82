// SPDX-License-Identifier: MIT
//
// The field and the buttons by which a session is chosen, with the recent ones at hand.
// Invariant: only an empty id is refused here. Whether an id is valid is the gateway's word.

import { byId, element } from './dom.ts';

export interface SessionFormHandler {
  onJoin(session: string): void;
  onLeave(): void;
}

export class SessionForm {
  readonly #form = byId('session-form', HTMLFormElement);
  readonly #input = byId('session-input', HTMLInputElement);
  readonly #leave = byId('leave', HTMLButtonElement);
  readonly #recents = byId('recent-sessions', HTMLDataListElement);

  constructor(handler: SessionFormHandler) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#input.value = this.#input.value.trim();
      if (this.#form.reportValidity()) {
        handler.onJoin(this.#input.value);
      }
    });
    this.#leave.addEventListener('click', () => handler.onLeave());
  }

  /** Shows what is asked for: the session's id, or an empty field. */
  setSession(session: string | null): void {
    this.#input.value = session ?? '';
    this.setMember(session !== null);
  }

  setMember(isMember: boolean): void {
    this.#leave.hidden = !isMember;
  }

  setRecents(sessions: readonly string[]): void {
    this.#recents.replaceChildren(
      ...sessions.map((session) => {
        const option = element('option');
        option.value = session;
        return option;
      }),
    );
  }

  focus(): void {
    this.#input.focus();
  }
}
