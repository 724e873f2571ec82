// SPDX-License-Identifier: MIT
// An echo server on the gateway's layers, without the bus: for the public conformance suites, and
// as the proof that gateway/session is a Socket.IO server of its own.
//
//   talus-echo-server --listen HOST:PORT [--engine-only] [--ping-interval MS] [--ping-timeout MS]
//                     [--connect-timeout MS] [--max-payload BYTES]

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/session/sio_server.h"
#include "gateway/transport/listener.h"

struct echo {
    struct sio_server *sio;
    struct eio_server *engine; // with --engine-only
    struct http_server *http;
    struct gw_loop *loop;
    uv_signal_t on_term;
};

// ---- Socket.IO

static void on_connection(struct sio_socket *socket, const json_t *auth, void *arg)
{
    (void)arg;
    json_t *copy = auth ? json_deep_copy(auth) : json_object();
    struct sio_message message = {.args = json_pack("[so]", "auth", copy)};
    sio_emit(socket, &message);
    json_decref(message.args);
}

static void on_event(struct sio_socket *socket, const struct sio_message *message,
                     struct sio_ack *ack, void *arg)
{
    (void)arg;
    const char *name = json_string_value(json_array_get(message->args, 0));
    struct sio_message answer = *message;
    answer.args = json_copy(message->args);
    if (name && strcmp(name, "message") == 0) {
        json_array_set_new(answer.args, 0, json_string("message-back"));
        sio_emit(socket, &answer);
    } else if (name && strcmp(name, "message-with-ack") == 0 && ack) {
        json_array_remove(answer.args, 0);
        sio_ack_answer(ack, answer.args, answer.attachments, answer.attachment_count);
        ack = NULL;
    }
    sio_ack_drop(ack);
    json_decref(answer.args);
}

// ---- Engine.IO

static void on_open(struct eio_session *session, void *arg)
{
    (void)session;
    (void)arg;
}

static void on_message(struct eio_session *session, bool is_binary, const uint8_t *bytes,
                       size_t size, void *arg)
{
    (void)arg;
    eio_session_send_message(session, is_binary, bytes, size);
}

static void on_close(struct eio_session *session, const char *reason, void *arg)
{
    (void)session;
    (void)reason;
    (void)arg;
}

// ---- The program

static bool is_for_us(const struct echo *echo, const struct http_request *request)
{
    const char *path = echo->engine ? "/engine.io/" : "/socket.io/";
    return strncmp(request->path, path, strlen(path)) == 0;
}

static void on_head(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    struct echo *echo = arg;
    if (is_for_us(echo, request) && echo->engine)
        eio_server_handle_head(echo->engine, exchange, request);
    else if (is_for_us(echo, request))
        sio_server_handle_head(echo->sio, exchange, request);
}

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    struct echo *echo = arg;
    if (!is_for_us(echo, request))
        http_respond(exchange, 404, "", "", 0, false);
    else if (echo->engine)
        eio_server_handle(echo->engine, exchange, request);
    else
        sio_server_handle(echo->sio, exchange, request);
}

static void on_accept(int fd, void *arg)
{
    http_server_take(((struct echo *)arg)->http, fd);
}

static void on_signal(uv_signal_t *signal_handle, int number)
{
    (void)number;
    gw_loop_stop(((struct echo *)signal_handle->data)->loop);
}

static bool open_servers(struct echo *echo, const struct sio_server_options *options,
                         bool is_engine_only, struct gw_metrics *metrics)
{
    static const struct sio_handler handler = {
        .on_connection = on_connection,
        .on_event = on_event,
    };
    static const struct eio_handler engine = {
        .on_open = on_open,
        .on_message = on_message,
        .on_close = on_close,
    };
    if (is_engine_only) {
        echo->engine = eio_server_new(echo->loop, metrics, &options->engine, &engine, echo);
        return echo->engine != NULL;
    }
    echo->sio = sio_server_new(echo->loop, metrics, options);
    return echo->sio && sio_server_add_namespace(echo->sio, "/", &handler, echo) &&
           sio_server_add_namespace(echo->sio, "/custom", &handler, echo);
}

