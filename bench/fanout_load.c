/*
 * Many WebSocket consumers in one thread, over epoll: counts and checks what each of them gets.
 *
 *     fanout_load PORT CONSUMERS REQUESTS
 *
 * REQUESTS is a file of upgrade requests, each after its length (32 bits, the machine's order); consumer I
 * sends the one at I modulo their number. All carry the key of RFC 6455, section 1.3, whose answer is known.
 *
 * Commands come as lines on standard input; each is answered by one line of JSON on standard output:
 *
 *     connect LIMIT        opens all connections, at most LIMIT handshakes at once (0: all at once); answers
 *                          when none is under way any more
 *     cut                  ends all connections
 *     mark                 counters since the start
 *     await SEQ            answers when every consumer has everything up to SEQ
 *     snapshots COUNT      answers when every consumer has had COUNT whole snapshots since it connected
 *     pongs                answers when every consumer has answered a ping since this was asked
 *     digest 0|1           starts to digest the payloads of what follows, or stops
 *     record FIRST COUNT   keeps from now on when each consumer gets each change from FIRST on
 *     latency FILE         percentiles of that against the instants in FILE: one for each change recorded,
 *                          64 bits, nanoseconds of CLOCK_MONOTONIC; 0 leaves a change out
 *     quit
 *
 * With little to read it rests for half a millisecond before it looks again: to wake a program that waits costs the
 * one that sends, here as much as the sending, and a server does not wake consumers on other machines.
 *
 * Messages are told apart by `"type"`, looked at in the first HEAD_BYTES of each. `"seq"` has to grow from
 * one to the next: by one where a message is one change (`status:update`); else `"prev"` has to be the last
 * one's `"seq"` (`changes`, `heartbeat`). What does not is counted as a hole or a disorder.
 *
 * Every tenth consumer reads its snapshots and adds up their bytes. The others have the kernel count and drop
 * the rest of one: to copy gigabytes is more than the core of the consumers can do while a server sends them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    REST_READY_MAX = 64,
    REST_NS = 500000,
    HEAD_BYTES = 192,
    HEADER_BYTES_MAX = 10,
    RECEIVE_BYTES_MAX = 512 * 1024,
    SUMMED_EVERY = 10,
    UPGRADE_BYTES_MAX = 2048,
    COMMAND_BYTES_MAX = 4096,
    EVENTS_MAX = 512,
    BUCKET_US = 10,
    BUCKETS = 1000 * 1000 * 20 / BUCKET_US,
};
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#define FNV_START 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL

enum phase { CLOSED, CONNECTING, UPGRADING, OPEN };
enum kind { OTHER, UPDATE, CHANGES, SNAPSHOT, RAW, HEARTBEAT };

struct consumer {
    int fd;
    uint8_t phase;
    uint8_t kind; /* of the message under way */
    uint8_t opcode;
    bool compressed;
    bool last_part;
    bool based; /* whether a position is known that the next message has to follow */
    bool ponged;
    uint16_t have;
    uint64_t rest; /* payload bytes of the message under way that have not come yet */
    uint64_t prev, seq;
    uint64_t last;
    uint64_t messages;
    uint64_t snapshots;
    uint64_t snapshot_bytes, snapshot_sum;
    uint64_t digest;
    uint8_t head[UPGRADE_BYTES_MAX];
};

static struct consumer *consumers;
static int count, poll_fd, port;
static int digesting;
static uint8_t received[RECEIVE_BYTES_MAX];
static struct request {
    uint8_t *data;
    uint32_t length;
} *requests;
static int request_count;

static uint64_t frames, messages, raws, others, bytes, holes, disorders, bad, ended, reads;
static char complaint[256];
static int open_count, connecting, next_to_connect, connect_limit;
static bool connect_asked;
static uint64_t awaited, snapshots_awaited;
static bool await_asked, snapshots_asked, pongs_asked;
static int behind;
static uint64_t connect_began_ns, now_ns;

