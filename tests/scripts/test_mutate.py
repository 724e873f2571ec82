#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of scripts/mutate: what it says of mutants of a tree of one file, which is compiled and run for real."""
import importlib.machinery
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/mutate"
loader = importlib.machinery.SourceFileLoader("mutate", str(SCRIPT))
mutate = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutate", loader))
loader.exec_module(mutate)

TEXT = "int twice(int a);\nint twice(int a)\n{\n    return a + a;\n}\n"
MAIN = "int twice(int a);\nint main(void)\n{\n    return twice(3) != 6;\n}\n"


class SmallTree(mutate.Tree):
    """x/a.c, of which x/a.c.o is made, and a test that links it."""

    def __init__(self, folder):
        self.root, self.build, self.scratch = (pathlib.Path(folder) / name for name in ("tree", "build", "tmp"))
        for path in (self.root / "x", self.build / "x", self.scratch):
            path.mkdir(parents=True)
        (self.root / "x/a.c").write_text(TEXT)
        (self.root / "main.c").write_text(MAIN)

    def compiles(self, targets):
        compiler = ["cc", "-O1", "-o"]
        return all(subprocess.run(command, cwd=self.root, stderr=subprocess.DEVNULL, check=False).returncode == 0 for command in (
            [*compiler, str(self.build / "x/a.c.o"), "-c", "x/a.c"],
            [*compiler, str(self.build / "test"), "main.c", str(self.build / "x/a.c.o")]))


def mutant(old, new):
    at = TEXT.index(old)
    return mutate.mutants.Mutant("x/a.c", "test", at, at + len(old), new)


class Verdicts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.tree = SmallTree(self.folder.name)
        self.assertTrue(self.tree.compiles([]))
        self.kept = mutate.keep_objects(self.tree, "x/a.c")
        self.test = {"name": "test", "target": "test", "command": [str(self.tree.build / "test")], "in": self.folder.name, "seconds": 0}

    def verdict_of(self, change):
        return mutate.try_mutant(self.tree, change, TEXT, [self.test], self.kept)[0]

    def test_the_object_without_a_fault_is_what_a_mutant_is_compared_with(self):
        same = mutant("a + a", "a * 2")  # to a compiler
        self.assertEqual(self.verdict_of(same), "same code")
        self.assertEqual(self.verdict_of(mutant("a + a", "a + 1")), "killed")
        self.assertEqual(self.verdict_of(same), "same code")

    def test_one_that_equals_the_one_before_it_counts(self):
        change = mutant("a + a", "6")
        self.assertEqual(self.verdict_of(change), "survived")
        self.assertEqual(self.verdict_of(change), "survived")

    def test_one_that_does_not_compile_is_invalid(self):
        self.assertEqual(self.verdict_of(mutant("a + a", "b")), "invalid")
        self.assertEqual((self.tree.root / "x/a.c").read_text(), TEXT)


unittest.main()
