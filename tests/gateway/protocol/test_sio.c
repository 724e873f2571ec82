// SPDX-License-Identifier: MIT
// The Socket.IO decoder. The expectations are the reference parser's. What comes out is written
// down as text: type, namespace, id, data, attachments.
#include "tests/common/cmocka_all.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio.h"
#include "tests/common/faults.h"

enum { MAX_BYTES = 2000 };

static const char *describe(const struct sio_packet *packet)
{
    static char text[5000];
    struct tl_buffer out;
    tl_buffer_init(&out, sizeof text - 1);
    assert_true(tl_buffer_append_format(&out, "%d %s", packet->type, packet->nsp));
    if (packet->id != SIO_NO_ID)
        assert_true(tl_buffer_append_format(&out, " #%" PRId64, packet->id));
    if (packet->data) {
        assert_true(tl_buffer_append_text(&out, " "));
        assert_true(sio_encode_json(&out, packet->data));
    }
    for (unsigned i = 0; i < packet->attachment_count; i++)
        assert_true(tl_buffer_append_format(&out, " <%.*s>", (int)packet->attachments[i].size,
                                            (const char *)packet->attachments[i].bytes));
    memcpy(text, out.bytes, out.size);
    text[out.size] = '\0';
    tl_buffer_fini(&out);
    return text;
}

// Feeds one message, in memory of its own size, so that the sanitizer sees a byte too many.
static const char *feed_bytes(struct sio_decoder *decoder, bool is_binary, const char *bytes,
                              size_t size)
{
    const struct sio_packet *packet;
    uint8_t *message = malloc(size > 0 ? size : 1);
    assert_non_null(message);
    memcpy(message, bytes, size);
    enum sio_result result = sio_decoder_feed(decoder, is_binary, message, size, &packet);
    free(message);
    assert_int_equal(packet != NULL, result == SIO_PACKET);
    return result == SIO_PACKET ? describe(packet) : result == SIO_MORE ? "more" : "error";
}

static const char *feed(struct sio_decoder *decoder, const char *text)
{
    return feed_bytes(decoder, false, text, strlen(text));
}

static const char *attach(struct sio_decoder *decoder, const char *bytes)
{
    return feed_bytes(decoder, true, bytes, strlen(bytes));
}

static const char *decode_bytes(const char *bytes, size_t size)
{
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    const char *described = feed_bytes(decoder, false, bytes, size);
    sio_decoder_destroy(&decoder);
    assert_null(decoder);
    return described;
}

static const char *decode(const char *text)
{
    return decode_bytes(text, strlen(text));
}

struct example {
    const char *text;
    const char *expected;
};

static void assert_decodes(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *described = decode(examples[i].text);
        if (strcmp(described, examples[i].expected) != 0)
            fail_msg("%s gave %s, not %s", examples[i].text, described, examples[i].expected);
    }
}

#define ASSERT_DECODES(examples) assert_decodes(examples, sizeof(examples) / sizeof *(examples))

// ---- Packets without attachments

static void test_sio_packets_of_every_type(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"0", "0 /"},
        {"0{}", "0 / {}"},
        {"0{\"token\":\"123\"}", "0 / {\"token\":\"123\"}"},
        {"0/admin,", "0 /admin"},
        {"0/admin", "0 /admin"},
        {"0/admin,{\"a\":1}", "0 /admin {\"a\":1}"},
        {"05", "0 / #5"},
        {"1", "1 /"},
        {"1/admin,", "1 /admin"},
        {"2[\"foo\"]", "2 / [\"foo\"]"},
        {"2[1]", "2 / [1]"},
        {"2[1.5,null]", "2 / [1.5,null]"},
        {"2/admin,[\"bar\",{},[],\"x\"]", "2 /admin [\"bar\",{},[],\"x\"]"},
        {"212[\"foo\"]", "2 / #12 [\"foo\"]"},
        {"2/admin,12[\"foo\"]", "2 /admin #12 [\"foo\"]"},
        {"2", "2 /"},
        {"27", "2 / #7"},
        {"3[]", "3 / []"},
        {"3", "3 /"},
        {"3/admin,13[\"bar\"]", "3 /admin #13 [\"bar\"]"},
        {"4\"no\"", "4 / \"no\""},
        {"4{\"message\":\"no\"}", "4 / {\"message\":\"no\"}"},
        {"4/admin,", "4 /admin"},
    };
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_unknown_types(void **state)
{
    (void)state;
    assert_string_equal(decode(""), "error");
    for (unsigned c = 0; c < 256; c++) {
        const char text[] = {(char)c};
        bool is_known = c >= '0' && c <= '4'; // the binary ones want more
        assert_int_equal(strcmp(decode_bytes(text, 1), "error") != 0, is_known);
    }
}

