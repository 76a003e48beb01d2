#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

static struct memory memory;
static struct failure failure;
static struct text text;
static char *folder;
static char *paths[8]; /* folder/0 ... folder/7 */

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    tn_text_init(&text, &memory, 1 << 20);
    folder = test_folder_make();
    for (size_t i = 0; i < COUNT(paths); i++)
        assert_true(asprintf(&paths[i], "%s/%zu", folder, i) > 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++)
        free(paths[i]);
    test_folder_remove(folder);
    tn_text_clear(&text);
    tn_failure_clear(&failure);
    return 0;
}

static void good(tenon_status status)
{
    if (status != TENON_OK)
        fail_msg("%s", failure.message != NULL ? failure.message : tenon_status_name(status));
}

static const char *content(const char *path)
{
    tn_text_reset(&text);
    good(tn_file_read_whole(path, 1 << 20, &text, &failure));
    return tn_text(&text);
}

static size_t count_names(void)
{
    struct folder listing = { NULL };
    size_t count = 0;

    good(tn_folder_open(&listing, folder, &failure));
    while (tn_folder_next(&listing) != NULL)
        count++;
    tn_folder_close(&listing);
    tn_folder_close(&listing);
    return count;
}

static void looking(void **state)
{
    struct file_facts facts;

    (void)state;
    good(tn_file_look(paths[0], &facts, &failure));
    assert_false(facts.exists);
    test_write(paths[0], "12345");
    good(tn_file_look(paths[0], &facts, &failure));
    assert_true(facts.exists && facts.regular && !facts.folder && !facts.link && facts.inode != 0);
    assert_int_equal(facts.bytes, 5);
    assert_true(facts.modified_ms > INT64_C(1700000000000) && facts.modified_ns / 1000000 == facts.modified_ms);
    good(tn_link_make("0", paths[1], &failure));
    good(tn_file_look(paths[1], &facts, &failure));
    assert_true(facts.regular && !facts.link);
    good(tn_file_look_at_link(paths[1], &facts, &failure));
    assert_true(facts.link && !facts.regular);
    good(tn_file_look(folder, &facts, &failure));
    assert_true(facts.folder);
    good(tn_link_make("nowhere", paths[2], &failure));
    good(tn_file_look(paths[2], &facts, &failure));
    assert_false(facts.exists);
    assert_true(tn_file_exists(paths[0]) && !tn_file_exists(paths[2]));
    assert_true(tn_folder_exists(folder) && !tn_folder_exists(paths[0]));
    good(tn_link_make("3", paths[3], &failure));
    assert_int_equal(tn_file_look(paths[3], &facts, &failure), TENON_ERROR_IO);
    assert_int_equal(failure.system_error, ELOOP);
}

static void opening(void **state)
{
    int fd = tn_file_open(paths[0], FILE_READ, &failure);

    (void)state;
    assert_int_equal(fd, -1);
    assert_int_equal(failure.status, TENON_ERROR_NOT_FOUND);
    assert_int_equal(tn_file_open(paths[0], FILE_READ_WRITE, &failure), -1);
    assert_int_equal(failure.status, TENON_ERROR_NOT_FOUND);
    /* What cannot be made is not looked for. */
    for (enum file_mode mode = FILE_WRITE; mode <= FILE_APPEND; mode++) {
        assert_int_equal(tn_file_open("/no/such/folder/x", mode, &failure), -1);
        assert_int_equal(failure.status, TENON_ERROR_IO);
        assert_int_equal(failure.system_error, ENOENT);
    }
    fd = tn_file_open(paths[0], FILE_WRITE, &failure);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    good(tn_file_write(fd, "abc", 3, paths[0], &failure));
    tn_file_close(&fd);
    assert_int_equal(fd, -1);
    tn_file_close(&fd);
    assert_int_equal(tn_file_open(paths[0], FILE_WRITE_NEW, &failure), -1);
    assert_int_equal(failure.system_error, EEXIST);
    fd = tn_file_open(paths[0], FILE_APPEND, &failure);
    good(tn_file_write(fd, "def", 3, paths[0], &failure));
    tn_file_close(&fd);
    assert_string_equal(content(paths[0]), "abcdef");
    good(tn_link_make("0", paths[1], &failure));
    for (enum file_mode mode = FILE_READ_WRITE; mode <= FILE_APPEND; mode++)
        assert_int_equal(tn_file_open(paths[1], mode, &failure), -1);
    fd = tn_file_open(paths[1], FILE_READ, &failure);
    assert_true(fd >= 0);
    tn_file_close(&fd);
}

