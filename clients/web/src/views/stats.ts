// SPDX-License-Identifier: MIT
//
// The session in numbers, with the last minute's rate as a small curve.

import type { ActiveClients } from '../model/presence.ts';
import type { RateMeter } from '../model/rate.ts';
import { byId, setText } from './dom.ts';
import { formatCount, formatRate } from './format.ts';

const WIDTH = 120;
const HEIGHT = 24;
const MARGIN = 2;

export class StatsView {
  readonly #session = byId('joined-session', HTMLElement);
  readonly #clients = byId('active-clients', HTMLElement);
  readonly #received = byId('received', HTMLElement);
  readonly #rate = byId('rate', HTMLElement);
  readonly #peak = byId('spark-peak', HTMLElement);
  readonly #area = byId('spark-area', SVGPathElement);
  readonly #line = byId('spark-line', SVGPathElement);

  renderSession(session: string | null, pending: boolean): void {
    setText(this.#session, session ?? 'none');
    this.#session.title = session ?? '';
    this.#session.classList.toggle('pending', pending);
    this.#session.classList.toggle('absent', session === null);
  }

  renderClients(clients: ActiveClients): void {
    const { count, exact } = clients;
    setText(this.#clients, count === null ? '–' : `${exact ? '' : '~'}${formatCount(count)}`);
    this.#clients.title = exact ? '' : 'Others may have come or gone while the connection was lost';
    this.#clients.classList.toggle('absent', count === null);
  }

  renderReceived(received: number): void {
    setText(this.#received, formatCount(received));
  }

  renderRate(meter: RateMeter, now: number): void {
    setText(this.#rate, formatRate(meter.perSecond(now)));
    const history = meter.history(now);
    const peak = Math.max(...history);
    setText(this.#peak, peak > 0 ? `peak ${formatCount(peak)}` : '');
    const line = curve(history, Math.max(peak, 1));
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', `${line} L${WIDTH} ${HEIGHT} L0 ${HEIGHT} Z`);
  }
}

function curve(history: readonly number[], peak: number): string {
  const step = WIDTH / (history.length - 1);
  const points = history.map((count, index) => {
    const y = HEIGHT - MARGIN - (count / peak) * (HEIGHT - 2 * MARGIN);
    return `${(index * step).toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${points.join(' L')}`;
}