static void test_sio_namespaces(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"2/,[\"x\"]", "2 / [\"x\"]"}, {"0/chat?x=y,{}", "0 /chat?x=y {}"},
        {"2/[\"x\"]", "2 /[\"x\"]"},   {"0admin,", "error"},
        {"0/a,/b,", "error"},          {"2/a,1", "2 /a #1"},
    };
    ASSERT_DECODES(EXAMPLES);
    assert_string_equal(decode_bytes("0/a\0b,", 6), "error");

    char longest[SIO_NAMESPACE_MAX + 10];
    char expected[SIO_NAMESPACE_MAX + 10];
    for (size_t extra = 0; extra < 2; extra++) {
        memset(longest, 'n', sizeof longest);
        memcpy(longest, "0/", 2);
        strcpy(longest + 1 + SIO_NAMESPACE_MAX + extra, ",");
        sprintf(expected, "0 %.*s", SIO_NAMESPACE_MAX, longest + 1);
        assert_string_equal(decode(longest), extra == 0 ? expected : "error");
    }
}

static void test_sio_ids(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"20[\"x\"]", "2 / #0 [\"x\"]"},
        {"2007[\"x\"]", "2 / #7 [\"x\"]"},
        {"29007199254740993[\"x\"]", "2 / #9007199254740993 [\"x\"]"},
        {"29223372036854775807[\"x\"]", "2 / #9223372036854775807 [\"x\"]"},
        {"29223372036854775808[\"x\"]", "error"},
        {"299999999999999999999[\"x\"]", "error"},
        {"2-1[\"x\"]", "error"},
        {"212.5[\"x\"]", "error"},
        {"2 [\"x\"]", "2 / [\"x\"]"},
    };
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_data_must_fit_the_type(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "0null",
        "0[]",
        "0\"s\"",
        "01x",
        "0{",
        "0{}x",
        "1[]",
        "1{}",
        "1\"\"",
        "1null",
        "2{}",
        "2\"x\"",
        "2null",
        "2[]",
        "2[null]",
        "2[{}]",
        "2[[]]",
        "2[true]",
        "2[\"x\"",
        "2[\"x\"]]",
        "2[\"x\",]",
        "2['x']",
        "2[\"x\"] y",
        "3{}",
        "3null",
        "3\"x\"",
        "31{}",
        "4[]",
        "4null",
        "4true",
        "41.5",
        "2[\"a\\x\"]",
        "2[\"a\nb\"]",
        "2[01]",
        "2[\"x\",undefined]",
        "2false",
        "2[\"x\",NaN]",
        "2[\"x\",+1]",
        "2[\"x\",.5]",
        "2[\"x\",1.]",
        "2[\"x\",1e]",
        "2[\"x\",0x1]",
        "2[\"x\",\"\xff\"]",
        "2[{\"_placeholder\":true,\"num\":0}]",
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (strcmp(decode(BAD[i]), "error") != 0)
            fail_msg("%s gave %s", BAD[i], decode(BAD[i]));
    assert_string_equal(decode("2 \t\r\n[ \"x\" , 1 ]\n "), "2 / [\"x\",1]");
    assert_string_equal(decode("4 \"x\""), "4 / \"x\"");
}

