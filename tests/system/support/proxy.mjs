// SPDX-License-Identifier: MIT
// A TCP proxy on the loopback that cuts, delays and refuses connections.

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
    this.server = net.createServer({ noDelay: true }, (near) => this.accept(near));
  }

  accept(near) {
    if (this.isShut || !this.target) return near.destroy();
    const far = net.connect({ port: this.target, host: '127.0.0.1', noDelay: true });
    const pair = { near, far };
    this.pairs.add(pair);
    this.pass(near, far);
    this.pass(far, near);
    for (const socket of [near, far]) {
      socket.on('error', () => {}); // the close says the rest
      socket.on('close', () => this.end(pair));
    }
  }

  /** Passes bytes on in order, each chunk no sooner than its delay is over. */
  pass(from, to) {
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
          to.once('drain', () => from.resume());
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
  }

  end(pair) {
    pair.near.destroy();
    pair.far.destroy();
    this.pairs.delete(pair);
  }

  /** Cuts that share of the connections, evenly over their age. */
  cut(share = 1) {
    [...this.pairs].forEach((pair, i) => {
      if (Math.floor((i + 1) * share) === Math.floor(i * share)) return;
      this.cuts++;
      this.end(pair);
    });
  }

  async stop() {
    this.isShut = true;
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }
}
