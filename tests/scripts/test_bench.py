#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/bench runs each server that it compares, and tells a row of each."""
import pathlib
import resource
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = sys.argv.pop(1)


def limit_descriptors():
    """As a fresh machine has it: the servers raise it themselves."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Bench(unittest.TestCase):
    def test_rows(self):
        run = subprocess.run(
            [ROOT / "scripts/bench", "--build", BUILD, "--rounds", "1", "--seconds", "0.2", "--only", "bursts",
             "--without", "Socket.IO on Node", "--without", "Flask-SocketIO"],
            capture_output=True, text=True, timeout=150, check=False, preexec_fn=limit_descriptors)
        self.assertEqual(run.returncode, 0, run.stderr)
        for load in ("bursts of 1", "bursts of 16", "bursts of 64"):
            for server in ("bare core", "gateway"):
                self.assertIn(f"| {load} | {server} |", run.stdout, run.stderr)


unittest.main()
