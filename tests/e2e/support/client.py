# SPDX-License-Identifier: MIT
"""python-socketio against the gateway: client.py URL TRANSPORTS SESSION COUNT

Joins, prints "joined", collects so many events, checks that each came once, without a hole, and prints how
many came and over which transport. In which order it does not check: python-engineio runs the handler of each
message in a thread of its own.
"""
import sys
import threading

import socketio

url, transports, session, count = sys.argv[1], sys.argv[2].split(","), sys.argv[3], int(sys.argv[4])
client = socketio.Client(reconnection=False)
events = []
done = threading.Event()
failure = []


@client.on("*", namespace="/graph")
def on_any(event, *args):
    if args and isinstance(args[-1], str):
        events.append((event, args[0], args[-1]))
    if event == "blob" and args[0]["bytes"] != bytes([0, 1, 255, 128, 127]):
        failure.append(f"binary payload: {args[0]!r}")
    if len(events) >= count:
        done.set()


@client.event(namespace="/graph")
def disconnect():
    if not done.is_set():
        failure.append("disconnected")
        done.set()


client.connect(url, transports=transports, namespaces=["/graph"], wait_timeout=10)
answer = client.call("join_session", {"session_id": session}, namespace="/graph", timeout=10)
if answer["session_id"] != session or answer["client_id"] != client.get_sid("/graph"):
    sys.exit(f"joined: {answer!r}")
print("joined", flush=True)
if not done.wait(20):
    failure.append("not all events came")
seqs = sorted(int(event_id.split(".")[1]) for _, _, event_id in events)
if seqs != list(range(seqs[0], seqs[0] + len(seqs)) if seqs else []):
    failure.append(f"ids: {seqs}")
print(f"events {len(events)} transport {client.transport()}", flush=True)
client.disconnect()
if failure:
    sys.exit("; ".join(failure))
