// SPDX-License-Identifier: MIT
#include "clients/cli/bench/bus_library.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <talus.h>
#include <zmq.h>

#include "clients/cli/report.h"

enum { FLUSH_MS = 10000 };

#define SESSION "bench-0"
#define TYPE    "bench"

static void put_number(unsigned char *out, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t get_number(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

// ---- libtalus

static void *talus_sender_new(const char *endpoint, char bound[BUS_ENDPOINT_MAX])
{
    talus_broadcaster_t *broadcaster;
    talus_error_t error = talus_broadcaster_new(&broadcaster, endpoint, NULL);
    if (error) {
        report_bus_error("publish", endpoint, error);
        return NULL;
    }
    snprintf(bound, BUS_ENDPOINT_MAX, "%s", talus_broadcaster_endpoint(broadcaster));
    return broadcaster;
}

static bool talus_wait_ready(void *sender, int timeout_ms)
{
    talus_error_t error = talus_broadcaster_wait_subscribers(sender, 1, timeout_ms, NULL);
    if (error)
        report("no subscriber: %s", talus_strerror(error));
    return error == 0;
}

// The number is the sequence that the broadcaster gives.
static int talus_send(void *sender, uint64_t number, uint64_t time)
{
    // {"t": TIME, "pad": "…"}, BUS_PAYLOAD bytes in all
    static const char head[] = "\x82\xa1t\xcf", pad[] = "\xa3pad\xd9";
    unsigned char data[BUS_PAYLOAD];
    const talus_emit_t event = {
        .session = SESSION, .type = TYPE, .data = data, .data_size = sizeof(data)};
    (void)number;
    memset(data, 'x', sizeof(data));
    memcpy(data, head, 4);
    put_number(data + 4, time);
    memcpy(data + 12, pad, 5);
    data[17] = BUS_PAYLOAD - 18;
    talus_error_t error = talus_emit(sender, &event, NULL);
    if (error && error != TALUS_EQUEUEFULL)
        report("cannot emit: %s", talus_strerror(error));
    return error == 0 ? 1 : error == TALUS_EQUEUEFULL ? 0 : -1;
}

static bool talus_flush(void *sender)
{
    talus_error_t error = talus_broadcaster_flush(sender, FLUSH_MS);
    if (error)
        report("cannot hand everything over: %s", talus_strerror(error));
    return error == 0;
}

static void talus_sender_destroy(void *sender)
{
    talus_broadcaster_t *broadcaster = sender;
    talus_broadcaster_destroy(&broadcaster);
}

static void *talus_receiver_new(const char *endpoint)
{
    talus_subscriber_t *subscriber;
    talus_error_t error = talus_subscriber_new(&subscriber, endpoint, NULL);
    if (error == 0) {
        error = talus_subscriber_join(subscriber, SESSION);
        if (error)
            talus_subscriber_destroy(&subscriber);
    }
    if (error)
        report_bus_error("listen", endpoint, error);
    return error ? NULL : subscriber;
}

static int talus_receive(void *receiver, uint64_t *number, uint64_t *time)
{
    const talus_delivery_t *delivery;
    talus_value_t value;
    talus_error_t error = talus_subscriber_receive(receiver, BUS_WAIT_MS, &delivery);
    if (error && error != TALUS_ETIMEOUT)
        report("cannot receive: %s", talus_strerror(error));
    if (error)
        return error == TALUS_ETIMEOUT ? 0 : -1;
    if (delivery->kind != TALUS_DELIVERY_EVENT ||
        talus_event_field(delivery->event, "t", &value) != 0)
        return 0;
    *number = delivery->event->seq;
    *time = value.as.u64;
    return 1;
}

static void talus_receiver_destroy(void *receiver)
{
    talus_subscriber_t *subscriber = receiver;
    talus_subscriber_destroy(&subscriber);
}

const bus_library_t bus_libtalus = {
    .name = "libtalus",
    .sender_new = talus_sender_new,
    .wait_ready = talus_wait_ready,
    .send = talus_send,
    .flush = talus_flush,
    .sender_destroy = talus_sender_destroy,
    .receiver_new = talus_receiver_new,
    .receive = talus_receive,
    .receiver_destroy = talus_receiver_destroy,
};

// ---- libzmq

// One for the process: inproc connects within one alone. It ends with the process.
static void *context;

static void make_context(void)
{
    context = zmq_ctx_new();
}

static void *zmq_open(int type)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const int none = 0, wait_ms = BUS_WAIT_MS;
    pthread_once(&once, make_context);
    void *socket = context ? zmq_socket(context, type) : NULL;
    if (!socket) {
        report("cannot make a socket: %s", zmq_strerror(errno));
        return NULL;
    }
    // No bound on either side, since nothing may be lost; the sender's window is one.
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    return socket;
}

static void zmq_destroy(void *socket)
{
    zmq_close(socket);
}

static void *zmq_sender_new(const char *endpoint, char bound[BUS_ENDPOINT_MAX])
{
    size_t size = BUS_ENDPOINT_MAX;
    void *socket = zmq_open(ZMQ_XPUB);
    if (!socket)
        return NULL;
    if (zmq_bind(socket, endpoint) == 0 &&
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) == 0)
        return socket;
    report("cannot bind to \"%s\": %s", endpoint, zmq_strerror(errno));
    zmq_destroy(socket);
    return NULL;
}