static uint64_t record_first, record_count, record_began_ns;
static uint32_t *arrivals;

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void complain(struct consumer *c, const char *what, const void *detail, size_t length) {
    bad++;
    if (complaint[0])
        return;
    int used = snprintf(complaint, sizeof complaint, "consumer %d: %s ", (int)(c - consumers), what);
    for (size_t i = 0; i < length && used < (int)sizeof complaint - 1 && i < 120; i++) {
        char byte = ((const char *)detail)[i];
        complaint[used++] = byte >= 32 && byte < 127 && byte != '"' && byte != '\\' ? byte : '.';
    }
    complaint[used] = 0;
}

/* -- questions that are answered when all consumers are there -------------------------------------------- */

static void met(void) {
    if (--behind == 0) {
        printf("{\"at_ns\":%lu}\n", monotonic_ns());
        await_asked = snapshots_asked = pongs_asked = false;
    }
}

static void ask(bool *question, bool (*lacks)(struct consumer *)) {
    *question = true;
    behind = 1;
    for (int i = 0; i < count; i++)
        behind += lacks(&consumers[i]);
    met();
}

static bool lacks_seq(struct consumer *c) { return c->last < awaited; }
static bool lacks_snapshots(struct consumer *c) { return c->snapshots < snapshots_awaited; }
static bool lacks_pong(struct consumer *c) { return !c->ponged; }

/* -- one consumer ---------------------------------------------------------------------------------------- */

static void start(struct consumer *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct linger at_once = {1, 0}; /* no port waits after its connection was cut */
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(c, 0, offsetof(struct consumer, head));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->digest = FNV_START;
    c->phase = CONNECTING;
    connecting++;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        die("connect");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
        die("epoll_ctl");
}

static void start_more(void) {
    while (next_to_connect < count && (connect_limit == 0 || connecting < connect_limit))
        start(&consumers[next_to_connect++]);
}

static void end(struct consumer *c) {
    if (c->phase == CLOSED)
        return;
    if (c->phase == OPEN)
        open_count--;
    else
        connecting--;
    close(c->fd);
    c->phase = CLOSED;
}

static void connected(struct consumer *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        complain(c, "cannot connect:", strerror(error), strlen(strerror(error)));
        end(c);
        return;
    }
    struct request *request = &requests[(c - consumers) % request_count];
    if (send(c->fd, request->data, request->length, MSG_NOSIGNAL) != (ssize_t)request->length)
        complain(c, "cannot send its request", "", 0);
    c->phase = UPGRADING;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void pong(struct consumer *c, const uint8_t *payload, size_t length) {
    uint8_t frame[6 + 125] = {0x8a, (uint8_t)(0x80 | length)};
    memcpy(frame + 6, payload, length); /* the mask is 0 */
    if (send(c->fd, frame, 6 + length, MSG_NOSIGNAL) < 0)
        complain(c, "cannot send a pong", "", 0);
    if (!c->ponged) {
        c->ponged = true;
        if (pongs_asked)
            met();
    }
}

static bool number(const uint8_t *payload, size_t length, const char *name, uint64_t *found) {
    size_t name_length = strlen(name);
    const uint8_t *at = memmem(payload, length, name, name_length);
    if (!at)
        return false;
    const uint8_t *end_at = payload + length;
    at += name_length;
    *found = 0;
    while (at < end_at && *at >= '0' && *at <= '9')
        *found = *found * 10 + (uint64_t)(*at++ - '0');
    return true;
}

static bool begins(const uint8_t *payload, size_t length, const char *word) {
    size_t word_length = strlen(word);
    return length >= word_length && memcmp(payload, word, word_length) == 0;
}

