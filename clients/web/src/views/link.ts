// SPDX-License-Identifier: MIT
//
// The connection's lamp, its state in a word, why it is not connected, and the transport.
// Invariant: the texts of `connection-state` and `transport` are exactly the state and the name.

import type { LinkStatus } from '../net/gateway.ts';
import { byId, setText } from './dom.ts';

export class LinkView {
  readonly #box = byId('connection', HTMLElement);
  readonly #state = byId('connection-state', HTMLElement);
  readonly #reason = byId('connection-reason', HTMLElement);
  readonly #reconnect = byId('reconnect', HTMLButtonElement);
  readonly #transportBox = byId('transport-box', HTMLElement);
  readonly #transportFrom = byId('transport-from', HTMLElement);
  readonly #transport = byId('transport', HTMLElement);

  constructor(onReconnect: () => void) {
    this.#reconnect.addEventListener('click', onReconnect);
  }

  render(status: LinkStatus): void {
    this.#box.dataset['state'] = status.state;
    this.#box.title = status.clientId === null ? '' : `Client id ${status.clientId}`;
    setText(this.#state, status.state);
    setText(this.#reason, describe(status));
    this.#reconnect.hidden = status.state !== 'disconnected';

    const shown = status.state === 'connected' && status.transport !== null;
    this.#transportBox.hidden = !shown;
    this.#transportFrom.hidden = status.upgradedFrom === null;
    setText(this.#transportFrom, status.upgradedFrom ?? '');
    setText(this.#transport, shown ? status.transport! : '');
    this.#transportBox.dataset['transport'] = status.transport ?? '';
  }
}

function describe(status: LinkStatus): string {
  const attempt = status.attempt > 0 ? `attempt ${status.attempt}` : '';
  return [status.reason, attempt].filter((part) => part !== '').join(', ');
}
