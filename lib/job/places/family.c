#include "family.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "text.h"

enum { PROC_FILE = 4 << 20, SOCKETS_MOST = 16 };

void tn_family_init(struct family *family, const struct memory *memory)
{
    memset(family, 0, sizeof *family);
    family->memory = memory;
}

void tn_family_clear(struct family *family)
{
    if (family->memory != NULL)
        tn_release(family->memory, family->items);
    family->items = NULL;
    family->count = family->room = 0;
}

/* ---- what the system says of a process ---- */

/* A file below /proc/ID; false where it is not there, or not ours to read. */
static bool read_proc(const struct memory *memory, int32_t id, const char *name, struct text *out)
{
    struct failure ignored;
    char path[64];
    bool found;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)id, name);
    tn_failure_init(&ignored, memory, NULL);
    tn_text_reset(out);
    found = tn_file_read_whole(path, PROC_FILE, out, &ignored) == TENON_OK;
    tn_failure_clear(&ignored);
    return found;
}

/* "ID (name) state parent group ... start": the name may hold blanks and brackets, so read from its end. */
static bool look_at(const struct memory *memory, int32_t id, struct relative *relative)
{
    struct text line;
    const char *rest;
    char state = 'X';
    int parent = 0, group = 0;
    bool found = false;

    tn_text_init(&line, memory, PROC_FILE);
    rest = read_proc(memory, id, "stat", &line) ? strrchr(tn_text(&line), ')') : NULL;
    if (rest != NULL && sscanf(rest + 1, " %c %d %d", &state, &parent, &group) == 3) {
        relative->process = tn_process_find(id);
        relative->parent = parent;
        relative->group = group;
        relative->ended = state == 'Z' || state == 'X';
        found = relative->process.start != 0;
    }
    tn_text_clear(&line);
    return found;
}

bool tn_family_has(const struct family *family, int32_t id)
{
    bool found = false;

    for (size_t i = 0; i < family->count && !found; i++)
        found = family->items[i].process.id == id;
    return found;
}

static tenon_status add_one(struct family *family, int32_t id)
{
    struct relative relative;

    if (tn_family_has(family, id) || !look_at(family->memory, id, &relative))
        return TENON_OK;
    if (family->count == family->room) {
        size_t room = family->room == 0 ? 8 : 2 * family->room;
        struct relative *items = tn_resize(family->memory, family->items, room * sizeof *items);

        if (items == NULL)
            return TENON_ERROR_MEMORY;
        family->items = items;
        family->room = room;
    }
    family->items[family->count++] = relative;
    return TENON_OK;
}

/* ---- descendants ---- */

static int32_t number_of(const char *name)
{
    int64_t number = 0;

    return tn_parse_integer(name, &number) && number <= INT32_MAX ? (int32_t)number : 0;
}

/* Children of one of its threads; false where the system keeps no such list. */
static bool add_children_of_thread(struct family *family, int32_t id, const char *thread, struct text *list, tenon_status *status)
{
    char name[64], *end = NULL;
    bool known;

    snprintf(name, sizeof name, "task/%.20s/children", thread);
    known = read_proc(family->memory, id, name, list);
    for (const char *at = tn_text(list); known && *status == TENON_OK && *at >= '0' && *at <= '9'; at = end + strspn(end, " "))
        *status = add_one(family, (int32_t)strtol(at, &end, 10));
    return known;
}

/* Adds the children of a process; false where that cannot be told this way. */
static bool add_children(struct family *family, int32_t id, tenon_status *status)
{
    struct failure ignored;
    struct folder folder;
    struct text list;
    const char *thread;
    char path[64];
    bool known = true;

    snprintf(path, sizeof path, "/proc/%d/task", (int)id);
    tn_failure_init(&ignored, family->memory, NULL);
    tn_text_init(&list, family->memory, PROC_FILE);
    if (tn_folder_open(&folder, path, &ignored) == TENON_OK) {
        while (*status == TENON_OK && known && (thread = tn_folder_next(&folder)) != NULL)
            known = add_children_of_thread(family, id, thread, &list, status) || number_of(thread) != id;
        tn_folder_close(&folder);
    }
    tn_text_clear(&list);
    tn_failure_clear(&ignored);
    return known;
}

/* Calls add for every process of the system. */
static tenon_status each_process(struct family *family, const void *what,
                                 tenon_status (*add)(struct family *, int32_t, const void *))
{
    struct failure ignored;
    struct folder folder;
    const char *name;
    tenon_status status = TENON_OK;

    tn_failure_init(&ignored, family->memory, NULL);
    if (tn_folder_open(&folder, "/proc", &ignored) == TENON_OK) {
        while (status == TENON_OK && (name = tn_folder_next(&folder)) != NULL)
            if (number_of(name) > 0)
                status = add(family, number_of(name), what);
        tn_folder_close(&folder);
    }
    tn_failure_clear(&ignored);
    return status;
}

static tenon_status add_if_child(struct family *family, int32_t id, const void *parent)
{
    struct relative relative;
    tenon_status status = TENON_OK;

    if (look_at(family->memory, id, &relative) && relative.parent == *(const int32_t *)parent)
        status = add_one(family, id);
    return status;
}

tenon_status tn_family_add(struct family *family, int32_t id)
{
    size_t next = family->count;
    tenon_status status = add_one(family, id);

    for (; next < family->count && status == TENON_OK; next++) {
        int32_t parent = family->items[next].process.id;

        if (!add_children(family, parent, &status) && status == TENON_OK)
            status = each_process(family, &parent, add_if_child);
    }
    return status;
}

