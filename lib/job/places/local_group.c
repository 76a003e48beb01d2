#include "local_group.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "path.h"

enum { FILE_LIMIT = 1 << 20 };

/* ---- its files ---- */

static bool read_file(const struct memory *memory, const char *folder, const char *name, struct text *out)
{
    struct failure ignored;
    struct text path;
    bool found;

    tn_failure_init(&ignored, memory, NULL);
    tn_text_init(&path, memory, PATH_MAX);
    tn_path_join(&path, folder, name);
    found = !path.failed && tn_file_read_whole(tn_text(&path), FILE_LIMIT, out, &ignored) == TENON_OK;
    tn_text_clear(&path);
    tn_failure_clear(&ignored);
    return found;
}

static bool write_file(const struct memory *memory, const char *folder, const char *name, int64_t value)
{
    struct failure ignored;
    struct text path;
    char digits[24];
    bool written = false;
    int fd = -1;

    tn_failure_init(&ignored, memory, NULL);
    tn_text_init(&path, memory, PATH_MAX);
    tn_path_join(&path, folder, name);
    if (!path.failed)
        fd = tn_file_open(tn_text(&path), FILE_READ_WRITE, &ignored);
    if (fd >= 0) {
        snprintf(digits, sizeof digits, "%" PRId64, value);
        written = tn_file_write(fd, digits, strlen(digits), tn_text(&path), &ignored) == TENON_OK;
    }
    tn_file_close(&fd);
    tn_text_clear(&path);
    tn_failure_clear(&ignored);
    return written;
}

/* ---- where it can be ---- */