static void reading_and_writing_anywhere(void **state)
{
    int fd = tn_file_open(paths[0], FILE_WRITE, &failure);
    char buffer[20];
    size_t got = 0;

    (void)state;
    good(tn_file_write_at(fd, "world", 5, 6, paths[0], &failure));
    good(tn_file_write_at(fd, "hello ", 6, 0, paths[0], &failure));
    good(tn_file_read_at(fd, buffer, sizeof buffer, 0, &got, paths[0], &failure));
    assert_int_equal(got, 11);
    assert_memory_equal(buffer, "hello world", 11);
    good(tn_file_read_at(fd, buffer, 5, 6, &got, paths[0], &failure));
    assert_int_equal(got, 5);
    good(tn_file_read_at(fd, buffer, 5, 1000, &got, paths[0], &failure));
    assert_int_equal(got, 0);
    good(tn_file_set_size(fd, 5, paths[0], &failure));
    good(tn_file_sync(fd, paths[0], &failure));
    good(tn_folder_sync(folder, &failure));
    tn_file_close(&fd);
    assert_string_equal(content(paths[0]), "hello");
    assert_int_equal(tn_file_write(-1, "x", 1, "/there", &failure), TENON_ERROR_IO);
    assert_non_null(strstr(failure.message, "/there"));
    assert_int_equal(tn_folder_sync(paths[5], &failure), TENON_ERROR_NOT_FOUND);
    fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    assert_int_equal(tn_file_write(fd, "x", 1, "/there", &failure), TENON_ERROR_DISK_FULL);
    assert_true(strlen(failure.hint) > 10);
    tn_file_close(&fd);
}

static void whole_files_are_bounded(void **state)
{
    char *large = malloc(10001);

    (void)state;
    memset(large, 'x', 10000);
    large[10000] = '\0';
    test_write(paths[0], large);
    assert_int_equal(strlen(content(paths[0])), 10000);
    tn_text_reset(&text);
    assert_int_equal(tn_file_read_whole(paths[0], 9999, &text, &failure), TENON_ERROR_PROTOCOL);
    tn_text_reset(&text);
    good(tn_file_read_whole(paths[0], 10000, &text, &failure));
    assert_int_equal(tn_file_read_whole(paths[1], 10, &text, &failure), TENON_ERROR_NOT_FOUND);
    assert_int_equal(tn_file_read_whole(folder, 10, &text, &failure), TENON_ERROR_IO);
    tn_text_reset(&text);
    good(tn_file_read_whole("/proc/self/stat", 10000, &text, &failure));
    assert_true(text.length > 20);
    test_write(paths[1], "");
    assert_string_equal(content(paths[1]), "");
    free(large);
}

