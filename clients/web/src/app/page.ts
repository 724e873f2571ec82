// SPDX-License-Identifier: MIT
//
// The page's one controller: it hears the connection, the membership and the controls, changes
// the model, and lets the views draw it.
// Invariant: no event draws anything by itself; drawing happens in `#draw`, at most once a frame,
// and less often when a drawing took long, so a flood of events costs a bounded share of time.

import { parseEventId, textField, field, toBusEvent } from '../model/event.ts';
import { Feed, type Content } from '../model/feed.ts';
import { ActiveClients } from '../model/presence.ts';
import { RateMeter } from '../model/rate.ts';
import {
  GatewayConnection,
  type GatewayAddress,
  type GatewayHandler,
  type LinkStatus,
} from '../net/gateway.ts';
import { Membership, type MembershipHandler, type Refusal } from '../net/membership.ts';
import { byId, setText } from '../views/dom.ts';
import { EmptyView, type EmptyState } from '../views/empty.ts';
import { formatCount, plural } from '../views/format.ts';
import { LinkView } from '../views/link.ts';
import { ListView } from '../views/list.ts';
import { NoticeView } from '../views/notice.ts';
import { SessionForm } from '../views/session-form.ts';
import { StatsView } from '../views/stats.ts';
import { Toolbar } from '../views/toolbar.ts';
import { sessionOf, withSession } from './address.ts';
import type { RecentSessions } from './recents.ts';

const RATE_MS = 500;
// Drawing takes at most about a quarter of the time.
const REST_FACTOR = 3;
// As long as nothing but these came, what stands below them is worth more than the space.
const FEW_ROWS = 6;

export class LivePage implements GatewayHandler, MembershipHandler {
  readonly #feed = new Feed();
  readonly #rate = new RateMeter();
  readonly #clients = new ActiveClients();
  readonly #recents: RecentSessions;
  readonly #connection: GatewayConnection;
  readonly #membership: Membership;