static void test_sio_reserved_names(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"2[\"connect\"]", "error"},
        {"2[\"connect_error\"]", "error"},
        {"2[\"disconnect\"]", "error"},
        {"2[\"disconnecting\"]", "error"},
        {"2[\"newListener\"]", "error"},
        {"2[\"removeListener\"]", "error"},
        {"2[\"connec\\u0074\"]", "error"},
        {"2[\"connected\"]", "2 / [\"connected\"]"},
        {"2[\"Connect\"]", "2 / [\"Connect\"]"},
        {"2[\"connect\\u0000\"]", "2 / [\"connect\\u0000\"]"},
        {"2[\"error\"]", "2 / [\"error\"]"},
        {"2[\"\"]", "2 / [\"\"]"},
        {"3[\"connect\"]", "3 / [\"connect\"]"},
    };
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_placeholders_of_plain_events_are_data(void **state)
{
    (void)state;
    static const char DATA[] = "[\"x\",{\"_placeholder\":true,\"num\":7,\"a\":1}]";
    char text[100];
    char expected[100];
    sprintf(text, "2%s", DATA);
    sprintf(expected, "2 / %s", DATA);
    assert_string_equal(decode(text), expected);
}

// ---- What JSON.parse takes

static void test_sio_numbers(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"3[0,-0,-1,1]", "3 / [0,0,-1,1]"},
        {"3[1.0,-0.0,1e3,1E+2,1e-7]", "3 / [1,0,1000,100,1e-7]"},
        {"3[9223372036854775807,-9223372036854775808]",
         "3 / [9223372036854775807,-9223372036854775808]"},
        {"3[9223372036854775808,-9223372036854775809]",
         "3 / [9223372036854776000,-9223372036854776000]"},
        {"3[123456789012345678901234567890]", "3 / [1.2345678901234568e+29]"},
        {"3[1e400,-1e400,1e-400,1]", "3 / [null,null,0,1]"},
        {"3[{\"a\":1e999},true,false]", "3 / [{\"a\":null},true,false]"},
        {"3[\"1e400 in text\",1e400]", "3 / [\"1e400 in text\",null]"},
        {"3[01e400]", "error"},
        {"3[1e400e1]", "error"},
        {"3[1.e400]", "error"},
        {"3[1e4001x]", "error"},
        {"3[--1e400]", "error"},
        {"3[00000000000000000000]", "error"},
    };
    ASSERT_DECODES(EXAMPLES);

    char digits[500];
    char text[600];
    memset(digits, '9', sizeof digits);
    sprintf(text, "3[%.*s]", 309, digits);
    assert_string_equal(decode(text), "3 / [null]");
    sprintf(text, "3[%.*s]", 300, digits);
    assert_string_equal(decode(text), "3 / [1e+300]");
}