/* The first bytes of a message: which it is, and its position. */
static void look(struct consumer *c, const uint8_t *payload, size_t length) {
    static const char type[] = "{\"type\":\"";
    uint64_t part = 1, parts = 1;
    c->kind = OTHER;
    if (c->compressed || !begins(payload, length, type))
        return;
    const uint8_t *word = payload + sizeof type - 1;
    size_t left = length - (sizeof type - 1);
    if (begins(word, left, "status:update"))
        c->kind = UPDATE;
    else if (begins(word, left, "status:raw"))
        c->kind = RAW;
    else if (begins(word, left, "changes"))
        c->kind = CHANGES;
    else if (begins(word, left, "snapshot"))
        c->kind = SNAPSHOT;
    else if (begins(word, left, "heartbeat"))
        c->kind = HEARTBEAT;
    if (c->kind == OTHER || c->kind == RAW)
        return;
    if (!number(word, left, "\"seq\":", &c->seq))
        complain(c, "no seq in", payload, length);
    if (c->kind == UPDATE)
        c->prev = c->seq - 1;
    else if (c->kind != SNAPSHOT && !number(word, left, "\"prev\":", &c->prev))
        complain(c, "no prev in", payload, length);
    if (c->kind == SNAPSHOT) {
        number(word, left, "\"part\":", &part);
        number(word, left, "\"parts\":", &parts);
        c->last_part = part == parts;
        if (part == 1)
            c->snapshot_bytes = c->snapshot_sum = 0;
    }
}

static void keep(struct consumer *c, uint64_t from, uint64_t to) {
    uint64_t place = (uint64_t)(c - consumers);
    uint32_t after_us = (uint32_t)((now_ns - record_began_ns) / 1000);
    if (to >= record_first + record_count)
        to = record_first + record_count - 1;
    if (from < record_first)
        from = record_first;
    for (uint64_t seq = from; seq <= to; seq++)
        arrivals[(seq - record_first) * (uint64_t)count + place] = after_us ? after_us : 1;
}

static void advance(struct consumer *c, uint64_t seq) {
    bool lacked = c->last < awaited;
    c->last = seq;
    c->based = true;
    if (await_asked && lacked && seq >= awaited)
        met();
}

/* The whole message is there. */
static void arrived(struct consumer *c) {
    if (c->opcode != 1)
        return;
    frames++;
    switch (c->kind) {
    case UPDATE:
    case CHANGES:
        messages++;
        c->messages++;
        /* fall through */
    case HEARTBEAT:
        if (c->based && c->seq < c->last)
            disorders++;
        else if (c->based && c->prev != c->last)
            holes++;
        if (arrivals && c->kind != HEARTBEAT)
            keep(c, c->prev + 1, c->seq);
        advance(c, c->seq);
        break;
    case SNAPSHOT:
        if (!c->last_part)
            break;
        c->snapshots++;
        advance(c, c->seq);
        if (snapshots_asked && c->snapshots == snapshots_awaited)
            met();
        break;
    case RAW:
        raws++;
        break;
    default:
        others++;
        if (c->compressed)
            c->messages++;
    }
}

static bool summed(struct consumer *c) { return (c - consumers) % SUMMED_EVERY == 0; }

static void body(struct consumer *c, const uint8_t *payload, size_t length) {
    if (c->opcode != 1)
        return;
    if (c->kind == SNAPSHOT) {
        uint64_t sum = 0;
        for (size_t i = 0; summed(c) && i < length; i++)
            sum += payload[i];
        c->snapshot_sum += sum;
        c->snapshot_bytes += length;
    } else if (digesting && (c->kind == UPDATE || c->kind == CHANGES || c->compressed)) {
        uint64_t digest = c->digest;
        for (size_t i = 0; i < length; i++)
            digest = (digest ^ payload[i]) * FNV_PRIME;
        c->digest = digest;
    }
}

/* How many bytes have to be there before a frame can be looked at. */
static size_t wanted(const uint8_t *frame, size_t have, size_t *header, uint64_t *length) {
    if (have < 2)
        return 2;
    uint8_t short_length = frame[1] & 0x7f;
    *header = short_length < 126 ? 2 : short_length == 126 ? 4 : 10;
    if (have < *header)
        return *header;
    if (short_length < 126)
        *length = short_length;
    else if (short_length == 126)
        *length = (uint64_t)frame[2] << 8 | frame[3];
    else {
        *length = 0;
        for (int i = 2; i < 10; i++)
            *length = *length << 8 | frame[i];
    }
    return *header + (*length < HEAD_BYTES ? *length : HEAD_BYTES);
}

