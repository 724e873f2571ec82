// SPDX-License-Identifier: MIT
//
// Draws the feed: what came is appended, what was let go is removed, nothing else is touched.
// Invariants: after `sync` the rows are exactly the feed's kept entries, in order. The list
// follows the newest row until the reader scrolls away or opens a row, and again once the reader
// is back at the end.

import type { Entry, Feed } from '../model/feed.ts';
import { byId } from './dom.ts';
import { makeRow } from './row.ts';
import type { Filter } from './toolbar.ts';

// Close enough to the end, in pixels, to count as being there.
const END_SLACK = 8;
// More rows than this at once are not worth a flash each.
const FLASH_LIMIT = 12;

export class ListView {
  readonly #feed: Feed;
  readonly #scroller = byId('events', HTMLElement);
  readonly #rows = byId('rows', HTMLOListElement);
  readonly #newest = byId('newest', HTMLButtonElement);
  #filter: Filter = { text: '', hidden: new Set() };
  #epoch = 0;
  #lastKey = 0;
  #following = true;
  #revealing = false;

  constructor(feed: Feed) {
    this.#feed = feed;
    this.#scroller.addEventListener('scroll', () => this.#onScroll(), { passive: true });
    this.#scroller.addEventListener('keydown', (event) => this.#onKey(event));
    this.#rows.addEventListener('toggle', (event) => this.#onToggle(event), true);
    this.#newest.addEventListener('click', () => this.#toEnd());
  }

  sync(): void {
    if (this.#epoch !== this.#feed.epoch) {
      this.#epoch = this.#feed.epoch;
      this.#rows.replaceChildren();
      this.#setFollowing(true);
    }
    this.#removeOld();
    this.#appendNew();
  }

  setFilter(filter: Filter): void {
    this.#filter = filter;
    this.sync();
    let index = 0;
    for (const entry of this.#feed.kept) {
      (this.#rows.children[index] as HTMLElement).hidden = !this.#matches(entry);
      index += 1;
    }
    if (this.#following) {
      this.#toEnd();
    }
  }

  #removeOld(): void {
    const firstKey = this.#feed.kept.at(0)?.key ?? Infinity;
    for (
      let row = this.#rows.firstElementChild;
      row !== null && keyOf(row) < firstKey;
      row = this.#rows.firstElementChild
    ) {
      row.remove();
    }
  }

  #appendNew(): void {
    const fresh = this.#entriesAfter(this.#lastKey);
    if (fresh.length === 0) {
      return;
    }
    const batch = document.createDocumentFragment();
    for (const entry of fresh) {
      const row = makeRow(entry);
      row.hidden = !this.#matches(entry);
      row.classList.toggle('fresh', fresh.length <= FLASH_LIMIT);
      batch.append(row);
    }
    this.#rows.append(batch);
    this.#lastKey = fresh[fresh.length - 1]!.key;
    if (this.#following) {
      this.#toEnd();
    } else {
      this.#offerNewest();
    }
  }

  #entriesAfter(key: number): Entry[] {
    const { kept } = this.#feed;
    let index = kept.size;
    while (index > 0 && kept.at(index - 1)!.key > key) {
      index -= 1;
    }
    return Array.from({ length: kept.size - index }, (_, step) => kept.at(index + step)!);
  }

  #matches(entry: Entry): boolean {
    if (entry.what !== 'event') {
      return true;
    }
    const { type, kind } = entry.event;
    return !this.#filter.hidden.has(kind) && type.toLowerCase().includes(this.#filter.text);
  }

  #toEnd(): void {
    this.#setFollowing(true);
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  // Showing an opened row may scroll to the end, which is not the reader's wish to follow.
  #onScroll(): void {
    if (this.#revealing) {
      this.#revealing = false;
      return;
    }
    this.#setFollowing(this.#isAtEnd());
  }

  #isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight <= END_SLACK;
  }

  #setFollowing(following: boolean): void {
    this.#following = following;
    this.#offerNewest();
  }

  #offerNewest(): void {
    this.#newest.hidden = this.#following || this.#isAtEnd();
  }

  // Someone who opens a row is reading it; it must not run away.
  #onToggle(event: Event): void {
    if (event.target instanceof HTMLDetailsElement && event.target.open) {
      const opened = event.target;
      this.#setFollowing(false);
      // The row fills itself after this; a frame later it has its height.
      requestAnimationFrame(() => this.#reveal(opened));
    }
  }

  #reveal(opened: HTMLElement): void {
    const before = this.#scroller.scrollTop;
    opened.scrollIntoView({ block: 'nearest' });
    this.#revealing = this.#scroller.scrollTop !== before;
    this.#offerNewest();
  }

  #onKey(event: KeyboardEvent): void {
    const target = this.#targetOf(event.key);
    if (target !== null && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      target.focus();
      target.scrollIntoView({ block: 'nearest' });
    }
  }

  #targetOf(key: string): HTMLElement | null {
    const lines = this.#rows.querySelectorAll<HTMLElement>('.row:not([hidden]) > details > .line');
    const active = document.activeElement?.closest('.line');
    const at = active ? Array.prototype.indexOf.call(lines, active) : -1;
    switch (key) {
      case 'ArrowDown':
        return lines[at < 0 ? 0 : at + 1] ?? null;
      case 'ArrowUp':
        return lines[at < 0 ? lines.length - 1 : at - 1] ?? null;
      case 'Home':
        return lines[0] ?? null;
      case 'End':
        return lines[lines.length - 1] ?? null;
      default:
        return null;
    }
  }
}

function keyOf(row: Element): number {
  return Number((row as HTMLElement).dataset['key']);
}