static void test_sio_strings(void **state)
{
    (void)state;
#define U "\xef\xbf\xbd"
    static const struct example EXAMPLES[] = {
        {"3[\"\xc3\xa9\\u00e9\\n\\/\\\"\\\\\"]", "3 / [\"\xc3\xa9\xc3\xa9\\n/\\\"\\\\\"]"},
        {"3[\"\\ud83d\\ude00\"]", "3 / [\"\xf0\x9f\x98\x80\"]"},
        {"3[\"\\uD83D\\uDE00\"]", "3 / [\"\xf0\x9f\x98\x80\"]"},
        {"3[\"\\ud83d\"]", "3 / [\"" U "\"]"},
        {"3[\"\\ude00\"]", "3 / [\"" U "\"]"},
        {"3[\"\\ud83dx\\ud83d\\ud83d\\ude00\\ude00\"]",
         "3 / [\"" U "x" U "\xf0\x9f\x98\x80" U "\"]"},
        {"3[\"\\\\ud83d\"]", "3 / [\"\\\\ud83d\"]"},
        {"3[\"\\\\\\ud83d\"]", "3 / [\"\\\\" U "\"]"},
        {"3[{\"\\ud83d\":1}]", "3 / [{\"" U "\":1}]"},
        {"3[\"a\\u0000b\"]", "3 / [\"a\\u0000b\"]"},
        {"3[\"\\ud83d]", "error"},
        {"3[\"\\ud83d\\\"", "error"},
        {"3[\"\\ud8", "error"},
        {"3[\"\\ud83\"]", "error"},
        {"3[{\"a\\u0000\":1}]", "error"}, // the one thing that jansson cannot hold
    };
#undef U
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_members(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"0{\"b\":1,\"a\":2}", "0 / {\"b\":1,\"a\":2}"},
        {"0{\"a\":1,\"b\":2,\"a\":3}", "0 / {\"a\":3,\"b\":2}"},
        {"0{\"\":1}", "0 / {\"\":1}"},
    };
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_depth(void **state)
{
    (void)state;
    for (int depth = SIO_MAX_DEPTH; depth <= SIO_MAX_DEPTH + 1; depth++) {
        char text[500] = "3";
        for (int i = 0; i < depth; i++)
            strcat(text, i % 2 == 0 ? "[" : "{\"k\":");
        strcat(text, "\"[[{{\"");
        for (int i = depth; i-- > 0;)
            strcat(text, i % 2 == 0 ? "]" : "}");
        assert_int_equal(strcmp(decode(text), "error") == 0, depth > SIO_MAX_DEPTH);
    }
    char deep[MAX_BYTES];
    memset(deep, '[', sizeof deep);
    deep[0] = '3';
    assert_string_equal(decode_bytes(deep, sizeof deep), "error");
}

// ---- Attachments

static void test_sio_attachments_are_joined(void **state)
{
    (void)state;
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "51-[\"a\",{\"_placeholder\":true,\"num\":0}]"), "more");
    assert_string_equal(attach(decoder, "bytes"),
                        "2 / [\"a\",{\"_placeholder\":true,\"num\":0}] <bytes>");
    assert_string_equal(feed(decoder, "62-/admin,3[{\"_placeholder\":true,\"num\":1},"
                                      "{\"x\":{\"num\":0,\"_placeholder\":true}}]"),
                        "more");
    assert_string_equal(attach(decoder, ""), "more");
    assert_string_equal(attach(decoder, "2"), "3 /admin #3 [{\"_placeholder\":true,\"num\":1},"
                                              "{\"x\":{\"num\":0,\"_placeholder\":true}}] <> <2>");
    assert_string_equal(feed(decoder, "2[\"plain\"]"), "2 / [\"plain\"]");
    sio_decoder_destroy(&decoder);
    sio_decoder_destroy(&decoder);
}

static void test_sio_attachment_counts(void **state)
{
    (void)state;
    static const struct example EXAMPLES[] = {
        {"51-[\"x\"]", "more"},
        {"510-[\"x\"]", "more"},
        {"501-[\"x\"]", "more"},
        {"61-[]", "more"},
        {"51-", "more"},
        {"61-/n,7", "more"},
        {"50-[\"x\"]", "error"},
        {"511-[\"x\"]", "error"},
        {"5-[\"x\"]", "error"},
        {"5[\"x\"]", "error"},
        {"51[\"x\"]", "error"},
        {"51.5-[\"x\"]", "error"},
        {"5-1-[\"x\"]", "error"},
        {"5 1-[\"x\"]", "error"},
        {"51e0-[\"x\"]", "error"},
        {"5", "error"},
        {"51", "error"},
        {"6", "error"},
        {"599999999999999999999-[\"x\"]", "error"},
        {"51-{}", "error"},
        {"61-{}", "error"},
        {"51-[]", "error"},
        {"51-[\"connect\"]", "error"},
    };
    ASSERT_DECODES(EXAMPLES);
}

static void test_sio_ten_attachments(void **state)
{
    (void)state;
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "510-[\"x\"]"), "more");
    for (int i = 0; i < 9; i++)
        assert_string_equal(attach(decoder, "abc"), "more");
    assert_string_equal(attach(decoder, "z"),
                        "2 / [\"x\"] <abc> <abc> <abc> <abc> <abc> <abc> <abc> <abc> <abc> <z>");
    sio_decoder_destroy(&decoder);
}

