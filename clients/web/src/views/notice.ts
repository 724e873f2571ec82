// SPDX-License-Identifier: MIT
//
// The one place where errors are shown: the latest, its code, and how often it came.
// Invariant: an error that comes as an event and again as an acknowledgement counts once.

import { button, byId, element, setText } from './dom.ts';

export interface Problem {
  readonly code: string;
  readonly message: string;
}

// The two ways of one error arrive in the same packet burst.
const SAME_MS = 250;

export class NoticeView {
  readonly #root = byId('notice', HTMLElement);
  readonly #code = element('code');
  readonly #message = element('span', { class: 'message', testId: 'error' });
  readonly #times = element('span', { class: 'times' });
  #shown: Problem | null = null;
  #count = 0;
  #at = 0;

  constructor() {
    const dismiss = button('Dismiss', () => this.hide(), { testId: 'dismiss' });
    this.#root.append(
      element('strong', { text: 'Error' }),
      this.#message,
      this.#times,
      this.#code,
      dismiss,
    );
  }

  show(problem: Problem): void {
    const now = performance.now();
    const same =
      this.#shown?.code === problem.code && this.#shown.message === problem.message;
    if (same && now - this.#at < SAME_MS) {
      return;
    }
    this.#count = same ? this.#count + 1 : 1;
    this.#shown = problem;
    this.#at = now;
    this.#message.dataset['code'] = problem.code;
    setText(this.#message, problem.message);
    setText(this.#code, problem.code);
    setText(this.#times, this.#count > 1 ? `${this.#count} times` : '');
    this.#root.hidden = false;
  }

  hide(): void {
    this.#root.hidden = true;
    this.#shown = null;
  }
}
