#define _GNU_SOURCE
#include "allocation_counting.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 16, BUFFER_BYTES = 1 << 16 };

struct connection {
    int descriptor;
    char in[BUFFER_BYTES];
    size_t unread;
    char out[BUFFER_BYTES];
    size_t unsent;
};

static struct connection connections[CONNECTIONS_MAX];
static int listener;

static void send_all(struct connection *c) {
    size_t sent = 0;
    while (sent < c->unsent) {
        ssize_t n = write(c->descriptor, c->out + sent, c->unsent - sent);
        if (n <= 0) break;
        sent += (size_t)n;
    }
    c->unsent = 0;
}

static void reply(struct connection *c, const char *text) {
    size_t bytes = strlen(text);
    if (c->unsent + bytes > BUFFER_BYTES) send_all(c);
    memcpy(c->out + c->unsent, text, bytes);
    c->unsent += bytes;
}

// The number in the line that begins at `*at`, which moves behind it; -1 while the line isn't all there.
static long number(const struct connection *c, size_t *at) {
    long value = 0;
    for (size_t i = *at + 1; i + 1 < c->unread; i++) {
        if (c->in[i] == '\r') {
            *at = i + 2;
            return value;
        }
        value = value * 10 + (c->in[i] - '0');
    }
    return -1;
}

// Answers the request at `start`; returns where the next one begins, or `start` while it isn't all there.
static size_t answer(struct connection *c, size_t start) {
    size_t at = start;
    if (at >= c->unread) return start;
    long words = number(c, &at);
    if (words < 0) return start;
    const char *command = "";
    for (long word = 0; word < words; word++) {
        if (at >= c->unread) return start;
        long bytes = number(c, &at);
        if (bytes < 0 || at + (size_t)bytes + 2 > c->unread) return start;
        if (word == 0) command = c->in + at;
        at += (size_t)bytes + 2;
    }
    if (command[0] == 'G') reply(c, "$5\r\nvalue\r\n");
    else if (command[0] == 'V')
        reply(c, "%2\r\n$7\r\ncontext\r\n$1\r\nc\r\n$6\r\nvalues\r\n*1\r\n$5\r\nvalue\r\n");
    else if (command[0] == 'H') reply(c, "%1\r\n$5\r\nproto\r\n:3\r\n");
    else if (strncmp(command, "CLIENT", 6) == 0) reply(c, "+OK\r\n");
    else reply(c, "-ERR This instance has cluster support disabled\r\n");
    return at;
}

static void *serve(void *context) {
    struct connection *c = context;
    for (;;) {
        ssize_t n = read(c->descriptor, c->in + c->unread, BUFFER_BYTES - c->unread);
        if (n <= 0) break;
        c->unread += (size_t)n;
        size_t start = 0;
        for (size_t next; (next = answer(c, start)) != start;) start = next;
        memmove(c->in, c->in + start, c->unread - start);
        c->unread -= start;
        send_all(c);
    }
    close(c->descriptor);
    return NULL;
}

static void *accept_all(void *context) {
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &connections[i];
        c->descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (c->descriptor < 0) break;
        int on = 1;
        setsockopt(c->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, c) == 0) pthread_detach(thread);
    }
    return context;
}

uint16_t allocation_counting_server(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, bytes) < 0 || listen(listener, 16) < 0
        || getsockname(listener, (struct sockaddr *)&address, &bytes) < 0
        || pthread_create(&thread, NULL, accept_all, NULL) != 0)
        return 0;
    pthread_detach(thread);
    return ntohs(address.sin_port);
}
