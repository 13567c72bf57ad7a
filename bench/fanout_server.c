/*
 * The peer: a WebSocket server that does nothing but fan out, in one thread, over epoll.
 *
 *     fanout_server GATHER_MS
 *
 * Prints {"port":..,"feed":..}. A connection whose first line is `FEED` brings messages, each after its
 * length (32 bits, network order); every other one is a consumer, which upgrades with the key of RFC 6455,
 * section 1.3.
 *
 * It batches as the measured server does: a message is framed once, into a window that all consumers share; a
 * pass sends each consumer what it is due with one system call; a pass goes out at once when the last one is
 * long enough ago, else SPACING times the cost of the last one later, at most GATHER_MS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    SPACING = 4,
    EVENTS_MAX = 512,
    FILES_MAX = 1 << 16,
    INPUT_BYTES_MAX = 256 * 1024,
    UPGRADE_BYTES_MAX = 4096,
    MESSAGE_BYTES_MAX = 128 * 1024,
    WINDOW_BYTES = 64 * 1024 * 1024,
    BACKLOG = 4096,
};
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ANSWER                                                                           \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"   \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

enum phase { NEW, FEED, CONSUMER };

struct peer {
    int fd;
    uint8_t phase;
    bool waiting; /* its socket is full */
    int place;    /* in `consumers` */
    uint64_t sent; /* how much of all bytes ever framed */
    uint8_t *input;
    size_t have;
};

static uint64_t gather_ns;
static struct peer *peers[FILES_MAX];
static struct peer *consumers[FILES_MAX];
static int consumer_count, poll_fd, timer_fd, listener;
static uint8_t *window; /* every byte framed, at its number modulo WINDOW_BYTES */
static uint64_t end_of_window;
static bool due, spaced;

static void die(const char *what) {
    perror(what);
    exit(2);
}

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void watch(struct peer *p, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.fd = p->fd};
    if (epoll_ctl(poll_fd, operation, p->fd, &event) < 0)
        die("epoll_ctl");
}

static void leave(struct peer *p) {
    if (p->phase == CONSUMER) {
        consumers[p->place] = consumers[--consumer_count];
        consumers[p->place]->place = p->place;
    }
    peers[p->fd] = NULL;
    close(p->fd);
    free(p->input);
    free(p);
}

static void put(const uint8_t *data, size_t size) {
    size_t at = end_of_window % WINDOW_BYTES;
    size_t first = WINDOW_BYTES - at < size ? WINDOW_BYTES - at : size;
    memcpy(window + at, data, first);
    memcpy(window, data + first, size - first);
    end_of_window += size;
}

static void frame(const uint8_t *payload, uint32_t size) {
    uint8_t header[10] = {0x81};
    size_t length = 2;
    if (size < 126) {
        header[1] = (uint8_t)size;
    } else if (size < 1 << 16) {
        header[1] = 126, header[2] = (uint8_t)(size >> 8), header[3] = (uint8_t)size;
        length = 4;
    } else {
        header[1] = 127;
        for (int i = 0; i < 4; i++)
            header[6 + i] = (uint8_t)(size >> (24 - 8 * i));
        length = 10;
    }
    put(header, length);
    put(payload, size);
    due = true;
}

/* One system call, unless what is due wraps around the window's end. False where the consumer was ended. */
static bool give(struct peer *p) {
    if (end_of_window - p->sent > WINDOW_BYTES) {
        leave(p);
        return false;
    }
    while (p->sent < end_of_window) {
        size_t at = p->sent % WINDOW_BYTES, size = end_of_window - p->sent;
        if (size > WINDOW_BYTES - at)
            size = WINDOW_BYTES - at;
        ssize_t sent = send(p->fd, window + at, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                leave(p);
                return false;
            }
            sent = 0;
        }
        p->sent += (uint64_t)sent;
        if ((size_t)sent < size) {
            if (!p->waiting)
                watch(p, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            p->waiting = true;
            return true;
        }
    }
    if (p->waiting)
        watch(p, EPOLLIN, EPOLL_CTL_MOD);
    p->waiting = false;
    return true;
}

