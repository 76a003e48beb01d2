#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "local_group.h"

/* A tree of files that looks like the system's; a control group is a folder whose files are there already. */

static struct memory memory;
static char *root;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    root = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(root);
    return 0;
}

static void put(const char *name, const char *text)
{
    char *path = test_join(root, name);
    struct failure failure;

    tn_failure_init(&failure, &memory, NULL);
    assert_int_equal(tn_folder_make_above(path, &failure), TENON_OK);
    test_write(path, text);
    tn_failure_clear(&failure);
    free(path);
}

static void put_group(const char *folder)
{
    static const char *const files[] = { "memory.max", "memory.oom.group", "memory.swap.max", "cgroup.procs", "cgroup.kill" };
    char name[300];

    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(name, sizeof name, "%s/%s", folder, files[i]);
        put(name, "");
    }
}

static void expect_content(const char *folder, const char *name, const char *expected)
{
    char *path = test_join(folder, name);
    struct failure failure;
    struct text text;

    tn_failure_init(&failure, &memory, NULL);
    tn_text_init(&text, &memory, 1000);
    assert_int_equal(tn_file_read_whole(path, 1000, &text, &failure), TENON_OK);
    assert_string_equal(tn_text(&text), expected);
    tn_text_clear(&text);
    tn_failure_clear(&failure);
    free(path);
}

#define V2(tree, point) "25 1 0:22 / /sys rw - sysfs sysfs rw\n35 25 0:30 " tree " " point " rw,nosuid shared:9 - cgroup2 cgroup2 rw\n40 1 0:40 / /x rw - tmpfs tmpfs rw\n"

static const struct {
    const char *mounts, *groups; /* NULL: there is no such file */
    const char *stands;          /* the folder of the group; NULL: none can be had */
} places[] = {
    { V2("/", "/sys/fs/cgroup"), "0::/user.slice/me.scope\n", "/sys/fs/cgroup/user.slice/me.scope/job" },
    /* Beside ours, where nothing can be made below it. */
    { V2("/", "/sys/fs/cgroup"), "0::/user.slice/other.scope\n", "/sys/fs/cgroup/user.slice/job" },
    { V2("/", "/sys/fs/cgroup"), "0::/\n", "/sys/fs/cgroup/job" },
    { V2("/docker/1", "/sys/fs/cgroup"), "0::/docker/1/user.slice/me.scope\n", "/sys/fs/cgroup/user.slice/me.scope/job" },
    { V2("/docker/1", "/sys/fs/cgroup"), "0::/docker/1\n", "/sys/fs/cgroup/job" },
    { V2("/", "/mnt/with\\040blank"), "0::/me\n", "/mnt/with blank/me/job" },
    { V2("/", "/sys/fs/cgroup"), "12:memory:/m\n1:name=systemd:/s\n0::/user.slice/me.scope\n", "/sys/fs/cgroup/user.slice/me.scope/job" },
    /* Version 1, nothing at all, and what makes no sense. */
    { "35 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "4:memory:/me\n", NULL },
    { V2("/", "/sys/fs/cgroup"), "4:memory:/me\n", NULL },
    { V2("/", "/nowhere"), "0::/me\n", NULL },
    { V2("/", "/sys/fs/cgroup"), "0::/no/such\n", NULL },
    { "", "0::/me\n", NULL },
    { "\n\n", "", NULL },
    { " - cgroup2 ", "0::/me\n", NULL },
    { "35 - cgroup2 x", "0::/me\n", NULL },
    { "35 25 0:30 / - cgroup2 x\n", "0::/me\n", NULL },
    { "35 25 0:30 / /a\\04 - cgroup2 x\n", "0::/me\n", NULL },
    { NULL, "0::/me\n", NULL },
    { V2("/", "/sys/fs/cgroup"), NULL, NULL },
};

static void a_group_is_made_where_it_can_be(void **state)
{
    static const char *const groups[] = { "sys/fs/cgroup/job", "sys/fs/cgroup/user.slice/job", "sys/fs/cgroup/user.slice/me.scope/job", "mnt/with blank/me/job" };
    static const char *const controllers[] = { "sys/fs/cgroup", "sys/fs/cgroup/user.slice", "sys/fs/cgroup/user.slice/me.scope", "mnt/with blank/me" };
    char name[300];

    (void)state;
    put("sys/fs/cgroup/user.slice/other.scope/memory.max", "max\n");
    for (size_t i = 0; i < COUNT(groups); i++) {
        put_group(groups[i]);
        snprintf(name, sizeof name, "%s/cgroup.subtree_control", controllers[i]);
        put(name, "cpu memory pids\n");
    }
    for (size_t i = 0; i < COUNT(places); i++) {
        char *mounts = test_join(root, "proc/self/mountinfo"), *own = test_join(root, "proc/self/cgroup");
        struct text path;

        unlink(mounts);
        unlink(own);
        if (places[i].mounts != NULL)
            put("proc/self/mountinfo", places[i].mounts);
        if (places[i].groups != NULL)
            put("proc/self/cgroup", places[i].groups);
        tn_text_init(&path, &memory, 4096);
        /* Below "/" there is a parent too, but no control group: it has none of the files. */
        if (tn_group_make(root, "job", 123456789, &path) != (places[i].stands != NULL))
            fail_msg("row %zu: %s", i, tn_text(&path));
        assert_int_equal(tn_group_possible(root, &memory), places[i].stands != NULL);
        if (places[i].stands != NULL) {
            assert_int_equal(strncmp(tn_text(&path), root, strlen(root)), 0);
            assert_string_equal(tn_text(&path) + strlen(root), places[i].stands);
            expect_content(tn_text(&path), "memory.max", "123456789");
            expect_content(tn_text(&path), "memory.oom.group", "1");
            expect_content(tn_text(&path), "memory.swap.max", "0");
        } else
            assert_string_equal(tn_text(&path), "");
        tn_text_clear(&path);
        free(mounts);
        free(own);
    }
}

static void without_the_controller_there_is_none(void **state)
{
    struct text path;

    (void)state;
    put("proc/self/mountinfo", V2("/", "/cg"));
    put("proc/self/cgroup", "0::/a/b\n");
    put("cg/a/b/cgroup.subtree_control", "cpu pids\n");
    put("cg/a/cgroup.subtree_control", "\n");
    assert_false(tn_group_possible(root, &memory));
    /* The folder can be made, but has no limit of memory: nothing of it stays. */
    tn_text_init(&path, &memory, 4096);
    assert_false(tn_group_make(root, "job", 1, &path));
    assert_string_equal(tn_text(&path), "");
    for (int i = 0; i < 2; i++) {
        char *left = test_join(root, i == 0 ? "cg/a/b/job" : "cg/a/job");

        assert_false(tn_folder_exists(left));
        free(left);
    }
    put("cg/a/cgroup.subtree_control", "memory\n");
    assert_true(tn_group_possible(root, &memory));
    tn_text_clear(&path);
}

static void a_group_is_used(void **state)
{
    static const struct {
        const char *events, *peak; /* NULL: no such file */
        int64_t kills, bytes;
    } rows[] = {
        { "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n", "1048576\n", 2, 1048576 },
        { "low 0\nmax 0\noom 0\noom_kill 0\n", "0\n", 0, 0 },
        { "oom 3\n", "max\n", -1, -1 },
        { "oom_kill x\n", "", -1, -1 },
        { "", "x", -1, -1 },
        { NULL, NULL, -1, -1 },
    };
    char *group = test_join(root, "g");

    (void)state;
    put_group("g");
    assert_true(tn_group_join(&memory, group, 4711));
    expect_content(group, "cgroup.procs", "4711");
    tn_group_kill(&memory, group);
    expect_content(group, "cgroup.kill", "1");
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *events = test_join(group, "memory.events"), *peak = test_join(group, "memory.peak");

        if (rows[i].events == NULL) {
            unlink(events);
            unlink(peak);
        } else {
            put("g/memory.events", rows[i].events);
            put("g/memory.peak", rows[i].peak);
        }
        assert_int_equal(tn_group_memory_kills(&memory, group), rows[i].kills);
        assert_int_equal(tn_group_peak(&memory, group), rows[i].bytes);
        free(events);
        free(peak);
    }
    free(group);
    assert_false(tn_group_join(&memory, "/nowhere", 1));
    tn_group_kill(&memory, "/nowhere");
    tn_group_remove("/nowhere");
}

