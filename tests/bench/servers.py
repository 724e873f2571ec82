# SPDX-License-Identifier: MIT
"""The servers that scripts/bench measures, and one run of the bench against each."""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_SECONDS, RUN_SECONDS = 20, 240


class Failed(Exception):
    pass


def _gateway(build, folder):
    # One worker, since what it is compared with has one thread; a further option overrules that.
    return ([build / "bin/talus-gateway", "--listen", "127.0.0.1:0", "--workers", "1",
             "--presence", "never", "--log-level", "error"], ["--bus", f"ipc://{folder}/bus/*"], [])


def _lines(*command):
    """A server that takes the events as lines from a Unix socket."""
    return lambda build, folder: ([*command, f"{folder}/control"], [], ["--emit-to", f"unix:{folder}/control"])


def _bare_core(build, folder):
    return _lines(build / "tests/bare_core")(build, folder)


def _bare_chain(build, folder):
    return ([build / "tests/bare_core", "zmq", f"ipc://{folder}/zmq"], [], ["--emit-to", f"zmq:ipc://{folder}/zmq"])


def has_node():
    return bool(shutil.which("node")) and (HERE / "node_modules/socket.io").is_dir()


def has_flask():
    check = "import flask_socketio, gevent, geventwebsocket"
    return subprocess.run(["/usr/bin/python3", "-c", check], capture_output=True).returncode == 0


SERVERS = {
    "bare core": _bare_core,
    "bare chain": _bare_chain,
    "gateway": _gateway,
    "Socket.IO on Node": _lines("node", HERE / "socketio_server.mjs"),
    "Flask-SocketIO": _lines("/usr/bin/python3", HERE / "flask_socketio_server.py"),
}


@contextlib.contextmanager
def serving(name, build, gateway_options):
    """Starts a server; gives its URL and the bench's further options."""
    with tempfile.TemporaryDirectory(prefix="talus-bench-") as folder:
        os.mkdir(f"{folder}/bus", 0o700)
        command, bus, bench = SERVERS[name](build, folder)
        options = gateway_options if name == "gateway" else []
        child = subprocess.Popen([*command, *bus, *options], stdout=subprocess.PIPE, text=True)
        try:
            line = child.stdout.readline()
            if " listening on " not in line:
                raise Failed(f"{name} did not start")
            yield line.split(" listening on ")[1].strip(), [*bench, *bus]
        finally:
            child.terminate()
            try:
                child.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def run(name, build, options, gateway_options=()):
    """One run of the bench against a fresh server; gives what it found."""
    with serving(name, build, list(gateway_options)) as (url, more):
        command = [build / "bin/talus", "bench", "gateway", "--url", url, "--json", *more, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed("no result in time")
        if not done.stdout:
            raise Failed(done.stderr.strip() or f"status {done.returncode}")
        return json.loads(done.stdout)


def run_bus(build, options):
    command = [build / "bin/talus", "bench", "bus", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return json.loads(done.stdout)
