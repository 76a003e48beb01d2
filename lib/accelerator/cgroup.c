#include "cgroup.h"

#include <string.h>

#include "number.h"
#include "probe.h"

enum { SMALL_FILE = 64 * 1024, MOUNTS_FILE = 4 * 1024 * 1024, MOUNT_FIELDS = 64 };

/* One level of one hierarchy: the folder with its files. */
struct level {
    const struct memory *memory;
    const char *root;
    const char *folder;
    bool failed; /* no memory */
};

static bool read_file(struct level *level, const char *name, struct text *out)
{
    struct text path;

    tn_text_init(&path, level->memory, SMALL_FILE);
    tn_text_format(&path, "%s/%s", level->folder, name);
    if (tn_text_status(&path) != TENON_OK || !tn_root_read(level->root, tn_text(&path), SMALL_FILE, out))
        level->failed = true;
    tn_text_clear(&path);
    return !level->failed && out->length > 0;
}

/* The number that a file, or its line that begins with key, holds; -1 for "max" and for anything else. */
static int64_t read_number(struct level *level, const char *name, const char *key)
{
    struct text text;
    int64_t number = -1;
    char *rest, *line;

    tn_text_init(&text, level->memory, SMALL_FILE);
    if (read_file(level, name, &text)) {
        rest = text.data;
        while (number < 0 && (line = tn_cut(&rest, '\n')) != NULL) {
            if (key != NULL && strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ' ')
                line += strlen(key) + 1;
            else if (key != NULL)
                continue;
            if (!tn_parse_integer(line, &number))
                number = -1;
        }
    }
    tn_text_clear(&text);
    return number;
}

/* The lesser of two limits, where -1 stands for none. */
static int64_t tighter(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : tn_least(a, b);
}

static void note_memory(struct cgroup_limits *limits, int64_t limit, int64_t used, int64_t cache)
{
    if (limit < 0)
        return;
    limits->memory_bytes = tighter(limits->memory_bytes, limit);
    /* Cache that nobody touched lately is given back before anybody is killed. */
    if (used >= 0)
        limits->memory_left = tighter(limits->memory_left, tn_most(limit - tn_most(used - tn_most(cache, 0), 0), 0));
}

static void note_cpu(struct cgroup_limits *limits, int64_t quota, int64_t period)
{
    if (quota > 0 && period > 0)
        limits->cpu_milli = tighter(limits->cpu_milli, tn_times(quota, 1000) / period);
}

/* ---- the three hierarchies ---- */

static void look_v2(struct level *level, struct cgroup_limits *limits)
{
    struct text text;
    int64_t quota = 0, period = 0;
    int64_t limit = tighter(read_number(level, "memory.max", NULL), read_number(level, "memory.high", NULL));

    note_memory(limits, limit, read_number(level, "memory.current", NULL), read_number(level, "memory.stat", "inactive_file"));
    tn_text_init(&text, level->memory, SMALL_FILE);
    if (read_file(level, "cpu.max", &text)) {
        char *rest = text.data;
        char *first = tn_cut(&rest, ' '), *second = tn_cut(&rest, '\n');

        if (second != NULL && tn_parse_integer(first, &quota) && tn_parse_integer(second, &period))
            note_cpu(limits, quota, period);
    }
    tn_text_clear(&text);
}

static void look_v1_memory(struct level *level, struct cgroup_limits *limits)
{
    /* No limit is written as the largest number of pages. */
    int64_t limit = read_number(level, "memory.limit_in_bytes", NULL);

    if (limit >= INT64_MAX / 2)
        limit = -1;
    note_memory(limits, limit, read_number(level, "memory.usage_in_bytes", NULL),
                read_number(level, "memory.stat", "total_inactive_file"));
}

static void look_v1_cpu(struct level *level, struct cgroup_limits *limits)
{
    note_cpu(limits, read_number(level, "cpu.cfs_quota_us", NULL), read_number(level, "cpu.cfs_period_us", NULL));
}

static const struct hierarchy {
    const char *type;       /* of the file system */
    const char *controller; /* NULL for version 2, where one hierarchy has them all */
    void (*look)(struct level *level, struct cgroup_limits *limits);
} hierarchies[] = {
    { "cgroup2", NULL, look_v2 },
    { "cgroup", "memory", look_v1_memory },
    { "cgroup", "cpu", look_v1_cpu },
};

/* ---- where they are ---- */

static bool lists(const char *list, const char *word)
{
    size_t length = strlen(word);
    const char *at = list;

    while (at != NULL && !(strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))) {
        at = strchr(at, ',');
        at = at != NULL ? at + 1 : NULL;
    }
    return at != NULL;
}