// ---- Options

#define NUMBER_MAX 1000000000ul

struct arguments {
    const char *address;
    bool is_engine_only;
    struct sio_server_options sio;
};

static bool complain(const char *what, const char *why)
{
    fprintf(stderr, "talus-echo-server: %s %s\n", what, why);
    return false;
}

static bool parse_number(const char *text, unsigned *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *number = (unsigned)value;
    return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && value >= 1 &&
           value <= NUMBER_MAX;
}

static bool read_options(struct arguments *arguments, int argc, char **argv)
{
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'},
        {"ping-interval", required_argument, NULL, 'i'},
        {"ping-timeout", required_argument, NULL, 't'},
        {"connect-timeout", required_argument, NULL, 'c'},
        {"max-payload", required_argument, NULL, 'm'},
        {"engine-only", no_argument, NULL, 'e'},
        {0},
    };
    opterr = 0;
    for (int at = optind; at < argc; at = optind) {
        unsigned number = 0;
        int got = getopt_long(argc, argv, "+:", longs, NULL);
        if (got == ':')
            return complain(argv[at], "needs a value");
        if (got == '?' || got == -1)
            return complain(argv[at], "is no option");
        if (strchr("itcm", got) && !parse_number(optarg, &number))
            return complain(argv[at], "takes a number from 1 to 1000000000");
        if (got == 'l')
            arguments->address = optarg;
        else if (got == 'i')
            arguments->sio.engine.ping_interval_ms = number;
        else if (got == 't')
            arguments->sio.engine.ping_timeout_ms = number;
        else if (got == 'c')
            arguments->sio.connect_timeout_ms = number;
        else if (got == 'm')
            arguments->sio.engine.max_payload = number;
        else
            arguments->is_engine_only = true;
    }
    return true;
}

// ---- Main

static void serve(struct echo *echo, const struct listener *listener)
{
    echo->on_term.data = echo;
    uv_signal_init(gw_loop_uv(echo->loop), &echo->on_term);
    uv_signal_start(&echo->on_term, on_signal, SIGTERM);
    printf("talus-echo-server listening on http://%s\n", listener_address(listener));
    fflush(stdout);
    gw_loop_run(echo->loop);
    uv_close((uv_handle_t *)&echo->on_term, NULL);
}

int main(int argc, char **argv)
{
    static struct gw_metrics metrics;
    struct echo echo = {0};
    struct arguments arguments = {.address = "127.0.0.1:0"};
    struct http_server_options http;
    struct cors cors = {.is_any = true};
    struct listener *listener = NULL;
    char error[256] = "out of memory";
    sio_server_options_init(&arguments.sio);
    arguments.sio.engine.cors = &cors;
    if (!read_options(&arguments, argc, argv))
        return 2;
    http_server_options_init(&http);
    http.limits.max_body = arguments.sio.engine.max_payload;
    http.on_head = on_head;
    echo.loop = gw_loop_new();
    if (echo.loop && open_servers(&echo, &arguments.sio, arguments.is_engine_only, &metrics))
        echo.http = http_server_new(echo.loop, &metrics, &http, on_request, &echo);
    if (echo.http)
        listener = listener_open(echo.loop, &metrics, arguments.address, on_accept, &echo, error,
                                 sizeof error);
    bool is_serving = listener != NULL;
    if (is_serving)
        serve(&echo, listener);
    else
        fprintf(stderr, "talus-echo-server: %s\n", error);
    listener_close(&listener);
    http_server_destroy(&echo.http);
    eio_server_destroy(&echo.engine);
    sio_server_destroy(&echo.sio);
    gw_loop_destroy(&echo.loop);
    return is_serving ? 0 : 1;
}