static bool zmq_wait_ready(void *sender, int timeout_ms)
{
    char subscription[64];
    zmq_setsockopt(sender, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    if (zmq_recv(sender, subscription, sizeof(subscription), 0) >= 0)
        return true;
    report("no subscriber: %s", zmq_strerror(errno));
    return false;
}

static int zmq_send_message(void *sender, uint64_t number, uint64_t time)
{
    static const char topic[] = SESSION "/" TYPE;
    unsigned char data[BUS_PAYLOAD];
    memset(data, 'x', sizeof(data));
    put_number(data, number);
    put_number(data + 8, time);
    if (zmq_send(sender, topic, sizeof(topic) - 1, ZMQ_SNDMORE) >= 0 &&
        zmq_send(sender, data, sizeof(data), 0) >= 0)
        return 1;
    report("cannot send: %s", zmq_strerror(errno));
    return -1;
}

// The I/O thread sends by itself.
static bool zmq_flush(void *sender)
{
    (void)sender;
    return true;
}

static void *zmq_receiver_new(const char *endpoint)
{
    void *socket = zmq_open(ZMQ_SUB);
    if (!socket)
        return NULL;
    if (zmq_setsockopt(socket, ZMQ_SUBSCRIBE, SESSION "/", strlen(SESSION "/")) == 0 &&
        zmq_connect(socket, endpoint) == 0)
        return socket;
    report("cannot connect to \"%s\": %s", endpoint, zmq_strerror(errno));
    zmq_destroy(socket);
    return NULL;
}

static int zmq_receive(void *receiver, uint64_t *number, uint64_t *time)
{
    char topic[64];
    unsigned char data[BUS_PAYLOAD];
    if (zmq_recv(receiver, topic, sizeof(topic), 0) < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return 0;
    } else if (zmq_recv(receiver, data, sizeof(data), 0) == sizeof(data)) {
        *number = get_number(data);
        *time = get_number(data + 8);
        return 1;
    }
    report("cannot receive: %s", zmq_strerror(errno));
    return -1;
}

const bus_library_t bus_libzmq = {
    .name = "libzmq",
    .sender_new = zmq_sender_new,
    .wait_ready = zmq_wait_ready,
    .send = zmq_send_message,
    .flush = zmq_flush,
    .sender_destroy = zmq_destroy,
    .receiver_new = zmq_receiver_new,
    .receive = zmq_receive,
    .receiver_destroy = zmq_destroy,
};