static tenon_status add_if_marked(struct family *family, int32_t id, const void *pair)
{
    struct text environment;
    const char *at, *end;
    bool marked = false;

    tn_text_init(&environment, family->memory, PROC_FILE);
    if (read_proc(family->memory, id, "environ", &environment)) {
        end = tn_text(&environment) + environment.length;
        for (at = tn_text(&environment); at < end && !marked; at += strlen(at) + 1)
            marked = strcmp(at, pair) == 0;
    }
    tn_text_clear(&environment);
    return marked ? add_one(family, id) : TENON_OK;
}

tenon_status tn_family_add_marked(struct family *family, const char *pair)
{
    return each_process(family, pair, add_if_marked);
}

void tn_family_remove(struct family *family, int32_t id)
{
    for (size_t i = 0; i < family->count; i++)
        if (family->items[i].process.id == id)
            family->items[i--] = family->items[--family->count];
}

bool tn_family_is_gone(const struct family *family)
{
    bool gone = true;

    for (size_t i = 0; i < family->count && gone; i++)
        gone = family->items[i].ended;
    return gone;
}

/* ---- memory ---- */

static int64_t kib_of(const struct text *file, const char *line_start)
{
    const char *line = strstr(tn_text(file), line_start);
    int64_t kib = -1;

    if (line == NULL || sscanf(line + strlen(line_start), " %" SCNd64, &kib) != 1)
        kib = -1;
    return kib;
}

static int64_t resident_bytes(const struct memory *memory, int32_t id, struct text *file)
{
    int64_t kib = read_proc(memory, id, "status", file) ? kib_of(file, "\nVmRSS:") : -1;

    return kib > 0 ? kib * 1024 : 0;
}

static int64_t proportional_bytes(const struct memory *memory, int32_t id, struct text *file)
{
    int64_t kib = read_proc(memory, id, "smaps_rollup", file) ? kib_of(file, "\nPss:") : -1;

    return kib >= 0 ? kib * 1024 : resident_bytes(memory, id, file);
}

int64_t tn_family_memory(const struct family *family, bool shared)
{
    struct text file;
    int64_t sum = 0;

    tn_text_init(&file, family->memory, PROC_FILE);
    for (size_t i = 0; i < family->count; i++)
        sum += (shared ? proportional_bytes : resident_bytes)(family->memory, family->items[i].process.id, &file);
    tn_text_clear(&file);
    return sum;
}

/* ---- who listens ---- */

/* Notes the sockets that listen on the port, from a table of /proc/net; false where the table cannot be read. */
static bool find_sockets(const struct memory *memory, const char *table, int32_t port, uint64_t *sockets, size_t *count)
{
    const int listening = 10; /* TCP_LISTEN */
    struct failure ignored;
    struct text lines;
    char path[32];
    bool known;

    snprintf(path, sizeof path, "/proc/net/%s", table);
    tn_failure_init(&ignored, memory, NULL);
    tn_text_init(&lines, memory, 64 << 20);
    known = tn_file_read_whole(path, 64 << 20, &lines, &ignored) == TENON_OK;
    for (const char *line = strchr(tn_text(&lines), '\n'); known && line != NULL; line = strchr(line + 1, '\n')) {
        unsigned local = 0, state = 0;
        uint64_t socket = 0;

        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*d %*d %" SCNu64, &local, &state, &socket) == 3 &&
            local == (unsigned)port && state == (unsigned)listening && *count < SOCKETS_MOST)
            sockets[(*count)++] = socket;
    }
    tn_text_clear(&lines);
    tn_failure_clear(&ignored);
    return known;
}

static bool is_among(const char *link, const uint64_t *sockets, size_t count)
{
    uint64_t socket;
    bool found = false;

    if (sscanf(link, "socket:[%" SCNu64 "]", &socket) == 1)
        for (size_t i = 0; i < count && !found; i++)
            found = sockets[i] == socket;
    return found;
}

/* 1 when the process has one of the sockets open, 0 when not, -1 when its files are not ours to see. */
static int has_socket(const struct memory *memory, int32_t id, const uint64_t *sockets, size_t count)
{
    struct failure ignored;
    struct folder folder;
    struct text path, link;
    const char *name;
    char fds[32];
    int found = -1;

    snprintf(fds, sizeof fds, "/proc/%d/fd", (int)id);
    tn_failure_init(&ignored, memory, NULL);
    tn_text_init(&path, memory, 128);
    tn_text_init(&link, memory, PATH_MAX);
    if (tn_folder_open(&folder, fds, &ignored) == TENON_OK) {
        found = 0;
        while (found == 0 && (name = tn_folder_next(&folder)) != NULL) {
            tn_text_reset(&path);
            tn_text_reset(&link);
            tn_text_format(&path, "%s/%s", fds, name);
            if (tn_link_read(tn_text(&path), &link, &ignored) == TENON_OK && is_among(tn_text(&link), sockets, count))
                found = 1;
        }
        tn_folder_close(&folder);
    }
    tn_text_clear(&path);
    tn_text_clear(&link);
    tn_failure_clear(&ignored);
    return found;
}

int tn_family_listens(const struct family *family, int32_t port)
{
    uint64_t sockets[SOCKETS_MOST];
    size_t count = 0;
    bool known = find_sockets(family->memory, "tcp", port, sockets, &count);
    int listens = 0;

    /* A system without IPv6 has no second table. */
    find_sockets(family->memory, "tcp6", port, sockets, &count);
    if (!known || count == 0)
        return -1;
    for (size_t i = 0; i < family->count && listens != 1; i++) {
        int has = has_socket(family->memory, family->items[i].process.id, sockets, count);

        listens = has != 0 ? has : listens;
    }
    return listens;
}
