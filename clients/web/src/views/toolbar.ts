// SPDX-License-Identifier: MIT
//
// What of the list is shown: the kinds, which are its legend too, the filter, pause and clear.

import { KINDS, KIND_LABELS, type Kind } from '../model/event.ts';
import type { Feed, KindCounts } from '../model/feed.ts';
import { button, byId, element, setText } from './dom.ts';
import { formatCount } from './format.ts';

export interface ToolbarHandler {
  onFilter(): void;
  onPause(): void;
  onClear(): void;
}

/** Which events are shown; gaps and notes always are. */
export interface Filter {
  readonly text: string;
  readonly hidden: ReadonlySet<Kind>;
}

export class Toolbar {
  readonly #filter = byId('filter', HTMLInputElement);
  readonly #pause = byId('pause', HTMLButtonElement);
  readonly #pauseLabel = byId('pause-label', HTMLElement);
  readonly #held = byId('held', HTMLElement);
  readonly #hidden = new Set<Kind>();
  readonly #chips = new Map<Kind, { chip: HTMLButtonElement; count: HTMLElement }>();
  readonly #handler: ToolbarHandler;

  constructor(handler: ToolbarHandler) {
    this.#handler = handler;
    for (const kind of KINDS) {
      byId('kinds', HTMLElement).append(this.#makeChip(kind));
    }
    this.#filter.addEventListener('input', () => handler.onFilter());
    this.#filter.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        this.#filter.value = '';
        this.#filter.blur();
        handler.onFilter();
      }
    });
    this.#pause.addEventListener('click', () => handler.onPause());
    byId('clear', HTMLButtonElement).addEventListener('click', () => handler.onClear());
  }

  get filter(): Filter {
    return { text: this.#filter.value.trim().toLowerCase(), hidden: this.#hidden };
  }

  focusFilter(): void {
    this.#filter.focus();
    this.#filter.select();
  }

  render(feed: Feed): void {
    this.#renderCounts(feed.counts);
    this.#pause.setAttribute('aria-pressed', String(feed.paused));
    setText(this.#pauseLabel, feed.paused ? 'Resume' : 'Pause');
    this.#held.hidden = !feed.paused;
    setText(this.#held, `${formatCount(feed.held)} held`);
  }

  #renderCounts(counts: KindCounts): void {
    for (const [kind, { count }] of this.#chips) {
      setText(count, formatCount(counts[kind]));
    }
  }

  #makeChip(kind: Kind): HTMLElement {
    const count = element('span', { class: 'count' });
    const chip = button('', () => this.#toggle(kind), { class: 'chip', title: 'Show or hide' });
    chip.dataset['kind'] = kind;
    chip.setAttribute('aria-pressed', 'true');
    chip.append(
      element('span', { class: 'swatch' }),
      element('span', { text: KIND_LABELS[kind] }),
      count,
    );
    this.#chips.set(kind, { chip, count });
    return chip;
  }

  #toggle(kind: Kind): void {
    const shown = this.#hidden.delete(kind);
    if (!shown) {
      this.#hidden.add(kind);
    }
    this.#chips.get(kind)?.chip.setAttribute('aria-pressed', String(shown));
    this.#handler.onFilter();
  }
}
