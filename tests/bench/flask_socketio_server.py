# SPDX-License-Identifier: MIT
"""The Flask-SocketIO server that scripts/bench compares with, on gevent: joins clients to rooms, and emits
the events that come as lines `ROOM ["TYPE",DATA,"ID"]` to a Unix socket at the path that is its one
argument."""
from gevent import monkey

monkey.patch_all()

import json
import os
import resource
import socket
import sys

import gevent
from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

app = Flask(__name__)
io = SocketIO(app, async_mode="gevent", cors_allowed_origins="*", http_compression=False)


@io.on("connect", namespace="/graph")
def on_connect():
    pass


@io.on("join_session", namespace="/graph")
def on_join(data):
    join_room(data["session_id"])
    emit("joined", {"session_id": data["session_id"], "client_id": request.sid})


def serve_control(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        gevent.spawn(read_events, connection)


def read_events(connection):
    for line in connection.makefile("r", encoding="utf-8"):
        room, array = line.split(" ", 1)
        kind, data, event_id = json.loads(array)
        io.emit(kind, (data, event_id), to=room, namespace="/graph")
        gevent.sleep(0)  # let clients be served between two lines of a burst


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gevent.spawn(serve_control, sys.argv[1])
    server = WSGIServer(("127.0.0.1", 0), app, handler_class=WebSocketHandler, log=None, backlog=4096)
    server.start()
    while not os.path.exists(sys.argv[1]):
        gevent.sleep(0.01)
    print(f"flask-socketio listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


main()
