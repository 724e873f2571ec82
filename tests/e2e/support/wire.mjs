// SPDX-License-Identifier: MIT
// Raw connections: bytes out, and HTTP responses or WebSocket frames in, as they stand on the wire.

import { once } from 'node:events';
import net from 'node:net';
import { within } from './deadline.mjs';

const HEAD_END = '\r\n\r\n';

/** A TCP connection. What arrives is kept until it is taken; each wait ends by the deadline. */
export class Wire {
  static async connect(port) {
    const wire = new Wire(net.connect(port, '127.0.0.1'));
    await within(once(wire.socket, 'connect'), 'connection');
    return wire;
  }

  constructor(socket) {
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.isOver = false;
    this.error = undefined;
    this.check = () => {};
    socket.setNoDelay(true);
    socket.on('data', (data) => {
      this.bytes = Buffer.concat([this.bytes, data]);
      this.check();
    });
    socket.on('end', () => {
      this.isOver = true;
      this.check();
    });
    socket.on('error', (error) => {
      this.isOver = true;
      this.error = error;
      this.check();
    });
  }

  write(...parts) {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  /** Sends a request; gives its text's length. `body` undefined: none, and no Content-Length. */
  request(method, path, { headers = {}, body, version = '1.1' } = {}) {
    const lines = version === '1.0' ? [] : ['Host: server.example'];
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
    this.write(`${method} ${path} HTTP/${version}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n${body ?? ''}`);
  }

  /** Waits until `take(bytes)` gives `{value, size}`, and takes those bytes out. */
  async take(what, take) {
    const found = new Promise((resolve, reject) => {
      this.check = () => {
        const result = take(this.bytes);
        if (result) {
          this.bytes = this.bytes.subarray(result.size);
          resolve(result.value);
        } else if (this.isOver) {
          reject(new Error(`the connection ended, no ${what}: ${this.error ?? ''} ${JSON.stringify(this.bytes.toString('latin1'))}`));
        }
      };
      this.check();
    });
    try {
      return await within(found, what);
    } finally {
      this.check = () => {};
    }
  }

  /** The next response: `{status, headers, text, body}`. `hasBody` false: it answers a HEAD. */
  response({ hasBody = true } = {}) {
    return this.take('response', (bytes) => takeResponse(bytes, hasBody));
  }

  /** The next WebSocket frame: `{opcode, fin, payload, text}`. */
  frame() {
    return this.take('frame', takeFrame);
  }

  /** The text of the next frame, which must be a text frame. */
  async text() {
    const { opcode, text } = await this.frame();
    if (opcode !== OPCODE.TEXT) throw new Error(`opcode ${opcode} instead of text: ${text}`);
    return text;
  }

  /** The next frame, which must be a close frame: `{code, reason}`; code undefined: an empty one. */
  async closeFrame() {
    const { opcode, payload, text } = await this.frame();
    if (opcode !== OPCODE.CLOSE) throw new Error(`opcode ${opcode} instead of close: ${text}`);
    if (payload.length === 0) return { code: undefined, reason: '' };
    return { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
  }

  /** Waits for the server to close; gives what it still sent. */
  async end() {
    await within(
      new Promise((resolve) => {
        this.check = () => this.isOver && resolve();
        this.check();
      }),
      'end of the connection',
    );
    return this.bytes;
  }

  close() {
    this.socket.destroy();
  }

  reset() {
    this.socket.resetAndDestroy();
  }
}

function takeResponse(bytes, hasBody) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [first, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)[1]);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    if (name in headers) throw new Error(`${name} twice in ${lines}`);
    headers[name] = line.slice(colon + 1).trim();
  }
  const start = end + HEAD_END.length;
  const isBare = !hasBody || status < 200 || status === 204 || status === 304;
  const size = isBare ? 0 : Number(headers['content-length']);
  if (bytes.length < start + size) return undefined;
  const body = Buffer.from(bytes.subarray(start, start + size));
  return { value: { status, headers, body, text: body.toString() }, size: start + size };
}

// ---- WebSocket

export const OPCODE = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };

function takeFrame(bytes) {
  if (bytes.length < 2) return undefined;
  let size = bytes[1] & 0x7f;
  let start = 2;
  if (bytes[1] & 0x80) throw new Error('a masked frame from a server');
  if (size === 126) {
    if (bytes.length < 4) return undefined;
    size = bytes.readUInt16BE(2);
    start = 4;
  } else if (size === 127) {
    if (bytes.length < 10) return undefined;
    size = Number(bytes.readBigUInt64BE(2));
    start = 10;
  }
  if (bytes.length < start + size) return undefined;
  const payload = Buffer.from(bytes.subarray(start, start + size));
  const value = { opcode: bytes[0] & 0x0f, fin: bytes[0] >> 7 === 1, payload, text: payload.toString() };
  if (bytes[0] & 0x70) throw new Error('a frame with reserved bits');
  return { value, size: start + size };
}

/** A client's frame. `size`: the length that it claims, whatever the payload's is. */
export function frame(opcode, payload = '', { fin = true, masked = true, rsv = 0, size } = {}) {
  const bytes = Buffer.from(payload);
  const length = size ?? bytes.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const mask = masked ? [0x37, 0xfa, 0x21, 0x3d] : [];
  const flag = masked ? 0x80 : 0;
  if (length < 126) {
    head.push(flag | length);
  } else if (length < 65536) {
    head.push(flag | 126, length >> 8, length & 0xff);
  } else {
    const long = Buffer.alloc(8);
    long.writeBigUInt64BE(BigInt(length));
    head.push(flag | 127, ...long);
  }
  const data = masked ? bytes.map((byte, i) => byte ^ mask[i % 4]) : bytes;
  return Buffer.concat([Buffer.from([...head, ...mask]), data]);
}

export const text = (payload, options) => frame(OPCODE.TEXT, payload, options);

export const closeFrame = (code, reason = '') =>
  frame(OPCODE.CLOSE, code === undefined ? '' : Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]));

/** The headers of an opening handshake (the key is RFC 6455's example). */
export const HANDSHAKE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