/* The path of this process in the hierarchy, from lines "ID:CONTROLLERS:PATH"; NULL when it is in none. */
static char *own_path(char *cgroups, const struct hierarchy *hierarchy)
{
    char *line, *found = NULL;

    while (found == NULL && (line = tn_cut(&cgroups, '\n')) != NULL) {
        char *id = tn_cut(&line, ':'), *controllers = tn_cut(&line, ':');

        if (line != NULL && controllers != NULL && line[0] == '/' &&
            (hierarchy->controller == NULL ? strcmp(id, "0") == 0 && *controllers == '\0'
                                           : lists(controllers, hierarchy->controller)))
            found = line;
    }
    return found;
}

/* In mountinfo a blank and the like are written as three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && strspn(from + 1, "01234567") >= 3) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else
            *to = *from++;
    }
    *to = '\0';
}

/* What path is below the mount's own root: "" for the root itself; NULL when it is not below it. */
static const char *below(const char *path, const char *mount_root)
{
    size_t length = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);

    if (strncmp(path, mount_root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return strcmp(path + length, "/") == 0 ? "" : path + length;
}

/*
 * Reads one line of mountinfo, "ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS"; where it mounts the
 * hierarchy and path is below its root, out becomes the folder of path, and *top the length of the mount point in it.
 */
static bool read_mount(char *line, const struct hierarchy *hierarchy, const char *path, struct text *out, size_t *top)
{
    char *fields[MOUNT_FIELDS] = { NULL };
    size_t count = 0, dash = 6;
    const char *rest;

    while (count < MOUNT_FIELDS && (fields[count] = tn_cut(&line, ' ')) != NULL)
        count++;
    while (dash < count && strcmp(fields[dash], "-") != 0)
        dash++;
    if (dash + 3 >= count || strcmp(fields[dash + 1], hierarchy->type) != 0 ||
        (hierarchy->controller != NULL && !lists(fields[dash + 3], hierarchy->controller)))
        return false;
    unescape(fields[3]);
    unescape(fields[4]);
    rest = below(path, fields[3]);
    /* A path outside of what is mounted, as "/../.." is: all that can be seen from here is the mount itself. */
    if (rest == NULL || strstr(rest, "..") != NULL)
        rest = "";
    tn_text_reset(out);
    tn_text_add(out, fields[4]);
    *top = out->length;
    tn_text_add(out, rest);
    return true;
}

/* Looks at every level from the process's own up to the mount point. */
static void climb(struct level *level, struct text *folder, size_t top, const struct hierarchy *hierarchy,
                  struct cgroup_limits *limits)
{
    bool more = true;

    while (more && !level->failed) {
        char *slash;

        level->folder = tn_text(folder);
        hierarchy->look(level, limits);
        slash = strrchr(folder->data, '/');
        more = slash != NULL && (size_t)(slash - folder->data) >= top && folder->length > top;
        if (more) {
            folder->length = (size_t)(slash - folder->data);
            *slash = '\0';
        }
    }
}

static bool look_at(const struct hierarchy *hierarchy, const struct memory *memory, const char *root,
                    struct cgroup_limits *limits)
{
    struct level level = { .memory = memory, .root = root };
    struct text cgroups, mounts, folder;
    char *path = NULL, *rest, *line;
    size_t top = 0;
    bool found = false, read;

    tn_text_init(&cgroups, memory, SMALL_FILE);
    tn_text_init(&mounts, memory, MOUNTS_FILE);
    tn_text_init(&folder, memory, SMALL_FILE);
    read = tn_root_read(root, "proc/self/cgroup", SMALL_FILE, &cgroups) &&
           tn_root_read(root, "proc/self/mountinfo", MOUNTS_FILE, &mounts);
    if (read && cgroups.length > 0)
        path = own_path(cgroups.data, hierarchy);
    rest = path != NULL && mounts.length > 0 ? mounts.data : NULL;
    while (!found && (line = tn_cut(&rest, '\n')) != NULL)
        found = read_mount(line, hierarchy, path, &folder, &top);
    if (found && tn_text_status(&folder) == TENON_OK && folder.length > 0)
        climb(&level, &folder, top, hierarchy, limits);
    tn_text_clear(&cgroups);
    tn_text_clear(&mounts);
    tn_text_clear(&folder);
    return read && !level.failed;
}

tenon_status tn_cgroup_limits(const struct memory *memory, const char *root, struct cgroup_limits *limits)
{
    struct cgroup_limits found = { -1, -1, -1 };
    bool read = true;

    for (size_t i = 0; i < sizeof hierarchies / sizeof hierarchies[0] && read; i++)
        read = look_at(&hierarchies[i], memory, root, &found);
    if (read)
        *limits = found;
    return read ? TENON_OK : TENON_ERROR_MEMORY;
}