static void replacing(void **state)
{
    struct stat facts;

    (void)state;
    good(tn_file_replace(paths[0], "one", 3, 0600, true, &failure));
    assert_int_equal(stat(paths[0], &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    good(tn_file_replace(paths[0], "two", 3, 0, false, &failure));
    assert_string_equal(content(paths[0]), "two");
    good(tn_file_replace(paths[0], "", 0, 0, false, &failure));
    assert_string_equal(content(paths[0]), "");
    /* A link is replaced, not followed. */
    test_write(paths[1], "kept");
    good(tn_link_make("1", paths[2], &failure));
    good(tn_file_replace(paths[2], "new", 3, 0, false, &failure));
    assert_string_equal(content(paths[1]), "kept");
    assert_string_equal(content(paths[2]), "new");
    good(tn_folder_make(paths[3], 0777, &failure));
    assert_true(tn_file_replace(paths[3], "x", 1, 0, false, &failure) < 0);
    assert_int_equal(tn_file_replace("/no/such/folder/x", "x", 1, 0, false, &failure), TENON_ERROR_IO);
    assert_int_equal(count_names(), 4);
    /* A name of which nothing longer can be made. */
    {
        char *longest = malloc(strlen(folder) + 260);

        sprintf(longest, "%s/%0255d", folder, 1);
        assert_int_equal(tn_file_replace(longest, "x", 1, 0, false, &failure), TENON_ERROR_IO);
        assert_int_equal(failure.system_error, ENAMETOOLONG);
        free(longest);
    }
}

static void fill(const char *path, size_t size)
{
    int fd = tn_file_open(path, FILE_WRITE_NEW, &failure);
    char *bytes = malloc(size + 1);

    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 256);
    assert_true(fd >= 0);
    good(tn_file_write(fd, bytes, size, path, &failure));
    tn_file_close(&fd);
    free(bytes);
}

static void expect_same(const char *a, const char *b)
{
    struct text other;

    tn_text_init(&other, &memory, 1 << 20);
    good(tn_file_read_whole(b, 1 << 20, &other, &failure));
    content(a);
    assert_int_equal(text.length, other.length);
    assert_memory_equal(tn_text(&text), tn_text(&other), text.length);
    tn_text_clear(&other);
}

static void copying(void **state)
{
    static const size_t sizes[] = { 0, 1, 10, 32767, 32768, 32769, 100000 };
    char elsewhere[] = "/dev/shm/tenon-test-XXXXXX";
    int fd = mkstemp(elsewhere);

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        fill(paths[0], sizes[i]);
        good(tn_file_copy(paths[0], paths[1], &failure));
        expect_same(paths[0], paths[1]);
        /* From one file system to another, where the kernel will not do it. */
        if (fd >= 0) {
            unlink(elsewhere);
            good(tn_file_copy(paths[0], elsewhere, &failure));
            expect_same(paths[0], elsewhere);
            good(tn_file_copy(elsewhere, paths[2], &failure));
            expect_same(paths[0], paths[2]);
            unlink(paths[2]);
        }
        unlink(paths[0]);
        unlink(paths[1]);
    }
    if (fd >= 0)
        close(fd);
    unlink(elsewhere);
    fill(paths[0], 10);
    test_write(paths[1], "here already");
    assert_int_equal(tn_file_copy(paths[0], paths[1], &failure), TENON_ERROR_IO);
    assert_string_equal(content(paths[1]), "here already");
    assert_int_equal(tn_file_copy(paths[5], paths[6], &failure), TENON_ERROR_NOT_FOUND);
    assert_false(tn_file_exists(paths[6]));
    /* What the kernel claims to be empty is not always so. */
    good(tn_file_copy("/proc/self/mounts", paths[6], &failure));
    assert_true(strlen(content(paths[6])) > 10);
}

static void names(void **state)
{
    (void)state;
    test_write(paths[0], "x");
    good(tn_file_rename(paths[0], paths[1], &failure));
    assert_string_equal(content(paths[1]), "x");
    assert_int_equal(tn_file_rename(paths[0], paths[1], &failure), TENON_ERROR_NOT_FOUND);
    good(tn_file_remove(paths[1], &failure));
    good(tn_file_remove(paths[1], &failure));
    assert_int_equal(tn_file_remove(folder, &failure), TENON_ERROR_IO);
    test_write(paths[0], "x");
    good(tn_file_link(paths[0], paths[1], &failure));
    assert_string_equal(content(paths[1]), "x");
    assert_int_equal(tn_file_link(paths[0], paths[1], &failure), TENON_ERROR_CONFLICT);
    assert_int_equal(tn_file_link(paths[5], paths[6], &failure), TENON_ERROR_NOT_FOUND);
    good(tn_link_make("../target", paths[2], &failure));
    assert_int_equal(tn_link_make("../target", paths[2], &failure), TENON_ERROR_CONFLICT);
    tn_text_reset(&text);
    good(tn_link_read(paths[2], &text, &failure));
    assert_string_equal(tn_text(&text), "../target");
    assert_int_equal(tn_link_read(paths[0], &text, &failure), TENON_ERROR_IO);
}

