// SPDX-License-Identifier: MIT
// The backend on llhttp, with none of its lenient flags.
#include "gateway/protocol/http_backend.h"

#include <llhttp.h>

struct parse {
    struct http_fields *fields;
    bool is_complete;
};

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    http_text_add(&parse->fields->target, at, size);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    return http_fields_add_name(parse->fields, at, size) ? 0 : -1;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct parse *parse = parser->data;
    http_fields_add_value(parse->fields, at, size);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct parse *parse = parser->data;
    parse->is_complete = true;
    return 0;
}

bool http_backend_parse(const char *bytes, size_t size, struct http_fields *fields)
{
    static const llhttp_settings_t SETTINGS = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
    };
    struct parse parse = {.fields = fields};
    llhttp_t parser;
    llhttp_init(&parser, HTTP_REQUEST, &SETTINGS);
    parser.data = &parse;
    llhttp_errno_t error = llhttp_execute(&parser, bytes, size);
    return (error == HPE_OK || error == HPE_PAUSED_UPGRADE) && parse.is_complete;
}
