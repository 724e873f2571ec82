// SPDX-License-Identifier: MIT
// A message of the bus, as the subscriber gets it: what is accepted keeps within the bounds,
// encodes again to the same, and can be shown as JSON. The first byte of the input is the topic's
// length.
#include <string.h>

#include <talus/error.h>
#include <talus/event.h>
#include <talus/json.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/payload.h"
#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "fuzz_check.h"

static const struct talus__limits limits = {2000, TALUS__MAX_DEPTH, TALUS__MAX_BIN};

static void check_topic(const uint8_t *bytes, size_t size)
{
    struct talus__topic topic;
    struct talus__subscription_topic subscription;
    talus__subscription_topic_parse(bytes, size, &subscription);
    if (subscription.kind == TALUS__SUBSCRIPTION_READY)
        CHECK(tl_is_origin(subscription.origin, subscription.origin_size));
    if (talus__topic_parse(bytes, size, &topic) != 0)
        return;
    CHECK(topic.session == (const char *)bytes);
    CHECK(topic.session_size + topic.type_size <= size);
    if (topic.kind == TALUS__TOPIC_EVENT) {
        CHECK(topic.session_size + 1 + topic.type_size == size && size <= TALUS__TOPIC_MAX);
        CHECK(talus_type_check(topic.type, topic.type_size) == 0);
    }
}

static void check_request(const uint8_t *bytes, size_t size)
{
    struct talus__request request;
    struct talus__end end;
    if (talus__end_decode(bytes, size, &end) == 0)
        CHECK(tl_is_origin(end.origin, end.origin_size));
    if (talus__request_decode(bytes, size, &request) != 0)
        return;
    const char *name;
    size_t name_size;
    uint32_t left = request.name_count;
    CHECK(left <= TALUS__HEADS_MAX);
    while (talus__request_next_name(&request, &name, &name_size)) {
        CHECK(left-- > 0 && name_size <= TALUS_SESSION_MAX);
        CHECK((const uint8_t *)name >= bytes && (const uint8_t *)name + name_size <= bytes + size);
    }
    CHECK(left == 0);
}

static void check_encodes_again(const struct talus__body *body)
{
    uint8_t bytes[TALUS__BODY_HEADER_MAX + 2000];
    char origin[TALUS_ORIGIN_MAX + 1] = {0};
    size_t seq_offset;
    size_t prev_offset;
    struct talus__body again;
    memcpy(origin, body->origin, body->origin_size);
    size_t size = talus__body_encode_header(bytes, origin, body->ts, body->except,
                                            body->except_size, &seq_offset, &prev_offset);
    CHECK(size <= TALUS__BODY_HEADER_MAX && body->data_size <= 2000);
    talus__body_patch(bytes + seq_offset, body->seq);
    talus__body_patch(bytes + prev_offset, body->prev);
    memcpy(bytes + size, body->data, body->data_size);
    struct talus__limits wider = limits;
    wider.max_body = sizeof(bytes);
    CHECK(talus__body_decode(bytes, size + body->data_size, &wider, &again) == 0);
    CHECK(again.seq == body->seq && again.prev == body->prev && again.ts == body->ts);
    CHECK(again.except_size == body->except_size && again.data_size == body->data_size);
    CHECK(again.except_size == 0 || memcmp(again.except, body->except, again.except_size) == 0);
}

static void count_bin(const void *bytes, size_t size, void *arg)
{
    (void)bytes;
    (void)size;
    ++*(unsigned *)arg;
}

static void check_payload(const struct talus__body *body)
{
    static char json[65536];
    static const char *const keys[] = {"session_id", "", "a", "node_id"};
    talus_event_t event = {.data = body->data, .data_size = body->data_size};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        talus_value_t value;
        if (talus_event_field(&event, keys[i], &value) == 0 && value.type == TALUS_MSGPACK)
            CHECK(talus__payload_check(value.as.bytes.ptr, value.as.bytes.size, &limits) == 0);
    }
    unsigned bins = 0;
    size_t written;
    CHECK(talus_json_encode(body->data, body->data_size, count_bin, &bins, json, sizeof(json),
                            &written) == 0);
    CHECK(bins <= limits.max_bin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t topic_size = data[0] < size - 1 ? data[0] : size - 1;
    const uint8_t *bytes = data + 1 + topic_size;
    size_t body_size = size - 1 - topic_size;
    check_topic(data + 1, topic_size);
    check_request(bytes, body_size);
    struct talus__body body;
    int error = talus__body_decode(bytes, body_size, &limits, &body);
    if (error != TALUS__EBODY && error != TALUS_EMSGPACK) {
        CHECK(tl_is_origin(body.origin, body.origin_size));
        CHECK(body.seq > 0 && body.prev < body.seq && body.except_size <= TALUS_EXCEPT_MAX);
    }
    if (error == 0) {
        check_encodes_again(&body);
        check_payload(&body);
    }
    struct talus__head head;
    if (talus__head_decode(bytes, body_size, &head) == 0) {
        uint8_t again[1024];
        CHECK(talus__head_encode(again, sizeof(again), &head) > 0);
    }
    return 0;
}