// Decodes a packet with two attachments.
static const char *decode_with_two(const char *data)
{
    char text[300];
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    sprintf(text, "52-[\"x\",%s]", data);
    const char *described = feed(decoder, text);
    if (strcmp(described, "more") == 0)
        described = attach(decoder, "a");
    if (strcmp(described, "more") == 0)
        described = attach(decoder, "b");
    sio_decoder_destroy(&decoder);
    return described;
}

static void test_sio_placeholders(void **state)
{
    (void)state;
#define P(num) "{\"_placeholder\":true,\"num\":" num "}"
    static const struct example EXAMPLES[] = {
        {"1", "1"},
        {P("1") "," P("0"), P("1") "," P("0")},
        {P("0") "," P("0"), P("0") "," P("0")},
        {"{\"_placeholder\":true,\"num\":1,\"extra\":{}}", P("1")},
        {P("1.0"), P("1")},
        {P("1e0"), P("1")},
        {P("-0.0"), P("0")},
        {"{\"_placeholder\":\"true\",\"num\":9}", "{\"_placeholder\":\"true\",\"num\":9}"},
        {"{\"_placeholder\":false,\"num\":9}", "{\"_placeholder\":false,\"num\":9}"},
        {"{\"_placeholder\":1}", "{\"_placeholder\":1}"},
        {P("2"), "error"},
        {P("-1"), "error"},
        {P("0.5"), "error"},
        {P("\"0\""), "error"},
        {P("null"), "error"},
        {P("99999999999999999999"), "error"},
        {"{\"_placeholder\":true}", "error"},
        {"[[{\"deep\":{\"_placeholder\":true,\"num\":2}}]]", "error"},
        {"{\"_placeholder\":true,\"num\":0,\"in\":" P("9") "}", P("0")},
    };
#undef P
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof *EXAMPLES; i++) {
        char expected[300];
        sprintf(expected, "2 / [\"x\",%s] <a> <b>", EXAMPLES[i].expected);
        assert_string_equal(decode_with_two(EXAMPLES[i].text),
                            strcmp(EXAMPLES[i].expected, "error") == 0 ? "error" : expected);
    }
}

static void test_sio_order_of_messages(void **state)
{
    (void)state;
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(attach(decoder, "nobody asked"), "error");
    assert_string_equal(feed(decoder, "0"), "error"); // for good
    sio_decoder_destroy(&decoder);

    decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "51-[\"x\"]"), "more");
    assert_string_equal(feed(decoder, "0"), "error");
    sio_decoder_destroy(&decoder);

    decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "51-[\"x\"]"), "more");
    assert_string_equal(attach(decoder, "1"), "2 / [\"x\"] <1>");
    assert_string_equal(attach(decoder, "2"), "error");
    sio_decoder_destroy(&decoder);

    // Given up in the middle.
    decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "52-[\"x\"]"), "more");
    assert_string_equal(attach(decoder, "1"), "more");
    sio_decoder_destroy(&decoder);
}

static void test_sio_bound_of_text_and_attachments(void **state)
{
    (void)state;
    static const char TEXT[] = "52-[\"x\"]";
    for (size_t missing = 0; missing < 2; missing++) {
        struct sio_decoder *decoder = sio_decoder_new(sizeof TEXT - 1 + 6 - missing);
        assert_string_equal(feed(decoder, TEXT), "more");
        assert_string_equal(attach(decoder, "123"), "more");
        assert_string_equal(attach(decoder, "456"),
                            missing == 0 ? "2 / [\"x\"] <123> <456>" : "error");
        sio_decoder_destroy(&decoder);

        decoder = sio_decoder_new(5 - missing);
        assert_string_equal(feed(decoder, "0/abc"), missing == 0 ? "0 /abc" : "error");
        sio_decoder_destroy(&decoder);
    }
}

