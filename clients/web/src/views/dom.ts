// SPDX-License-Identifier: MIT
//
// The few helpers through which every view touches the document.
// Invariant: data becomes text nodes and attributes, never markup.

export interface ElementOptions {
  readonly class?: string;
  readonly text?: string;
  readonly title?: string;
  readonly testId?: string;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: ElementOptions = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (options.class !== undefined) {
    made.className = options.class;
  }
  if (options.text !== undefined) {
    made.textContent = options.text;
  }
  if (options.title !== undefined) {
    made.title = options.title;
  }
  if (options.testId !== undefined) {
    made.dataset['testid'] = options.testId;
  }
  made.append(...children);
  return made;
}

export function button(text: string, onClick: () => void, options: ElementOptions = {}) {
  const made = element('button', { ...options, text });
  made.type = 'button';
  made.addEventListener('click', onClick);
  return made;
}

/** The element of the page with that id; its absence is a mistake in index.html. */
export function byId<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) {
    throw new Error(`index.html has no ${type.name} with the id ${id}`);
  }
  return found;
}

/** Writes only what changes, so that an idle page does no layout. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) {
    target.textContent = text;
  }
}

/** Copies the text; the button says for a moment how that went. */
export async function copyFrom(source: HTMLButtonElement, text: string): Promise<void> {
  const label = source.dataset['label'] ?? source.textContent ?? '';
  source.dataset['label'] = label;
  const copied = await writeClipboard(text);
  source.textContent = copied ? 'Copied' : 'Not allowed';
  setTimeout(() => {
    source.textContent = label;
  }, 1500);
}

// The clipboard exists only for pages that the browser calls secure, and may be refused.
async function writeClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
