// SPDX-License-Identifier: MIT
#include "bus/src/codec/json_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct date {
    int64_t year;
    unsigned month; // 1 to 12
    unsigned day;   // 1 to 31
};

// The proleptic Gregorian calendar, from days since 1970-01-01. Counted in eras of 400 years, each
// of 146,097 days, and in years that begin in March, so that a leap day is the last of its year.
static struct date date_of(int64_t days)
{
    days += 719468; // 0000-03-01 is day 0
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; // 0: March
    return (struct date){
        .year = (int64_t)year_of_era + era * 400 + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day_of_year - (153 * month + 2) / 5 + 1,
    };
}

size_t talus__format_timestamp(int64_t seconds, uint32_t nanoseconds, char *out)
{
    char text[TALUS__TIMESTAMP_MAX + 1];
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    unsigned second = (unsigned)((seconds % 86400 + 86400) % 86400);
    struct date date = date_of(days);
    size_t capacity = sizeof(text);
    int size = date.year >= 0 && date.year <= 9999
                   ? snprintf(text, capacity, "%04" PRId64, date.year)
                   : snprintf(text, capacity, "%+07" PRId64, date.year);
    size += snprintf(text + size, capacity - (size_t)size, "-%02u-%02uT%02u:%02u:%02u", date.month,
                     date.day, second / 3600, second / 60 % 60, second % 60);
    if (nanoseconds % 1000 != 0)
        size += snprintf(text + size, capacity - (size_t)size, ".%09" PRIu32, nanoseconds);
    else if (nanoseconds % 1000000 != 0)
        size += snprintf(text + size, capacity - (size_t)size, ".%06" PRIu32, nanoseconds / 1000);
    else if (nanoseconds != 0)
        size +=
            snprintf(text + size, capacity - (size_t)size, ".%03" PRIu32, nanoseconds / 1000000);
    text[size++] = 'Z';
    memcpy(out, text, (size_t)size);
    return (size_t)size;
}