/* Adds the field's text; blanks in it are written \040. */
static void add_field(struct text *out, const char *field, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (field[i] == '\\' && i + 3 < length) {
            tn_text_add_char(out, (char)((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0')));
            i += 3;
        } else
            tn_text_add_char(out, field[i]);
}

static const char *next_field(const char *field)
{
    field += strcspn(field, " \n");
    return field + (*field == ' ');
}

/* "36 35 0:30 ROOT POINT options - cgroup2 ...": what of the tree is mounted, and where. */
static bool find_mount(const struct text *mounts, struct text *tree, struct text *point)
{
    bool found = false;

    for (const char *line = tn_text(mounts); *line != '\0' && !found; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *kind = strstr(line, " - cgroup2 ");
        const char *field = line;

        if (kind == NULL || kind > line + strcspn(line, "\n"))
            continue;
        for (int i = 0; i < 3; i++)
            field = next_field(field);
        add_field(tree, field, strcspn(field, " \n"));
        field = next_field(field);
        add_field(point, field, strcspn(field, " \n"));
        found = true;
    }
    return found;
}

/* Our own group's folder: the mount point and what of "0::PATH" lies below the mounted tree. */
static bool find_own(const char *root, const struct memory *memory, struct text *out)
{
    struct text proc, mounts, groups, tree, point;
    const char *own;
    bool found;

    tn_text_init(&proc, memory, PATH_MAX);
    tn_text_init(&mounts, memory, FILE_LIMIT);
    tn_text_init(&groups, memory, FILE_LIMIT);
    tn_text_init(&tree, memory, PATH_MAX);
    tn_text_init(&point, memory, PATH_MAX);
    tn_text_format(&proc, "%s/proc/self", root);
    found = read_file(memory, tn_text(&proc), "mountinfo", &mounts) && read_file(memory, tn_text(&proc), "cgroup", &groups) &&
            find_mount(&mounts, &tree, &point);
    own = found ? strstr(tn_text(&groups), "0::/") : NULL;
    if (own != NULL) {
        size_t length = strcspn(own + 3, "\n");

        own += 3;
        if (strcmp(tn_text(&tree), "/") != 0 && tn_starts_with(own, tn_text(&tree))) {
            own += tree.length;
            length -= tree.length;
        }
        tn_text_format(out, "%s%s%.*s", root, tn_text(&point), (int)length, own);
        while (out->length > 1 && out->data[out->length - 1] == '/')
            out->data[--out->length] = '\0';
    }
    tn_text_clear(&proc);
    tn_text_clear(&mounts);
    tn_text_clear(&groups);
    tn_text_clear(&tree);
    tn_text_clear(&point);
    return own != NULL && !out->failed;
}

/* A group below parent that has a memory limit; true when it stands. */
static bool make_below(const char *parent, const char *name, int64_t memory_bytes, struct text *path)
{
    struct failure ignored;
    bool made;

    tn_failure_init(&ignored, path->memory, NULL);
    tn_text_reset(path);
    tn_path_join(path, parent, name);
    made = !path->failed && tn_folder_exists(parent) && tn_folder_make(tn_text(path), 0755, &ignored) == TENON_OK;
    tn_failure_clear(&ignored);
    if (made && !write_file(path->memory, tn_text(path), "memory.max", memory_bytes)) {
        tn_group_remove(tn_text(path));
        made = false;
    }
    if (made) {
        /* All of a job or nothing of it; and no way out into swap. Older systems lack one or the other. */
        write_file(path->memory, tn_text(path), "memory.oom.group", 1);
        write_file(path->memory, tn_text(path), "memory.swap.max", 0);
    }
    return made;
}

bool tn_group_make(const char *root, const char *name, int64_t memory_bytes, struct text *path)
{
    struct text own;
    char *slash;
    bool made = false;

    tn_text_init(&own, path->memory, PATH_MAX);
    if (find_own(root, path->memory, &own)) {
        made = make_below(tn_text(&own), name, memory_bytes, path);
        slash = strrchr(own.data, '/');
        if (!made && slash != NULL) {
            *slash = '\0';
            made = make_below(tn_text(&own), name, memory_bytes, path);
        }
    }
    tn_text_clear(&own);
    if (!made)
        tn_text_reset(path);
    return made;
}

/* Groups below parent get a memory controller, and we may make some. */
static bool gives_memory(const struct memory *memory, const char *parent)
{
    struct text controllers;
    bool gives;

    tn_text_init(&controllers, memory, FILE_LIMIT);
    gives = tn_folder_exists(parent) && tn_folder_writable(parent) &&
            read_file(memory, parent, "cgroup.subtree_control", &controllers) &&
            strstr(tn_text(&controllers), "memory") != NULL;
    tn_text_clear(&controllers);
    return gives;
}

bool tn_group_possible(const char *root, const struct memory *memory)
{
    struct text own;
    char *slash;
    bool possible = false;

    tn_text_init(&own, memory, PATH_MAX);
    if (find_own(root, memory, &own)) {
        possible = gives_memory(memory, tn_text(&own));
        slash = strrchr(own.data, '/');
        if (!possible && slash != NULL) {
            *slash = '\0';
            possible = gives_memory(memory, tn_text(&own));
        }
    }
    tn_text_clear(&own);
    return possible;
}

bool tn_group_join(const struct memory *memory, const char *path, int32_t id)
{
    return write_file(memory, path, "cgroup.procs", id);
}

bool tn_group_has(const struct memory *memory, const char *path, int32_t id)
{
    struct text ids;
    char line[16];
    const char *at;
    size_t length = (size_t)snprintf(line, sizeof line, "%" PRId32 "\n", id);

    tn_text_init(&ids, memory, FILE_LIMIT);
    at = read_file(memory, path, "cgroup.procs", &ids) ? tn_text(&ids) : "";
    while (*at != '\0' && strncmp(at, line, length) != 0)
        at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n');
    length = strlen(at);
    tn_text_clear(&ids);
    return length > 0;
}

void tn_group_kill(const struct memory *memory, const char *path)
{
    write_file(memory, path, "cgroup.kill", 1);
}

int64_t tn_group_memory_kills(const struct memory *memory, const char *path)
{
    struct text events;
    int64_t kills = -1;
    const char *line;

    tn_text_init(&events, memory, FILE_LIMIT);
    line = read_file(memory, path, "memory.events", &events) ? strstr(tn_text(&events), "oom_kill ") : NULL;
    if (line == NULL || sscanf(line, "oom_kill %" SCNd64, &kills) != 1)
        kills = -1;
    tn_text_clear(&events);
    return kills;
}

int64_t tn_group_peak(const struct memory *memory, const char *path)
{
    struct text peak;
    int64_t bytes = -1;

    tn_text_init(&peak, memory, FILE_LIMIT);
    if (!read_file(memory, path, "memory.peak", &peak) || sscanf(tn_text(&peak), "%" SCNd64, &bytes) != 1)
        bytes = -1;
    tn_text_clear(&peak);
    return bytes;
}

void tn_group_remove(const char *path)
{
    tn_folder_remove_empty(path);
}
