// SPDX-License-Identifier: MIT
// Names and texts of errors, from the one table in talus/error.h.
#include <talus/error.h>

const char *talus_strerror(int error)
{
    switch (error) {
    case TALUS_OK:
        return "success";
#define TALUS_ERROR_TEXT(name, number, text)                                                       \
    case TALUS_E##name:                                                                            \
        return text;
        TALUS_ERROR_MAP(TALUS_ERROR_TEXT)
#undef TALUS_ERROR_TEXT
    default:
        return "unknown error";
    }
}

const char *talus_error_name(int error)
{
    switch (error) {
    case TALUS_OK:
        return "TALUS_OK";
#define TALUS_ERROR_NAME(name, number, text)                                                       \
    case TALUS_E##name:                                                                            \
        return "TALUS_E" #name;
        TALUS_ERROR_MAP(TALUS_ERROR_NAME)
#undef TALUS_ERROR_NAME
    default:
        return "TALUS_EUNKNOWN";
    }
}
