// SPDX-License-Identifier: MIT
// Response heads. The Date line is written once a second and thread; it is the one place of the
// codecs that looks at a clock, so that no caller has to hand the date around.
#include <string.h>
#include <time.h>

#include "gateway/protocol/http.h"

enum { DATE_SIZE = sizeof "Date: Tue, 24 Nov 2026 08:30:00 GMT\r\n" };

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } TEXTS[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        if (TEXTS[i].status == status)
            return TEXTS[i].text;
    return "";
}

// Not by strftime, whose names of days and months follow the locale.
static void write_date(char out[DATE_SIZE], time_t now)
{
    static const char DAYS[] = "SunMonTueWedThuFriSat";
    static const char MONTHS[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm;
    gmtime_r(&now, &tm);
    char numbers[DATE_SIZE];
    strftime(numbers, sizeof numbers, "Date: ddd, %d mmm %Y %H:%M:%S GMT\r\n", &tm);
    memcpy(out, numbers, DATE_SIZE);
    memcpy(out + 6, DAYS + 3 * tm.tm_wday, 3);
    memcpy(out + 14, MONTHS + 3 * tm.tm_mon, 3);
}

static bool append_date(struct tl_buffer *out)
{
    static _Thread_local time_t written_at;
    static _Thread_local char line[DATE_SIZE];
    time_t now = time(NULL);
    if (line[0] == '\0' || now != written_at) {
        write_date(line, now);
        written_at = now;
    }
    return tl_buffer_append(out, line, DATE_SIZE - 1);
}

static bool append_number_line(struct tl_buffer *out, const char *name, size_t number)
{
    return tl_buffer_append_text(out, name) && tl_buffer_append_number(out, number) &&
           tl_buffer_append_text(out, "\r\n");
}

// Clients that know how long the connection is kept do not send into one that is being closed.
static bool append_connection(struct tl_buffer *out, unsigned minor, unsigned keep_alive_s)
{
    if (keep_alive_s == 0)
        return tl_buffer_append_text(out, "Connection: close\r\n");
    return (minor > 0 || tl_buffer_append_text(out, "Connection: keep-alive\r\n")) &&
           append_number_line(out, "Keep-Alive: timeout=", keep_alive_s);
}

static bool append_status_line(struct tl_buffer *out, int status)
{
    return tl_buffer_append_text(out, "HTTP/1.1 ") &&
           tl_buffer_append_number(out, (size_t)status) && tl_buffer_append_text(out, " ") &&
           tl_buffer_append_text(out, http_status_text(status)) &&
           tl_buffer_append_text(out, "\r\n");
}

bool http_encode_head(struct tl_buffer *out, int status, unsigned minor, unsigned keep_alive_s,
                      const char *headers, size_t body_size)
{
    size_t before = out->size;
    bool is_final = status >= 200;
    bool has_length = is_final && status != 204 && status != 304;
    bool is_done = append_status_line(out, status) && (!is_final || append_date(out)) &&
                   (!has_length || append_number_line(out, "Content-Length: ", body_size)) &&
                   (!is_final || append_connection(out, minor, keep_alive_s)) &&
                   tl_buffer_append_text(out, headers) && tl_buffer_append_text(out, "\r\n");
    if (!is_done)
        tl_buffer_truncate(out, before);
    return is_done;
}
