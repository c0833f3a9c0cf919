/* libwebsockets, both roles. What is to be sent waits in a queue until lws says that it may be. */

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    struct out *next;
    enum lws_write_protocol kind;
    size_t len;
    unsigned char bytes[]; /* LWS_PRE before the payload */
};

struct session {
    struct out *first, **last;
    unsigned char *message;
    size_t len, capacity;
    int code, closing;
    char reason[124];
};

static int ended;

static void queue(struct lws *wsi, struct session *s, enum lws_write_protocol kind,
                  const void *payload, size_t len) {
    struct out *out = malloc(sizeof *out + LWS_PRE + len + 1);
    out->next = NULL;
    out->kind = kind;
    out->len = len;
    memcpy(out->bytes + LWS_PRE, payload, len);
    *s->last = out;
    s->last = &out->next;
    lws_callback_on_writable(wsi);
}

static int is(struct session *s, const char *text) {
    return s->len == strlen(text) && !memcmp(s->message, text, s->len);
}

static void obey(struct lws *wsi, struct session *s, int binary) {
    if (is(s, "zoo:burst")) {
        for (int number = 0; number < 500; number++) {
            char text[16];
            queue(wsi, s, LWS_WRITE_TEXT, text, (size_t)sprintf(text, "burst %d", number));
        }
    } else if (is(s, "zoo:fragments")) {
        char piece[5000];
        for (int at = 0; at < 5000; at++) piece[at] = (char)('0' + at % 10);
        for (int number = 0; number < 10; number++) {
            int kind = number ? LWS_WRITE_CONTINUATION : LWS_WRITE_TEXT;
            int more = number < 9 ? LWS_WRITE_NO_FIN : 0;
            queue(wsi, s, (enum lws_write_protocol)(kind | more), piece, sizeof piece);
        }
    } else if (is(s, "zoo:ping")) {
        queue(wsi, s, LWS_WRITE_PING, "zoo", 3);
    } else if (is(s, "zoo:close")) {
        s->closing = 1;
        lws_callback_on_writable(wsi);
    } else {
        queue(wsi, s, binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT, s->message, s->len);
    }
    s->len = 0;
}

static void receive(struct lws *wsi, struct session *s, const void *in, size_t len) {
    if (s->len + len + 1 > s->capacity) {
        s->capacity = (s->len + len + 1) * 2;
        s->message = realloc(s->message, s->capacity);
    }
    memcpy(s->message + s->len, in, len);
    s->len += len;
    if (lws_is_final_fragment(wsi)) obey(wsi, s, lws_frame_is_binary(wsi));
}

static int writable(struct lws *wsi, struct session *s) {
    struct out *out = s->first;
    if (!out) {
        if (!s->closing) return 0;
        char reason[] = "the zoo says bye \xc3\xbc";
        lws_close_reason(wsi, 4001, (unsigned char *)reason, strlen(reason));
        return -1;
    }
    if (lws_write(wsi, out->bytes + LWS_PRE, out->len, out->kind) < (int)out->len) return -1;
    s->first = out->next;
    if (!s->first) s->last = &s->first;
    free(out);
    if (s->first || s->closing) lws_callback_on_writable(wsi);
    return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len) {
    struct session *s = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        memset(s, 0, sizeof *s);
        s->last = &s->first;
        s->code = 1006;
        break;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
        receive(wsi, s, in, len);
        break;
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG: {
        char text[140];
        int text_len = sprintf(text, "zoo:pong %.*s", (int)len, (char *)in);
        queue(wsi, s, LWS_WRITE_TEXT, text, (size_t)text_len);
        break;
    }
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: {
        unsigned char *bytes = in;
        s->code = len >= 2 ? bytes[0] << 8 | bytes[1] : 1005;
        if (len > 2) snprintf(s->reason, sizeof s->reason, "%.*s", (int)len - 2, bytes + 2);
        break;
    }
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return writable(wsi, s);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLIENT_CLOSED:
        printf("closed %d %s\n", s->code, s->reason);
        free(s->message);
        ended = 1;
        break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fprintf(stderr, "%s\n", in ? (char *)in : "no connection");
        exit(1);
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {"zoo", callback, sizeof(struct session), 65536, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv) {
    int server = argc > 1 && !strcmp(argv[1], "server");
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    setvbuf(stdout, NULL, _IOLBF, 0);
    lws_set_log_level(LLL_ERR, NULL);
    info.port = server ? 0 : CONTEXT_PORT_NO_LISTEN;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.extensions = extensions;
    info.gid = info.uid = (unsigned)-1;
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    struct lws_context *context = lws_create_context(&info);
    struct lws_vhost *vhost = lws_create_vhost(context, &info);
    if (server) {
        printf("port %d\n", lws_get_vhost_listen_port(vhost));
        while (lws_service(context, 0) >= 0) continue;
    }
    for (int at = 2; at < argc; at++) {
        const char *scheme, *address, *path;
        int port;
        char full[200], host[100];
        if (lws_parse_uri(argv[at], &scheme, &address, &port, &path)) return 1;
        snprintf(full, sizeof full, "/%s", path);
        snprintf(host, sizeof host, "%s:%d", address, port);
        struct lws_client_connect_info connect;
        memset(&connect, 0, sizeof connect);
        connect.context = context;
        connect.vhost = vhost;
        connect.address = address;
        connect.host = host;
        connect.port = port;
        connect.path = full;
        connect.ietf_version_or_minus_one = -1;
        connect.local_protocol_name = "zoo";
        ended = 0;
        lws_client_connect_via_info(&connect);
        while (!ended && lws_service(context, 0) >= 0) continue;
    }
    lws_context_destroy(context);
    return 0;
}
