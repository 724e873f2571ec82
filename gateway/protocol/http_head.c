// SPDX-License-Identifier: MIT
// Reads a head. The parser finds the texts; the rules about what a request may mean (RFC 9112: one
// Host, one length, no two framings, forms of the target) are applied here.
#include "gateway/protocol/http_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/protocol/http_lines.h"

bool http_head_init(struct http_head *head, unsigned max_headers)
{
    memset(head, 0, sizeof *head);
    head->fields.max = max_headers;
    head->fields.all = calloc(max_headers + 1u, sizeof *head->fields.all);
    head->headers = calloc(max_headers + 1u, sizeof *head->headers);
    if (head->fields.all && head->headers)
        return true;
    http_head_fini(head);
    return false;
}

void http_head_fini(struct http_head *head)
{
    free(head->fields.all);
    free(head->headers);
    memset(head, 0, sizeof *head);
}

// ---- The request line

struct request_line {
    char *method;
    size_t method_size;
    char *target;
    size_t target_size;
};

// Exactly `METHOD SP TARGET SP HTTP/D.D`: the parser lets more spaces pass.
static enum http_result split_request_line(char *bytes, size_t size, struct request_line *line,
                                           unsigned *minor)
{
    static const size_t VERSION_SIZE = sizeof "HTTP/1.1" - 1;
    const char *end = memchr(bytes, '\r', size);
    char *first = end ? memchr(bytes, ' ', (size_t)(end - bytes)) : NULL;
    char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (!second || first == bytes || second == first + 1)
        return HTTP_E_MALFORMED;
    const char *version = second + 1;
    if ((size_t)(end - version) != VERSION_SIZE || memcmp(version, "HTTP/", 5) != 0 ||
        version[5] < '0' || version[5] > '9' || version[6] != '.' || version[7] < '0' ||
        version[7] > '9')
        return HTTP_E_MALFORMED;
    if (version[5] != '1' || version[7] > '1')
        return HTTP_E_VERSION;
    *minor = (unsigned)(version[7] - '0');
    *line = (struct request_line){
        .method = bytes,
        .method_size = (size_t)(first - bytes),
        .target = first + 1,
        .target_size = (size_t)(second - first - 1),
    };
    return HTTP_REQUEST;
}

static bool is_text(const char *bytes, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(bytes, text, size) == 0;
}

static bool read_method(const struct request_line *line, enum http_method *method)
{
    static const struct {
        const char *name;
        enum http_method method;
    } METHODS[] = {
        {"GET", HTTP_METHOD_GET}, {"HEAD", HTTP_METHOD_HEAD},     {"POST", HTTP_METHOD_POST},
        {"PUT", HTTP_METHOD_PUT}, {"DELETE", HTTP_METHOD_DELETE}, {"OPTIONS", HTTP_METHOD_OPTIONS},
    };
    *method = HTTP_METHOD_OTHER;
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if (is_text(line->method, line->method_size, METHODS[i].name))
            *method = METHODS[i].method;
    return !is_text(line->method, line->method_size, "CONNECT"); // we are no tunnel
}

// Where the path of an absolute-form target begins (or its end), NULL if it is none.
static char *skip_authority(char *target)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme == 0)
        return NULL;
    size_t authority = strcspn(target + scheme, "/?");
    return authority > 0 ? target + scheme + authority : NULL;
}

static bool read_target(const struct request_line *line, struct http_request *request)
{
    char *path = line->target;
    path[line->target_size] = '\0';
    if (strchr(path, '#'))
        return false;
    if (path[0] == '*')
        path = path[1] == '\0' && request->method == HTTP_METHOD_OPTIONS ? path : NULL;
    else if (path[0] != '/')
        path = skip_authority(path);
    if (!path)
        return false;

    char *mark = strchr(path, '?');
    if (mark)
        *mark = '\0';
    request->path = path[0] == '\0' ? "/" : path;
    request->query = mark ? mark + 1 : "";
    return true;
}