static void folders(void **state)
{
    char *deep = test_join(folder, "a/b/c/d"), *slashed = test_join(folder, "x/y/"), *below_a_file = test_join(folder, "0/x/y");
    struct folder listing = { NULL };

    (void)state;
    good(tn_folder_make(deep, 0777, &failure));
    good(tn_folder_make(deep, 0777, &failure));
    assert_true(tn_folder_exists(deep));
    good(tn_folder_make(slashed, 0777, &failure));
    good(tn_folder_make_above(below_a_file, &failure));
    good(tn_folder_make_above("name", &failure));
    assert_int_equal(tn_folder_make("", 0777, &failure), TENON_ERROR_IO);
    test_write(paths[1], "x");
    assert_int_equal(tn_folder_make(paths[1], 0777, &failure), TENON_ERROR_IO);
    assert_int_equal(failure.system_error, ENOTDIR);
    assert_int_equal(tn_folder_open(&listing, paths[7], &failure), TENON_ERROR_NOT_FOUND);
    free(deep);
    free(slashed);
    free(below_a_file);
}

/* What the system says is what is told, and not what a later look finds. */
static void folders_that_cannot_be_made(void **state)
{
    (void)state;
    assert_int_equal(tn_folder_make("/sys/tenon/x", 0777, &failure), TENON_ERROR_IO);
    assert_true(failure.system_error == EROFS || failure.system_error == EPERM || failure.system_error == EACCES);
    assert_true(strlen(failure.hint) > 10);
}

static void removing_a_folder(void **state)
{
    char *inner = test_join(folder, "a/b/c"), *outer = test_join(folder, "a"), *link = test_join(folder, "a/link"), *file = test_join(folder, "a/b/f");

    (void)state;
    good(tn_folder_make(inner, 0777, &failure));
    good(tn_folder_make(paths[0], 0777, &failure));
    test_write(file, "x");
    test_write(paths[1], "kept");
    good(tn_link_make(folder, link, &failure));
    good(tn_folder_remove(outer, &failure));
    assert_false(tn_file_exists(outer));
    assert_string_equal(content(paths[1]), "kept");
    good(tn_folder_remove(outer, &failure));
    good(tn_folder_make(inner, 0777, &failure));
    good(tn_link_make("a", paths[2], &failure));
    good(tn_folder_remove(paths[2], &failure));
    assert_true(tn_folder_exists(inner));
    free(inner);
    free(outer);
    free(link);
    free(file);
}

/* A folder that is nested deeper than anybody means it is no way to exhaust the stack or the descriptors. */
static void removing_an_abyss(void **state)
{
    char here[PATH_MAX];
    int depth = 400;

    (void)state;
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    for (int i = 0; i < depth; i++) {
        assert_int_equal(mkdir("d", 0777), 0);
        assert_int_equal(chdir("d"), 0);
    }
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(tn_folder_remove("d", &failure), TENON_ERROR_IO);
    assert_non_null(strstr(failure.message, "too deep"));
    /* From within it goes. */
    for (int i = 0; i < 200; i++)
        assert_int_equal(chdir("d"), 0);
    good(tn_folder_remove("d", &failure));
    assert_int_equal(chdir(folder), 0);
    good(tn_folder_remove("d", &failure));
    assert_int_equal(chdir(here), 0);
}

static void room_on_the_disk(void **state)
{
    char *below = test_join(folder, "not/yet/there");

    (void)state;
    assert_true(tn_disk_free(folder) > 0);
    assert_true(tn_disk_free(below) > 0);
    assert_true(tn_disk_free("/") > 0);
    assert_true(tn_folder_writable(folder));
    assert_true(tn_folder_writable(below));
    assert_int_equal(chdir(folder), 0);
    assert_true(tn_folder_writable("not/yet"));
    assert_true(tn_folder_writable("not"));
    assert_true(tn_disk_free("not") > 0);
    free(below);
}

/* ---- locks ---- */

static void try_in_child(void *user)
{
    struct lock lock = { -1 };
    tenon_status status = tn_lock_try(&lock, user, &failure);

    _exit(status == TENON_OK ? 0 : status == TENON_AGAIN ? 1 : 2);
}

