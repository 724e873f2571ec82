// SPDX-License-Identifier: MIT
// A TCP proxy on the loopback that cuts, delays and refuses connections, and falls silent.

import net from 'node:net';
import { once } from 'node:events';

export class Proxy {
  /** `target`: a port, which may change (to 0 while there is none). */
  static async start(target = 0) {
    const proxy = new Proxy(target);
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  constructor(target) {
    this.target = target;
    this.delay = 0; // ms that bytes are under way
    this.isShut = false;
    this.pairs = new Set();
    this.cuts = 0;
    this.silences = 0; // connections that fell silent
    this.server = net.createServer({ noDelay: true }, (near) => this.accept(near));
  }

  accept(near) {
    if (this.isShut || !this.target) return near.destroy();
    const far = net.connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    const pair = { near, far, isSilent: false };
    this.pairs.add(pair);
    this.pass(pair, near, far);
    this.pass(pair, far, near);
    for (const socket of [near, far]) {
      socket.on('error', () => {}); // the close says the rest
      socket.on('close', () => pair.isSilent || this.end(pair));
    }
  }

  /** Passes bytes on in order, each chunk no sooner than its delay is over. */
  pass(pair, from, to) {
    const waiting = []; // {due, chunk}; chunk null: the end
    let timer = null;
    const work = () => {
      timer = null;
      while (waiting.length > 0 && waiting[0].due <= performance.now()) {
        const { chunk } = waiting.shift();
        if (to.destroyed) continue;
        if (!chunk) to.end();
        else if (!to.write(chunk) && !from.isPaused()) {
          from.pause();
          to.once('drain', () => pair.isSilent || from.resume());
        }
      }
      if (waiting.length > 0) timer = setTimeout(work, Math.max(1, waiting[0].due - performance.now()));
    };
    const add = (chunk) => {
      waiting.push({ due: performance.now() + this.delay, chunk });
      if (!timer) work();
    };
    from.on('data', add);
    from.on('end', () => add(null));
    to.on('close', () => clearTimeout(timer)); // else a long delay would keep the process alive
  }

  end(pair) {
    pair.near.destroy();
    pair.far.destroy();
    this.pairs.delete(pair);
  }

  /** Whether it refuses connections, or some of them are silent. */
  get isBroken() {
    return this.isShut || [...this.pairs].some(({ isSilent }) => isSilent);
  }

  /** That share of the connections, evenly over their age. */
  some(share) {
    return [...this.pairs].filter((_, i) => Math.floor((i + 1) * share) !== Math.floor(i * share));
  }

  cut(share = 1) {
    for (const pair of this.some(share)) {
      this.cuts++;
      if (this.cuts % 2) for (const socket of [pair.near, pair.far]) socket.resetAndDestroy(); // RST, no FIN
      this.end(pair);
    }
  }

  /**
   * Nothing passes any more on that share of the connections, not even their end: neither side hears
   * that the other has gone. `near`: 'hold', or 'cut', with which the side that connected knows at
   * once. Gives what ends it: a function that lets them go on, or ('cut') cuts them.
   */
  silence(share = 1, near = 'hold') {
    const silent = this.some(share).filter((pair) => !pair.isSilent);
    for (const pair of silent) {
      this.silences++;
      pair.isSilent = true;
      pair.near.pause();
      pair.far.pause();
      if (near === 'cut') pair.near.destroy();
    }
    return (how) => {
      for (const pair of silent) {
        pair.isSilent = false;
        if (how === 'cut' || pair.near.destroyed || pair.far.destroyed) this.end(pair);
        else for (const socket of [pair.near, pair.far]) socket.resume();
      }
    };
  }

  async stop() {
    this.isShut = true;
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