/* A frame's header is there, and as much of its payload as is wanted; false where that was the end. */
static bool begun(struct consumer *c, const uint8_t *frame, size_t header, uint64_t length, size_t there) {
    c->opcode = frame[0] & 0x0f;
    c->compressed = frame[0] & 0x40;
    if (c->opcode == 9 && length <= 125) {
        pong(c, frame + header, length);
    } else if (c->opcode == 8) {
        uint16_t code = length >= 2 ? (uint16_t)(frame[header] << 8 | frame[header + 1]) : 0;
        char text[16];
        snprintf(text, sizeof text, "%u", code);
        complain(c, "was closed with", text, strlen(text));
        ended++;
        end(c);
        return false;
    } else if (c->opcode == 1 && frame[0] & 0x80 && !(frame[1] & 0x80)) {
        look(c, frame + header, there);
    } else if (c->opcode != 10) {
        complain(c, "got a frame that is not a whole text message:", frame, header);
    }
    c->rest = length;
    return true;
}

static void take(struct consumer *c, const uint8_t *data, size_t size) {
    size_t header = 0, need;
    uint64_t length = 0;
    while (size) {
        if (c->rest) {
            size_t part = c->rest < size ? (size_t)c->rest : size;
            body(c, data, part);
            data += part, size -= part, c->rest -= part;
            if (!c->rest)
                arrived(c);
            continue;
        }
        if (!c->have) {
            need = wanted(data, size, &header, &length);
            if (need <= size) { /* the usual: no byte is copied */
                if (!begun(c, data, header, length, need - header))
                    return;
                data += header, size -= header;
                if (!c->rest)
                    arrived(c);
                continue;
            }
        }
        need = wanted(c->head, c->have, &header, &length);
        while (c->have < need && size) {
            size_t part = need - c->have < size ? need - c->have : size;
            memcpy(c->head + c->have, data, part);
            c->have += (uint16_t)part, data += part, size -= part;
            need = wanted(c->head, c->have, &header, &length);
        }
        if (c->have < need)
            return;
        if (!begun(c, c->head, header, length, need - header))
            return;
        size_t there = c->have - header;
        c->have = 0;
        body(c, c->head + header, there);
        c->rest -= there;
        if (!c->rest)
            arrived(c);
    }
}

static void upgraded(struct consumer *c, const uint8_t *data, size_t size) {
    size_t part = sizeof c->head - 1 - c->have < size ? sizeof c->head - 1 - c->have : size;
    memcpy(c->head + c->have, data, part);
    uint8_t *end_at = memmem(c->head, c->have + part, "\r\n\r\n", 4);
    if (!end_at) {
        c->have += (uint16_t)part;
        if (c->have == sizeof c->head - 1) {
            complain(c, "got an endless answer:", c->head, c->have);
            end(c);
        }
        return;
    }
    size_t answer = (size_t)(end_at + 4 - c->head);
    size_t used = answer - c->have;
    if (memcmp(c->head, "HTTP/1.1 101", 12) != 0 || !memmem(c->head, answer, ACCEPT, strlen(ACCEPT))) {
        complain(c, "was refused:", c->head, answer);
        end(c);
        return;
    }
    c->have = 0;
    c->phase = OPEN;
    open_count++;
    connecting--;
    take(c, data + used, size - used);
}

