// SPDX-License-Identifier: MIT
// Repairs of UTF-8: what the decoders of browsers and Node make of the same bytes. Whoever repairs
// is held against them: the gateway's text, the library's JSON, the command line's terminal.
#ifndef TALUS_TESTS_COMMON_UTF8_REPAIRS_H
#define TALUS_TESTS_COMMON_UTF8_REPAIRS_H

#define U "\xef\xbf\xbd"

static const struct utf8_repair {
    const char *in;
    const char *out;
} UTF8_REPAIRS[] = {
    {"", ""},
    {"whole \xe2\x82\xac", "whole \xe2\x82\xac"},
    {"a\xff"
     "b",
     "a" U "b"},
    {"\xc3", U},
    {"\xc3"
     "A",
     U "A"},
    {"\xe2\x82", U},
    {"\xe2\x82x", U "x"},
    {"\xf0\x9f\x98z", U "z"},
    {"\xf0\x9f\xf0\x9f\x98\x80", U "\xf0\x9f\x98\x80"},
    {"\xed\xa0\x80", U U U},
    {"\xc0\x80", U U},
    {"\xe0\x80\x80", U U U},
    {"\xf4\x90\x80\x80", U U U U},
    {"\x80\x80tail", U U "tail"},
    // Tables 3-8 to 3-11 of the Unicode Standard: not the shortest forms, surrogates, others, and
    // what is cut off.
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", U U U U U U U U "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", U U U U U U U U "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", U U U U U "A" U U "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", U U U U "A"},
};

#undef U

enum { UTF8_REPAIR_COUNT = sizeof UTF8_REPAIRS / sizeof UTF8_REPAIRS[0] };

#endif