static void test_sio_large_attachments_are_not_kept(void **state)
{
    (void)state;
    enum { LARGE = 100000 };
    char *bytes = calloc(1, LARGE);
    assert_non_null(bytes);
    memset(bytes, 'x', LARGE);
    struct sio_decoder *decoder = sio_decoder_new(2 * LARGE);
    for (int round = 0; round < 3; round++) {
        const struct sio_packet *packet;
        assert_string_equal(feed(decoder, "51-[\"x\"]"), "more");
        assert_int_equal(sio_decoder_feed(decoder, true, (const uint8_t *)bytes, LARGE, &packet),
                         SIO_PACKET);
        assert_int_equal(packet->attachments[0].size, LARGE);
        assert_memory_equal(packet->attachments[0].bytes, bytes, LARGE);
    }
    sio_decoder_destroy(&decoder);
    free(bytes);
}

// ---- Without memory

static unsigned json_allocations_left;

static void *failing_malloc(size_t size)
{
    return json_allocations_left-- == 0 ? NULL : malloc(size);
}

static void test_sio_without_memory_for_json(void **state)
{
    (void)state;
    static const char TEXT[] = "2[\"name\",{\"a\":[1,2.5,\"\\ud83d\"],\"b\":null}]";
    bool is_decoded = false;
    for (unsigned count = 0; !is_decoded; count++) {
        struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
        const struct sio_packet *packet;
        json_set_alloc_funcs(failing_malloc, free);
        json_allocations_left = count;
        enum sio_result result =
            sio_decoder_feed(decoder, false, (const uint8_t *)TEXT, sizeof TEXT - 1, &packet);
        json_set_alloc_funcs(malloc, free);
        assert_int_not_equal(result, SIO_MORE);
        is_decoded = result == SIO_PACKET;
        assert_true(is_decoded || count < 100);
        sio_decoder_destroy(&decoder);
    }
}

static void test_sio_without_memory_of_its_own(void **state)
{
    (void)state;
    faults_fail_allocation_after(0);
    assert_null(sio_decoder_new(MAX_BYTES));
    assert_true(faults_stop());

    const struct sio_packet *packet;
    struct sio_decoder *decoder = sio_decoder_new(MAX_BYTES);
    faults_fail_allocation_after(0);
    assert_int_equal(sio_decoder_feed(decoder, false, (const uint8_t *)"3[1e400]", 8, &packet),
                     SIO_ERROR);
    assert_true(faults_stop());
    sio_decoder_destroy(&decoder);

    decoder = sio_decoder_new(MAX_BYTES);
    assert_string_equal(feed(decoder, "51-[\"x\"]"), "more");
    faults_fail_allocation_after(0);
    assert_int_equal(sio_decoder_feed(decoder, true, (const uint8_t *)"a", 1, &packet), SIO_ERROR);
    assert_true(faults_stop());
    sio_decoder_destroy(&decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sio_packets_of_every_type),
        cmocka_unit_test(test_sio_unknown_types),
        cmocka_unit_test(test_sio_namespaces),
        cmocka_unit_test(test_sio_ids),
        cmocka_unit_test(test_sio_data_must_fit_the_type),
        cmocka_unit_test(test_sio_reserved_names),
        cmocka_unit_test(test_sio_placeholders_of_plain_events_are_data),
        cmocka_unit_test(test_sio_numbers),
        cmocka_unit_test(test_sio_strings),
        cmocka_unit_test(test_sio_members),
        cmocka_unit_test(test_sio_depth),
        cmocka_unit_test(test_sio_attachments_are_joined),
        cmocka_unit_test(test_sio_attachment_counts),
        cmocka_unit_test(test_sio_ten_attachments),
        cmocka_unit_test(test_sio_placeholders),
        cmocka_unit_test(test_sio_order_of_messages),
        cmocka_unit_test(test_sio_bound_of_text_and_attachments),
        cmocka_unit_test(test_sio_large_attachments_are_not_kept),
        cmocka_unit_test(test_sio_without_memory_for_json),
        cmocka_unit_test(test_sio_without_memory_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