static void who_is_in_a_group(void **state)
{
    char *path = test_join(root, "job");

    (void)state;
    assert_false(tn_group_has(&memory, path, 12));
    put("job/cgroup.procs", "");
    assert_false(tn_group_has(&memory, path, 12));
    put("job/cgroup.procs", "7\n12\n345\n");
    assert_true(tn_group_has(&memory, path, 7) && tn_group_has(&memory, path, 12) && tn_group_has(&memory, path, 345));
    assert_false(tn_group_has(&memory, path, 1) || tn_group_has(&memory, path, 2) || tn_group_has(&memory, path, 45) || tn_group_has(&memory, path, 3456));
    free(path);
}

static void a_group_is_removed(void **state)
{
    char *group = test_join(root, "empty");
    char *file = test_join(root, "empty/x");

    (void)state;
    put("empty/x", "");
    tn_group_remove(group);
    assert_true(tn_folder_exists(group));
    unlink(file);
    tn_group_remove(group);
    assert_false(tn_folder_exists(group));
    free(file);
    free(group);
}

/* Without memory there is no group, and nothing worse. */
static tenon_status make_and_look(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct text path;

    tn_text_init(&path, &failing, 4096);
    if (tn_group_make(root, "job", 5, &path)) {
        assert_false(path.failed);
        tn_group_memory_kills(&failing, tn_text(&path));
    } else
        assert_string_equal(tn_text(&path), "");
    tn_group_possible(root, &failing);
    tn_text_clear(&path);
    return TENON_OK;
}

static void no_memory_is_no_group(void **state)
{
    (void)state;
    put("proc/self/mountinfo", V2("/", "/cg"));
    put("proc/self/cgroup", "0::/a/b\n");
    put("cg/a/b/cgroup.subtree_control", "memory\n");
    put_group("cg/a/b/job");
    test_every_failure(make_and_look);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(a_group_is_made_where_it_can_be), EACH(without_the_controller_there_is_none), EACH(a_group_is_used),
        EACH(who_is_in_a_group), EACH(a_group_is_removed), EACH(no_memory_is_no_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
