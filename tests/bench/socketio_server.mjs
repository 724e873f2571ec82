// SPDX-License-Identifier: MIT
// The Socket.IO server that scripts/bench compares with, as an application would write it: joins
// clients to rooms, and emits the events that come as lines `ROOM ["TYPE",DATA,"ID"]` to a Unix
// socket at the path that is its one argument. Node's default parser and WebSocket library, no
// compression.

import { createServer } from 'node:http';
import { createServer as createControl } from 'node:net';
import { createInterface } from 'node:readline';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, {
  transports: ['polling', 'websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});
const graph = io.of('/graph');

graph.on('connection', (socket) => {
  socket.on('join_session', ({ session_id }) => {
    socket.join(session_id);
    socket.emit('joined', { session_id, client_id: socket.id });
  });
});

const control = createControl((connection) => {
  createInterface({ input: connection }).on('line', (line) => {
    const space = line.indexOf(' ');
    const [type, data, id] = JSON.parse(line.slice(space + 1));
    graph.to(line.slice(0, space)).emit(type, data, id);
  });
  connection.on('error', () => {});
});

control.listen(process.argv[2], () => {
  http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    console.log(`socket.io listening on http://127.0.0.1:${http.address().port}`);
  });
});