  readonly #link = new LinkView(() => this.#connection.connect());
  readonly #notice = new NoticeView();
  readonly #stats = new StatsView();
  readonly #list = new ListView(this.#feed);
  readonly #kept = byId('kept', HTMLElement);
  readonly #form = new SessionForm({
    onJoin: (session) => this.#ask(session),
    onLeave: () => this.#ask(null),
  });
  readonly #empty = new EmptyView({
    onPick: (session) => this.#ask(session),
    onForget: () => {
      this.#recents.clear();
      this.#showRecents();
    },
  });
  readonly #toolbar = new Toolbar({
    onFilter: () => this.#list.setFilter(this.#toolbar.filter),
    onPause: () => this.#togglePause(),
    onClear: () => {
      this.#feed.clear();
      this.#drawSoon();
    },
  });

  /** The session whose events the list holds. */
  #listed: string | null = null;
  #drawing = false;
  #restUntil = 0;

  constructor(address: GatewayAddress, recents: RecentSessions) {
    this.#recents = recents;
    this.#connection = new GatewayConnection(address, this);
    this.#membership = new Membership(this.#connection, this, (delay, run) => {
      const timer = setTimeout(run, delay);
      return () => clearTimeout(timer);
    });
  }

  start(): void {
    window.addEventListener('popstate', () => this.#followAddress());
    document.addEventListener('keydown', (event) => this.#onShortcut(event));
    setInterval(() => this.#stats.renderRate(this.#rate, performance.now()), RATE_MS);
    this.#stats.renderRate(this.#rate, performance.now());
    this.#showRecents();
    this.#followAddress();
    if (this.#membership.desired === null) {
      this.#form.focus();
    }
    this.#connection.connect();
  }

  // The connection.

  onStatus(status: LinkStatus): void {
    this.#link.render(status);
  }

  onOpen(recovered: boolean): void {
    this.#membership.opened(recovered);
  }

  onClose(reason: string): void {
    this.#note('bad', `Disconnected: ${reason}`);
    this.#membership.closed();
    this.#clients.interrupted();
    this.#drawSoon();
  }

  onEvent(name: string, args: readonly unknown[]): void {
    switch (name) {
      case 'joined':
      case 'left':
      case 'pong':
        // The acknowledgements say the same, and say to which request.
        return;
      case 'error':
        this.#showError(args[0]);
        return;
      case 'gap':
        this.#onGap(args[0]);
        return;
      default:
        this.#onBusEvent(name, args);
    }
  }

  // The membership.

  onJoining(session: string): void {
    if (session !== this.#listed) {
      this.#feed.restart();
      this.#rate.reset();
      this.#listed = session;
    }
    this.#drawSoon();
  }

  onJoined(session: string, reply: unknown, again: boolean): void {
    const count = field(reply, 'active_clients');
    const offset = textField(reply, 'offset') ?? '';
    this.#clients.joined(typeof count === 'number' ? count : 1, textField(reply, 'client_id'));
    if (offset !== '') {
      this.#membership.noteEvent(offset);
    }
    this.#notice.hide();
    this.#recents.add(session);
    this.#showRecents();
    const newest = offset === '' ? 'no events yet' : `newest event ${offset}`;
    this.#note('good', `${again ? 'Joined again' : 'Joined'} ${session} · ${newest}`);
  }

  onRecovered(): void {
    this.#note('good', 'Connection recovered; what was missed follows');
  }

  onLeft(session: string): void {
    this.#clients.left();
    this.#note('plain', `Left ${session}`);
  }

  onRefused(session: string, refusal: Refusal, retrying: boolean): void {
    this.#notice.show(refusal);
    this.#note('bad', `Could not join ${session}${retrying ? '; trying again' : ''}`);
    if (!retrying) {
      this.#form.setMember(this.#membership.desired !== null);
    }
  }

  // The controls.

  #ask(session: string | null): void {
    const address = withSession(location.href, session);
    if (address !== location.href) {
      history.pushState(null, '', address);
    }
    this.#followAddress();
  }

  #followAddress(): void {
    const session = sessionOf(location.href);
    this.#form.setSession(session);
    this.#membership.request(session);
    this.#drawSoon();
  }

  #togglePause(): void {
    if (this.#feed.paused) {
      this.#feed.resume();
    } else {
      this.#feed.pause();
    }
    this.#drawSoon();
  }

  #onShortcut(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLElement && event.target.matches('input, textarea');
    if (typing || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === '/') {
      event.preventDefault();
      this.#toolbar.focusFilter();
    } else if (event.key === 'p') {
      this.#togglePause();
    }
  }

  // What arrives.

  #onBusEvent(type: string, args: readonly unknown[]): void {
    const event = toBusEvent(type, args);
    if (event.id !== null && parseEventId(event.id) !== null) {
      this.#membership.noteEvent(event.id);
    }
    if (!this.#feed.addEvent(event, Date.now())) {
      return;
    }
    this.#rate.add(performance.now());
    if (event.id === null) {
      this.#onPresence(type, event.payload);
    }
    this.#drawSoon();
  }

  // Presence of other gateways comes over the bus, with an id, and is not counted here.
  #onPresence(type: string, payload: unknown): void {
    const client = textField(payload, 'client_id');
    if (client !== null && textField(payload, 'session_id') === this.#membership.current) {
      if (type === 'session-connected') {
        this.#clients.connected(client);
      } else if (type === 'session-disconnected') {
        this.#clients.disconnected(client);
      }
    }
  }

  #onGap(payload: unknown): void {
    const gap = {
      after: textField(payload, 'after') ?? '',
      first: textField(payload, 'first') ?? '',
      reason: textField(payload, 'reason') ?? 'unknown',
    };
    this.#add({ what: 'gap', gap });
  }

  #showError(payload: unknown): void {
    this.#notice.show({
      code: textField(payload, 'code') ?? 'unknown',
      message: textField(payload, 'message') ?? 'The gateway reported an error without a message',
    });
  }

  #note(tone: 'good' | 'bad' | 'plain', text: string): void {
    if (this.#listed !== null) {
      this.#add({ what: 'note', tone, text });
    }
  }

  #add(content: Content): void {
    this.#feed.add(content, Date.now());
    this.#drawSoon();
  }

  // Drawing.

  #drawSoon(): void {
    if (this.#drawing) {
      return;
    }
    this.#drawing = true;
    const rest = this.#restUntil - performance.now();
    const frame = () => requestAnimationFrame(() => this.#draw());
    if (rest > 0) {
      setTimeout(frame, rest);
    } else {
      frame();
    }
  }

  #draw(): void {
    const began = performance.now();
    this.#drawing = false;
    this.#list.sync();
    this.#toolbar.render(this.#feed);
    const { desired } = this.#membership;
    document.title = desired === null ? 'Talus' : `${desired} · Talus`;
    this.#stats.renderSession(desired, this.#isPending());
    this.#stats.renderClients(this.#clients);
    this.#stats.renderReceived(this.#feed.received);
    this.#empty.render(this.#emptyState());
    setText(this.#kept, this.#keptText());
    const ended = performance.now();
    this.#restUntil = ended + (ended - began) * REST_FACTOR;
  }

  #isPending(): boolean {
    return this.#membership.desired !== this.#membership.current;
  }

  #emptyState(): EmptyState {
    const { desired } = this.#membership;
    if (this.#feed.fromBus > 0 || this.#feed.kept.size > FEW_ROWS) {
      return { what: 'hidden' };
    }
    return desired === null
      ? { what: 'welcome', recents: this.#recents.list }
      : { what: 'waiting', session: desired, joined: !this.#isPending() };
  }

  #keptText(): string {
    const limit = `The newest ${formatCount(this.#feed.limit)} are kept`;
    const { letGo } = this.#feed;
    return letGo === 0 ? limit : `${limit}; ${plural(letGo, 'older event', 'older events')} let go`;
  }

  #showRecents(): void {
    this.#form.setRecents(this.#recents.list);
    this.#drawSoon();
  }
}