static void pass(void) {
    uint64_t began_ns = monotonic_ns();
    due = false;
    for (int i = 0; i < consumer_count;)
        if (consumers[i]->waiting || give(consumers[i]))
            i++;
    uint64_t pause_ns = (monotonic_ns() - began_ns) * SPACING;
    if (pause_ns > gather_ns)
        pause_ns = gather_ns;
    struct itimerspec at = {.it_value = {0, (long)pause_ns + 1}};
    timerfd_settime(timer_fd, 0, &at, NULL);
    spaced = true;
}

static void upgrade(struct peer *p) {
    if (!memmem(p->input, p->have, "\r\n\r\n", 4)) {
        if (p->have >= UPGRADE_BYTES_MAX)
            leave(p);
        return;
    }
    if (!memmem(p->input, p->have, KEY, strlen(KEY)) ||
        send(p->fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL) != (ssize_t)strlen(ANSWER)) {
        leave(p);
        return;
    }
    free(p->input);
    p->input = NULL;
    p->have = 0;
    p->phase = CONSUMER;
    p->sent = end_of_window;
    p->place = consumer_count;
    consumers[consumer_count++] = p;
}

static void feed(struct peer *p) {
    size_t at = 0;
    while (p->have - at >= 4) {
        const uint8_t *record = p->input + at;
        uint32_t size = 0;
        for (int i = 0; i < 4; i++)
            size = size << 8 | record[i];
        if (size > MESSAGE_BYTES_MAX) {
            leave(p);
            return;
        }
        if (p->have - at - 4 < size)
            break;
        frame(record + 4, size);
        at += 4 + size;
    }
    memmove(p->input, p->input + at, p->have - at);
    p->have -= at;
}

static void readable(struct peer *p) {
    static uint8_t ignored[4096];
    ssize_t size;
    if (p->phase == CONSUMER) { /* pongs, and the end */
        size = recv(p->fd, ignored, sizeof ignored, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN))
            leave(p);
        return;
    }
    size = recv(p->fd, p->input + p->have, INPUT_BYTES_MAX - p->have, 0);
    if (size <= 0) {
        if (size == 0 || errno != EAGAIN)
            leave(p);
        return;
    }
    p->have += (size_t)size;
    if (p->phase == NEW && p->have >= 5 && memcmp(p->input, "FEED\n", 5) == 0) {
        p->phase = FEED;
        p->have -= 5;
        memmove(p->input, p->input + 5, p->have);
    }
    if (p->phase == FEED)
        feed(p);
    else
        upgrade(p);
}

static void welcome(void) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p || !(p->input = malloc(INPUT_BYTES_MAX)) || fd >= FILES_MAX)
            die("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        p->fd = fd;
        peers[fd] = p;
        watch(p, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static int listening(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0 || listen(fd, BACKLOG) < 0)
        die("listen");
    getsockname(fd, (struct sockaddr *)&at, &size);
    printf("{\"port\":%d,\"feed\":%d}\n", ntohs(at.sin_port), ntohs(at.sin_port));
    fflush(stdout);
    return fd;
}

int main(int count, char **arguments) {
    if (count != 2 || !(gather_ns = strtoull(arguments[1], NULL, 10) * 1000000ULL))
        return fprintf(stderr, "fanout_server GATHER_MS\n"), 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    window = malloc(WINDOW_BYTES);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    listener = listening();
    if (!window || poll_fd < 0 || timer_fd < 0)
        die("start");
    struct peer own[] = {{.fd = listener}, {.fd = timer_fd}};
    watch(&own[0], EPOLLIN, EPOLL_CTL_ADD);
    watch(&own[1], EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                welcome();
            } else if (fd == timer_fd) {
                uint64_t times;
                if (read(timer_fd, &times, sizeof times) == sizeof times)
                    spaced = false;
            } else if (peers[fd]) {
                if (events[i].events & EPOLLOUT && !give(peers[fd]))
                    continue;
                if (events[i].events & ~(uint32_t)EPOLLOUT)
                    readable(peers[fd]);
            }
        }
        if (due && !spaced)
            pass();
    }
}
