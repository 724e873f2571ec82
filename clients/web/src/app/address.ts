// SPDX-License-Identifier: MIT
//
// What the page's own address says: the session, and where the gateway serves Socket.IO.
// Invariant: the gateway is always on the page's own origin; the address cannot lead elsewhere.

import type { GatewayAddress } from '../net/gateway.ts';

const DEFAULT_NAMESPACE = '/graph';

/** The session that the address names; null for none. */
export function sessionOf(address: string): string | null {
  const session = new URL(address).searchParams.get('session')?.trim() ?? '';
  return session === '' ? null : session;
}

/** The same address, naming that session or none. */
export function withSession(address: string, session: string | null): string {
  const url = new URL(address);
  if (session === null) {
    url.searchParams.delete('session');
  } else {
    url.searchParams.set('session', session);
  }
  return url.href;
}

/**
 * Socket.IO lies beside the page, unless `?path=` says otherwise; `?namespace=` names one other
 * than the default. Both follow the gateway's options of the same names.
 */
export function gatewayOf(address: string): GatewayAddress {
  const url = new URL(address);
  return {
    origin: url.origin,
    path: localPath(url.searchParams.get('path')) ?? new URL('socket.io/', url).pathname,
    namespace: localPath(url.searchParams.get('namespace')) ?? DEFAULT_NAMESPACE,
  };
}

function localPath(text: string | null): string | null {
  return text !== null && /^\/(?!\/)[\w./~-]*$/.test(text) ? text : null;
}
