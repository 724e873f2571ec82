// SPDX-License-Identifier: MIT
// One public header, alone and twice, as the first thing that a file includes; as C and as C++.
#include HEADER
#include HEADER

extern int talus_header_is_alone; // a file of macros alone is no translation unit
