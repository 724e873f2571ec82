#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of scripts/check_docs: which names and links of a document it finds wrong."""
import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/check_docs"
loader = importlib.machinery.SourceFileLoader("check_docs", str(SCRIPT))
check_docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_docs", loader))
loader.exec_module(check_docs)

NAMES = check_docs.Names(["README.md", "docs/style.md", "bus/src/codec/wire.c", "bus/src/codec/wire.h"])


def paths(text):
    return [each.rsplit(" ", 1)[1] for each in
            check_docs.path_problems("docs/x.md", text, check_docs.quoted, NAMES, needs_slash=False)]


def comments(text):
    return list(check_docs.path_problems("bus/x.c", text, check_docs.in_comments, NAMES, needs_slash=True))


class Paths(unittest.TestCase):
    def test_what_exists_is_in_order(self):
        self.assertEqual(paths("`bus/src/codec/` `bus/src/codec/wire.{c,h}` `codec/wire.c` `wire.h` `bus/*/codec/*.c` `README.md`"), [])

    def test_what_is_gone_is_named(self):
        self.assertEqual(paths("`bus/src/gone/` `bus/src/codec/wire.{c,cpp}` `codec/gone.c` `gone.h` `bus/*/gone/*.c`"),
                         ["bus/src/gone/", "bus/src/codec/wire.cpp", "codec/gone.c", "gone.h", "bus/*/gone/*.c"])

    def test_what_is_no_path_is_left_alone(self):
        self.assertEqual(paths("`SESSION/TYPE` `/socket.io/` `build/asan` `talus_emit` `a b/c.h` `int x.c = 1`"), [])

    def test_comments_are_read_and_code_is_not(self):
        self.assertEqual(comments('// docs/gone.md tells.\n#include "bus/gone.h"\n// (docs/style.md, "x")\n'),
                         ["bus/x.c:1: there is no docs/gone.md"])
        self.assertEqual(comments("// see bus/gone.c\n"), ["bus/x.c:1: there is no bus/gone.c"])


class Links(unittest.TestCase):
    def problems(self, text):
        return list(check_docs.link_problems("README.md", text, check_docs.Names(check_docs.files_of_the_tree())))

    def test_what_exists_is_in_order(self):
        self.assertEqual(self.problems("[a](docs/style.md) [b](https://a.example/x) [c](docs/style.md#names) [d](docs/)"), [])

    def test_links_to_nothing_are_named(self):
        self.assertEqual(self.problems("\n[a](docs/gone.md)"), ["README.md:2: the link docs/gone.md leads to no file"])
        self.assertEqual(self.problems("[a](docs/style.md#gone)"), ["README.md:1: the link docs/style.md#gone leads to no heading"])

    def test_what_is_in_a_block_of_code_is_left_alone(self):
        self.assertEqual(self.problems("```\n[a](docs/gone.md)\n```\n"), [])


class Anchors(unittest.TestCase):
    def test_headings_are_named_as_links_name_them(self):
        self.assertEqual(check_docs.anchors("# From `a` to B: c\n## Two\n## Two\n"), {"from-a-to-b-c", "two", "two-1"})


unittest.main()
