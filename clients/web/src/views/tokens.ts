// SPDX-License-Identifier: MIT
//
// A payload's coloured pieces as nodes.

import type { Token } from '../model/payload.ts';
import { element } from './dom.ts';

export function tokenNodes(tokens: readonly Token[]): Node[] {
  return tokens.map(({ kind, text }) =>
    kind === 'punctuation'
      ? document.createTextNode(text)
      : element('span', { class: `t-${kind}`, text }),
  );
}