static void locks(void **state)
{
    struct lock lock = { -1 }, other = { -1 };
    struct stat facts;

    (void)state;
    tn_lock_release(&lock);
    good(tn_lock_try(&lock, paths[0], &failure));
    assert_true(lock.fd >= 0 && (fcntl(lock.fd, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(stat(paths[0], &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0664);
    assert_int_equal(tn_lock_try(&other, paths[0], &failure), TENON_AGAIN);
    assert_int_equal(other.fd, -1);
    assert_int_equal(test_in_child(try_in_child, paths[0]), 1);
    tn_lock_release(&lock);
    assert_int_equal(lock.fd, -1);
    assert_true(tn_file_exists(paths[0]));
    assert_int_equal(test_in_child(try_in_child, paths[0]), 0);
    good(tn_lock_try(&other, paths[0], &failure));
    tn_lock_release(&other);
    assert_int_equal(tn_lock_try(&lock, "/no/such/folder/lock", &failure), TENON_ERROR_NOT_FOUND);
    good(tn_link_make("0", paths[1], &failure));
    assert_int_equal(tn_lock_try(&lock, paths[1], &failure), TENON_ERROR_IO);
}

static void forget_in_child(void *user)
{
    tn_lock_release(user);
}

/* A forked child has a copy of the descriptor; that it lets go of it does not let go of ours. */
static void a_child_does_not_let_go(void **state)
{
    struct lock lock = { -1 };

    (void)state;
    good(tn_lock_try(&lock, paths[0], &failure));
    assert_int_equal(test_in_child(forget_in_child, &lock), 0);
    assert_int_equal(test_in_child(try_in_child, paths[0]), 1);
    tn_lock_release(&lock);
}

/* flock is what the official clients use; so a lock of theirs is one of ours. */
static void locks_of_others(void **state)
{
    struct lock lock = { -1 };
    int fd = open(paths[0], O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    (void)state;
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(tn_lock_try(&lock, paths[0], &failure), TENON_AGAIN);
    /* Somebody removes the name while he holds it, as old releases of filelock do: a new file is another lock. */
    assert_int_equal(unlink(paths[0]), 0);
    good(tn_lock_try(&lock, paths[0], &failure));
    tn_lock_release(&lock);
    close(fd);
}

static void folders_that_last(void **state)
{
    char *deep = test_join(paths[0], "a/b");
    char *file = test_join(paths[1], "c/file");

    (void)state;
    assert_int_equal(tn_folder_make_durable(deep, 0700, &failure), TENON_OK);
    assert_true(tn_folder_exists(deep));
    assert_int_equal(tn_folder_make_durable(deep, 0700, &failure), TENON_OK);
    assert_int_equal(tn_folder_make_above_durable(file, &failure), TENON_OK);
    test_write(file, "x");
    assert_int_equal(tn_file_sync_name(file, &failure), TENON_OK);
    test_write(paths[2], "a file");
    free(file);
    file = test_join(paths[2], "below/file");
    assert_int_equal(tn_folder_make_above_durable(file, &failure), TENON_ERROR_IO);
    free(file);
    free(deep);
}

static tenon_status use_files(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct failure own;
    struct text content;
    tenon_status status;

    tn_failure_init(&own, &failing, NULL);
    tn_text_init(&content, &failing, 1 << 20);
    status = tn_file_replace(paths[3], "something", 9, 0, true, &own);
    if (status == TENON_OK)
        status = tn_file_read_whole(paths[3], 100, &content, &own);
    unlink(paths[4]);
    if (status == TENON_OK)
        status = tn_link_make(paths[3], paths[4], &own);
    if (status == TENON_OK)
        status = tn_link_read(paths[4], &content, &own);
    /* What goes wrong is told as well as can be. */
    assert_int_equal(tn_file_read_whole(folder, 100, &content, &own), TENON_ERROR_IO);
    tn_text_clear(&content);
    tn_failure_clear(&own);
    return status;
}

static void files_without_memory(void **state)
{
    (void)state;
    test_every_failure(use_files);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(looking),
        TEST(opening),
        TEST(reading_and_writing_anywhere),
        TEST(whole_files_are_bounded),
        TEST(replacing),
        TEST(copying),
        TEST(names),
        TEST(folders),
        TEST(folders_that_cannot_be_made),
        TEST(removing_a_folder),
        TEST(removing_an_abyss),
        TEST(room_on_the_disk),
        TEST(locks),
        TEST(a_child_does_not_let_go),
        TEST(locks_of_others),
        TEST(folders_that_last),
        TEST(files_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