// ---- The header fields

static const char *terminate(const struct http_text *text, char *bytes)
{
    // An empty value has no place of its own: the parser points at what comes next.
    if (text->size == 0)
        return "";
    size_t size = text->size;
    while (size > 0 && (text->at[size - 1] == ' ' || text->at[size - 1] == '\t'))
        size--;
    char *start = bytes + (text->at - bytes);
    start[size] = '\0'; // over the colon, a space, or the CR
    return start;
}

static void show_headers(struct http_head *head, char *bytes)
{
    for (unsigned i = 0; i < head->fields.count; i++) {
        head->headers[i].name = terminate(&head->fields.all[i].name, bytes);
        head->headers[i].value = terminate(&head->fields.all[i].value, bytes);
    }
    head->request.headers = head->headers;
    head->request.header_count = head->fields.count;
}

static unsigned count_headers(const struct http_request *request, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < request->header_count; i++)
        count += strcasecmp(request->headers[i].name, name) == 0;
    return count;
}

// Refuses more than 18 digits, which no body can have and which could overflow.
static bool read_length(const char *text, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    for (*value = 0; *text; text++)
        *value = *value * 10 + (uint64_t)(*text - '0');
    return true;
}

// A body framed in two ways, or in one that we do not know, would let what follows be read as
// another request than the one a proxy saw.
static bool read_framing(struct http_head *head)
{
    const struct http_request *request = &head->request;
    unsigned lengths = count_headers(request, "Content-Length");
    unsigned encodings = count_headers(request, "Transfer-Encoding");
    head->content_length = 0;
    head->is_chunked = encodings > 0;
    if (lengths + encodings > 1)
        return false;
    if (lengths > 0)
        return read_length(http_request_header(request, "Content-Length"), &head->content_length);
    if (encodings > 0)
        return request->minor > 0 &&
               strcasecmp(http_request_header(request, "Transfer-Encoding"), "chunked") == 0;
    return true;
}

static enum http_result read_expectation(struct http_head *head)
{
    const char *expectation = http_request_header(&head->request, "Expect");
    if (!expectation || head->request.minor == 0)
        return HTTP_REQUEST;
    if (strcasecmp(expectation, "100-continue") != 0 || count_headers(&head->request, "Expect") > 1)
        return HTTP_E_EXPECTATION;
    head->request.expects_continue = head->is_chunked || head->content_length > 0;
    return HTTP_REQUEST;
}

static void read_connection(struct http_request *request)
{
    bool closes = http_request_has_token(request, "Connection", "close");
    bool keeps = http_request_has_token(request, "Connection", "keep-alive");
    request->keep_alive = !closes && (request->minor > 0 || keeps);
    request->is_upgrade = request->minor > 0 && http_request_header(request, "Upgrade") &&
                          http_request_has_token(request, "Connection", "upgrade");
}

enum http_result http_head_read(struct http_head *head, char *bytes, size_t size)
{
    struct request_line line;
    struct http_request *request = &head->request;
    *request = (struct http_request){0};
    enum http_result result = split_request_line(bytes, size, &line, &request->minor);
    if (result != HTTP_REQUEST)
        return result;

    head->fields.target = (struct http_text){0};
    head->fields.count = 0;
    head->fields.is_overflown = false;
    bool is_good = http_backend_parse(bytes, size, &head->fields);
    if (head->fields.is_overflown)
        return HTTP_E_HEAD_LARGE;
    if (!is_good || head->fields.target.at != line.target ||
        head->fields.target.size != line.target_size)
        return HTTP_E_MALFORMED;

    show_headers(head, bytes);
    if (!read_method(&line, &request->method) || !read_target(&line, request))
        return HTTP_E_MALFORMED;
    unsigned hosts = count_headers(request, "Host");
    if (hosts > 1 || (hosts == 0 && request->minor > 0) || !read_framing(head))
        return HTTP_E_MALFORMED;
    read_connection(request);
    return read_expectation(head);
}