static void readable(struct consumer *c) {
    bool drops = c->phase == OPEN && c->rest && c->opcode == 1 && c->kind == SNAPSHOT && !summed(c);
    size_t most = drops && c->rest < sizeof received ? (size_t)c->rest : sizeof received;
    ssize_t size = recv(c->fd, received, most, drops ? MSG_TRUNC : 0);
    if (size <= 0) {
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        complain(c, size ? strerror(errno) : "the server ended the connection", "", 0);
        ended++;
        end(c);
        return;
    }
    now_ns = monotonic_ns();
    bytes += (uint64_t)size;
    reads++;
    if (drops) {
        c->snapshot_bytes += (uint64_t)size, c->rest -= (uint64_t)size;
        if (!c->rest)
            arrived(c);
    } else if (c->phase == OPEN)
        take(c, received, (size_t)size);
    else
        upgraded(c, received, (size_t)size);
}

/* -- commands -------------------------------------------------------------------------------------------- */

static void tell_connected(void) {
    connect_asked = false;
    printf("{\"at_ns\":%lu,\"began_ns\":%lu,\"open\":%d,\"bad\":%lu,\"complaint\":\"%s\"}\n",
           monotonic_ns(), connect_began_ns, open_count, bad, complaint);
}

static void mark(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    uint64_t cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    uint64_t last_min = UINT64_MAX, last_max = 0;
    uint64_t messages_min = UINT64_MAX, messages_max = 0;
    int digests_differ = 0, snapshots_differ = 0;
    for (int i = 0; i < count; i++) {
        struct consumer *c = &consumers[i];
        last_min = c->last < last_min ? c->last : last_min;
        last_max = c->last > last_max ? c->last : last_max;
        messages_min = c->messages < messages_min ? c->messages : messages_min;
        messages_max = c->messages > messages_max ? c->messages : messages_max;
        digests_differ += c->digest != consumers[0].digest;
        snapshots_differ += (summed(c) && c->snapshot_sum != consumers[0].snapshot_sum) ||
                            c->snapshot_bytes != consumers[0].snapshot_bytes;
    }
    printf("{\"at_ns\":%lu,\"cpu_us\":%lu,\"open\":%d,\"ended\":%lu,\"frames\":%lu,\"messages\":%lu,"
           "\"raws\":%lu,\"others\":%lu,\"bytes\":%lu,\"reads\":%lu,\"holes\":%lu,\"disorders\":%lu,",
           monotonic_ns(), cpu_us, open_count, ended, frames, messages, raws, others, bytes, reads, holes,
           disorders);
    printf("\"bad\":%lu,\"complaint\":\"%s\",\"last_min\":%lu,\"last_max\":%lu,\"messages_min\":%lu,"
           "\"messages_max\":%lu,\"digest\":\"%016lx\",\"digests_differ\":%d,\"snapshot_bytes\":%lu,"
           "\"snapshot_sum\":%lu,\"snapshots_differ\":%d}\n",
           bad, complaint, last_min, last_max, messages_min, messages_max, consumers->digest, digests_differ,
           consumers->snapshot_bytes, consumers->snapshot_sum, snapshots_differ);
}

static void latency(const char *path) {
    static uint32_t buckets[BUCKETS + 1];
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    memset(buckets, 0, sizeof buckets);
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    uint64_t total = 0, missing = 0, early = 0, largest = 0, sum = 0;
    for (uint64_t row = 0; row < record_count; row++) {
        uint64_t from_ns;
        if (fread(&from_ns, sizeof from_ns, 1, file) != 1)
            die("fread");
        if (!from_ns)
            continue;
        for (int i = 0; i < count; i++) {
            uint32_t after_us = arrivals[row * (uint64_t)count + (uint64_t)i];
            if (!after_us) {
                missing++;
                continue;
            }
            int64_t took_us = ((int64_t)record_began_ns - (int64_t)from_ns) / 1000 + after_us;
            if (took_us < 0) {
                early++;
                took_us = 0;
            }
            uint64_t bucket = (uint64_t)took_us / BUCKET_US;
            buckets[bucket < BUCKETS ? bucket : BUCKETS]++;
            largest = (uint64_t)took_us > largest ? (uint64_t)took_us : largest;
            sum += (uint64_t)took_us;
            total++;
        }
    }
    fclose(file);
    printf("{\"count\":%lu,\"missing\":%lu,\"early\":%lu,\"mean_us\":%lu,\"max_us\":%lu,\"p_us\":[",
           total, missing, early, total ? sum / total : 0, largest);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        uint64_t below = 0, bucket = 0, rank = (uint64_t)((double)total * shares[i]);
        while (bucket < BUCKETS && below + buckets[bucket] <= rank)
            below += buckets[bucket++];
        printf("%s%lu", i ? "," : "", bucket * BUCKET_US);
    }
    printf("]}\n");
}

