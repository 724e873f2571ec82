// SPDX-License-Identifier: MIT
//
// Starts the live page.

import { gatewayOf } from './app/address.ts';
import { LivePage } from './app/page.ts';
import { browserStore, RecentSessions } from './app/recents.ts';

new LivePage(gatewayOf(location.href), new RecentSessions(browserStore())).start();
