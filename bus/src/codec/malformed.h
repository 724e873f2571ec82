// SPDX-License-Identifier: MIT
// The error of decoders whose bytes are not of their form. No function of the library returns it;
// its number is one that talus/error.h does not use.
#ifndef TALUS__MALFORMED_H
#define TALUS__MALFORMED_H

#include <talus/error.h>

#define TALUS__EBODY (-20)

// The text of an error of a decoder, this one included.
static inline const char *talus__decode_error_text(int error)
{
    return error == TALUS__EBODY ? "the message is not a talus event" : talus_strerror(error);
}

#endif