static void obey(char *line) {
    char path[COMMAND_BYTES_MAX];
    if (sscanf(line, "connect %d", &connect_limit) == 1) {
        connect_began_ns = monotonic_ns();
        connect_asked = true;
        next_to_connect = 0;
        start_more();
    } else if (strcmp(line, "cut") == 0) {
        for (int i = 0; i < count; i++)
            end(&consumers[i]);
        printf("{\"at_ns\":%lu}\n", monotonic_ns());
    } else if (strcmp(line, "mark") == 0) {
        mark();
    } else if (sscanf(line, "await %lu", &awaited) == 1) {
        ask(&await_asked, lacks_seq);
    } else if (sscanf(line, "snapshots %lu", &snapshots_awaited) == 1) {
        ask(&snapshots_asked, lacks_snapshots);
    } else if (strcmp(line, "pongs") == 0) {
        for (int i = 0; i < count; i++)
            consumers[i].ponged = false;
        ask(&pongs_asked, lacks_pong);
    } else if (sscanf(line, "digest %d", &digesting) == 1) {
        for (int i = 0; i < count; i++)
            consumers[i].digest = FNV_START;
        printf("{\"at_ns\":%lu}\n", monotonic_ns());
    } else if (sscanf(line, "record %lu %lu", &record_first, &record_count) == 2) {
        free(arrivals);
        arrivals = calloc(record_count * (uint64_t)count, sizeof *arrivals);
        if (!arrivals)
            die("calloc");
        record_began_ns = monotonic_ns();
        printf("{\"at_ns\":%lu}\n", record_began_ns);
    } else if (sscanf(line, "latency %4095[^\n]", path) == 1) {
        latency(path);
    } else if (strcmp(line, "quit") == 0) {
        exit(0);
    } else {
        fprintf(stderr, "unknown command: %s\n", line);
        exit(2);
    }
}

static void command(void) {
    static char text[COMMAND_BYTES_MAX];
    static size_t have;
    ssize_t size = read(STDIN_FILENO, text + have, sizeof text - 1 - have);
    if (size <= 0)
        exit(0);
    have += (size_t)size;
    char *line_end;
    while ((line_end = memchr(text, '\n', have))) {
        *line_end = 0;
        obey(text);
        size_t used = (size_t)(line_end + 1 - text);
        memmove(text, line_end + 1, have - used);
        have -= used;
    }
}

static void load_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    uint32_t length;
    if (!file)
        die(path);
    while (fread(&length, sizeof length, 1, file) == 1) {
        requests = realloc(requests, (size_t)(request_count + 1) * sizeof *requests);
        uint8_t *data = malloc(length);
        if (!requests || !data || fread(data, 1, length, file) != length)
            die("requests");
        requests[request_count].data = data;
        requests[request_count++].length = length;
    }
    fclose(file);
    if (!request_count)
        die("no request");
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fanout_load PORT CONSUMERS REQUESTS\n");
        return 2;
    }
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    load_requests(argv[3]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    consumers = calloc((size_t)count, sizeof *consumers);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (!consumers || poll_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
        die("start");
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct consumer *c = events[i].data.ptr;
            if (!c)
                command();
            else if (c->phase == CONNECTING)
                connected(c);
            else if (c->phase != CLOSED)
                readable(c);
        }
        if (!connect_asked && connecting == 0 && ready < REST_READY_MAX)
            nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        if (connect_asked) {
            start_more();
            if (next_to_connect == count && connecting == 0)
                tell_connected();
        }
    }
}
