// SPDX-License-Identifier: MIT
// The one file that knows the HTTP parser, http_parser 2.9. It is laxer than RFC 9112 in places;
// http_lines.c and http_head.c check what it lets pass.
#include "gateway/protocol/http_backend.h"

#include <http_parser.h>

struct parse {
    struct http_fields *fields;
    bool is_complete;
};

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    http_text_add(&parse->fields->target, at, size);
    return 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    return http_fields_add_name(parse->fields, at, size) ? 0 : -1;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    http_fields_add_value(parse->fields, at, size);
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct parse *parse = parser->data;
    parse->is_complete = true;
    return 0;
}

bool http_backend_parse(const char *bytes, size_t size, struct http_fields *fields)
{
    static const http_parser_settings SETTINGS = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
    };
    struct parse parse = {.fields = fields};
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &parse;
    size_t parsed = http_parser_execute(&parser, &SETTINGS, bytes, size);
    return HTTP_PARSER_ERRNO(&parser) == HPE_OK && parsed == size && parse.is_complete;
}
