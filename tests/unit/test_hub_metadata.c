/* One file at a revision, and which commit that is: what answers of a hub are taken to say. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metadata.h"
#include "web.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define OTHER "ffffffffffffffffffffffffffffffffffffffff"
#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA1 "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

static struct web *web;

static int set_up(void **state)
{
    web = *state;
    return 0;
}

/* ---- content ids ---- */

static void content_ids(void **state)
{
    static const struct {
        const char *value, *etag;
    } rows[] = {
        { "\"" SHA256 "\"", SHA256 }, { "W/\"" SHA1 "\"", SHA1 }, { SHA1, SHA1 }, { "W/" SHA1, SHA1 }, { "\"a-1\"", "a-1" },
        { "\"x_y.z\"", "x_y.z" },
        { "", NULL }, { "\"\"", NULL }, { "W/", NULL }, { "W/\"\"", NULL }, { "\"", NULL }, { "\"a", NULL }, { "a\"", NULL }, { "w/\"a\"", NULL },
        { "W/W/\"a\"", NULL }, { "\"\"a\"\"", NULL }, { "\"../x\"", NULL }, { "..", NULL }, { "\".\"", NULL }, { "\"/etc/passwd\"", NULL },
        { "\"a/b\"", NULL }, { "\"a\\b\"", NULL }, { "\"a b\"", NULL }, { "\"a\", \"b\"", NULL }, { "\"a\x01\"", NULL }, { "\"\xc3\xa4\"", NULL },
        { "\".hidden\"", NULL }, { "\"con\"", NULL }, { "\"NUL.txt\"", NULL }, { "\"a.incomplete\"", NULL }, { "\"a.downloadInProgress\"", NULL },
        { "\"*\"", NULL }, { "\"a:b\"", NULL }, { "\"$HOME\"", NULL },
    };
    char etag[129], longest[132];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good = tn_etag_normal(rows[i].value, etag, sizeof etag);

        if (good != (rows[i].etag != NULL) || (good && strcmp(etag, rows[i].etag) != 0))
            fail_msg("%s is taken for %s", rows[i].value, good ? etag : "none");
    }
    memset(longest, 'a', sizeof longest);
    longest[0] = longest[129] = '"';
    longest[130] = '\0';
    assert_true(tn_etag_normal(longest, etag, sizeof etag));
    assert_int_equal(strlen(etag), 128);
    longest[129] = 'a';
    longest[130] = '"';
    longest[131] = '\0';
    assert_false(tn_etag_normal(longest, etag, sizeof etag));
    assert_true(tn_etag_normal("\"abc\"", etag, 4));
    assert_false(tn_etag_normal("\"abcd\"", etag, 4));
}

/* ---- answers ---- */

struct asked {
    tenon_context *context;
    tenon_hub *hub;
    struct repository repository;
    struct metadata metadata;
    struct resolution resolution;
};

static tenon_status open_asked(struct asked *asked, const struct test_hooks *hooks, const char *bytes, const char *revision)
{
    const tenon_hub_options options = { .struct_size = sizeof options, .cache = "/nowhere", .token = "" };
    char *url = web_says(web, bytes);
    tenon_status status = test_try_open(hooks, &asked->context);

    if (status == TENON_OK)
        status = tenon_context_set(asked->context, "transport.retries", "0");
    if (status == TENON_OK)
        status = tenon_hub_open(asked->context, url, &options, &asked->hub);
    if (status == TENON_OK)
        status = tn_repository_parse(&asked->repository, &asked->context->memory, "acme/small", revision, NULL, &asked->context->failure);
    if (status == TENON_OK) {
        tn_metadata_init(&asked->metadata, asked->hub);
        tn_resolution_init(&asked->resolution, asked->hub);
    }
    free(url);
    return status;
}

static void close_asked(struct asked *asked)
{
    tn_metadata_clear(&asked->metadata);
    tn_metadata_clear(&asked->metadata);
    tn_resolution_clear(&asked->resolution);
    tn_resolution_clear(&asked->resolution);
    tn_repository_clear(&asked->repository);
    tenon_hub_free(asked->hub);
    tenon_context_free(asked->context);
}

static tenon_status end_of(const struct asked *asked, const struct co *co)
{
    while (tn_co_running(co))
        tn_loop_step(asked->context, -1);
    return co->status;
}

#define OK "HTTP/1.1 200 OK\r\n"
#define FOUND "HTTP/1.1 302 Found\r\nLocation: https://cdn.example/x?signed\r\n"
#define ABSENT "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
#define IS_COMMIT "X-Repo-Commit: " COMMIT "\r\n"
#define IS_SMALL "ETag: \"" SHA1 "\"\r\n"
#define SIZED "Content-Length: 7\r\n"
#define END "\r\n"

static void headers_of_a_file(void **state)
{
    static const struct {
        const char *answer;
        tenon_status status;
        const char *commit, *etag;
        int64_t bytes;
        const char *xet;
        bool absent;
    } rows[] = {
        { OK IS_COMMIT IS_SMALL SIZED END, TENON_OK, COMMIT, SHA1, 7, "", false },
        { OK IS_COMMIT "ETag: W/\"" SHA1 "\"\r\n" SIZED END, TENON_OK, COMMIT, SHA1, 7, "", false },
        /* What a redirect says of the content; its own length and ETag are of no interest. */
        { FOUND IS_COMMIT "ETag: \"cdn\"\r\nX-Linked-ETag: \"" SHA256 "\"\r\nX-Linked-Size: 500000000000\r\nContent-Length: 0\r\n" END, TENON_OK,
          COMMIT, SHA256, INT64_C(500000000000), "", false },
        { FOUND IS_COMMIT "X-Linked-ETag: \"" SHA256 "\"\r\n" SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { OK IS_COMMIT "x-LINKED-etag: " SHA256 "\r\nX-Linked-Size: 0\r\n" IS_SMALL SIZED END, TENON_OK, COMMIT, SHA256, 0, "", false },
        { OK IS_COMMIT IS_SMALL "X-Linked-Size: 9223372036854775807\r\n" SIZED END, TENON_OK, COMMIT, SHA1, INT64_MAX, "", false },
        { OK IS_COMMIT IS_SMALL SIZED "X-Xet-Hash: " SHA256 "\r\n" END, TENON_OK, COMMIT, SHA1, 7, SHA256, false },
        { OK IS_COMMIT IS_SMALL SIZED "X-Xet-Hash: ../" SHA1 "\r\n" END, TENON_OK, COMMIT, SHA1, 7, "", false },
        /* Sizes that are none; a true one may stand beside them. */
        { OK IS_COMMIT IS_SMALL "X-Linked-Size: 9223372036854775808\r\n" SIZED END, TENON_OK, COMMIT, SHA1, 7, "", false },
        { OK IS_COMMIT IS_SMALL "X-Linked-Size: -5\r\n" SIZED END, TENON_OK, COMMIT, SHA1, 7, "", false },
        { FOUND IS_COMMIT IS_SMALL "X-Linked-Size: 99999999999999999999999999\r\n" SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { FOUND IS_COMMIT IS_SMALL "X-Linked-Size: 1e3\r\n" END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { FOUND IS_COMMIT IS_SMALL "X-Linked-Size: \r\n" END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { OK IS_COMMIT IS_SMALL END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        /* Content ids that are none. */
        { OK IS_COMMIT SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { OK IS_COMMIT "ETag: \"../../x\"\r\n" SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { OK IS_COMMIT "ETag: \"\"\r\n" SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        { OK IS_COMMIT IS_SMALL "X-Linked-ETag: \"a/b\"\r\n" SIZED END, TENON_ERROR_PROTOCOL, NULL, NULL, 0, NULL, false },
        /* Another commit than was asked for: that is looked at elsewhere; here it was a branch. */
        { OK "X-Repo-Commit: " OTHER "\r\n" IS_SMALL SIZED END, TENON_OK, OTHER, SHA1, 7, "", false },
        /* The hub knows the commit, and it has no such file. */
        { ABSENT IS_COMMIT "X-Error-Code: EntryNotFound\r\n" END, TENON_ERROR_NOT_FOUND, COMMIT, NULL, 0, NULL, true },
        { ABSENT "X-Repo-Commit: ../x\r\nX-Error-Code: EntryNotFound\r\n" END, TENON_ERROR_NOT_FOUND, "", NULL, 0, NULL, true },
        { ABSENT IS_COMMIT "X-Error-Code: RevisionNotFound\r\n" END, TENON_ERROR_NOT_FOUND, "", NULL, 0, NULL, false },
        { ABSENT IS_COMMIT END, TENON_ERROR_NOT_FOUND, "", NULL, 0, NULL, false },
        { "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nX-Error-Code: GatedRepo\r\n" END, TENON_ERROR_GATED, "", NULL, 0, NULL, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked asked = { NULL };
        struct metadata *got = &asked.metadata;
        tenon_status status;

        assert_int_equal(open_asked(&asked, NULL, rows[i].answer, "main"), TENON_OK);
        tn_metadata_start(got, &asked.repository, "a/b.bin", -1, NULL);
        status = end_of(&asked, &got->co);
        if (status != rows[i].status || got->absent != rows[i].absent)
            fail_msg("%s gives %s: %s", rows[i].answer, tenon_status_name(status), got->failure.message);
        if (rows[i].commit != NULL)
            assert_string_equal(got->commit, rows[i].commit);
        if (status == TENON_OK) {
            assert_string_equal(got->etag, rows[i].etag);
            assert_int_equal(got->bytes, rows[i].bytes);
            assert_string_equal(got->xet, rows[i].xet);
        } else
            assert_non_null(got->failure.message);
        close_asked(&asked);
    }
}

/* A hub that names no commit with the file is asked for its description; HEAD and GET get the same bytes here. */
static void the_commit_by_another_way(void **state)
{
    static const struct {
        const char *answer, *revision, *commit; /* NULL: a failure of the protocol */
    } rows[] = {
        { OK IS_SMALL "Content-Length: 50\r\n" END "{\"sha\":\"" COMMIT "\"}", "main", COMMIT },
        { OK "X-Repo-Commit: short\r\n" IS_SMALL "Content-Length: 50\r\n" END "{\"sha\":\"" COMMIT "\"}", "main", COMMIT },
        { OK IS_SMALL "Content-Length: 2\r\n" END "{}", "main", NULL },
        { OK IS_SMALL "Content-Length: 2\r\n" END "hi", "main", NULL },
        { OK IS_SMALL "Content-Length: 12\r\n" END "{\"sha\":\"..\"}", "main", NULL },
        /* Who asks for a commit gets that one or none. */
        { OK IS_SMALL SIZED END, COMMIT, COMMIT }, { OK IS_COMMIT IS_SMALL SIZED END, COMMIT, COMMIT },
        { OK IS_COMMIT IS_SMALL SIZED END, OTHER, NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked asked = { NULL };
        tenon_status status;

        assert_int_equal(open_asked(&asked, NULL, rows[i].answer, rows[i].revision), TENON_OK);
        tn_metadata_start(&asked.metadata, &asked.repository, "a", -1, NULL);
        status = end_of(&asked, &asked.metadata.co);
        if (status != (rows[i].commit != NULL ? TENON_OK : TENON_ERROR_PROTOCOL))
            fail_msg("%s gives %s: %s", rows[i].answer, tenon_status_name(status), asked.metadata.failure.message);
        if (rows[i].commit != NULL)
            assert_string_equal(asked.metadata.commit, rows[i].commit);
        close_asked(&asked);
    }
}

#define JSON(text) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" text

static void which_commit_a_revision_is(void **state)
{
    static const struct {
        const char *answer, *revision;
        tenon_status status;
    } rows[] = {
        { JSON("{\"sha\":\"" COMMIT "\",\"more\":[1]}"), "main", TENON_OK }, { JSON("{\"sha\":\"" COMMIT "\"}"), COMMIT, TENON_OK },
        { JSON("{\"sha\":\"" COMMIT "\"}"), OTHER, TENON_ERROR_PROTOCOL }, { JSON("{\"sha\":null}"), "main", TENON_ERROR_PROTOCOL },
        { JSON("{\"sha\":5}"), "main", TENON_ERROR_PROTOCOL }, { JSON("{\"sha\":\"" COMMIT "0\"}"), "main", TENON_ERROR_PROTOCOL },
        { JSON("{\"sha\":\"" COMMIT "\\u0000x\"}"), "main", TENON_ERROR_PROTOCOL },
        { JSON("{\"sha\":\"0123456789ABCDEF0123456789abcdef01234567\"}"), "main", TENON_ERROR_PROTOCOL },
        { JSON("[\"" COMMIT "\"]"), "main", TENON_ERROR_PROTOCOL }, { JSON("{\"sha\":\"" COMMIT "\""), "main", TENON_ERROR_PROTOCOL },
        { JSON(""), "main", TENON_ERROR_PROTOCOL }, { JSON("<html>"), "main", TENON_ERROR_PROTOCOL },
        { ABSENT "X-Error-Code: RevisionNotFound\r\n" END, "main", TENON_ERROR_NOT_FOUND },
        { ABSENT "X-Error-Code: RepoNotFound\r\n" END, "main", TENON_ERROR_NOT_FOUND },
        { "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n" END, "main", TENON_ERROR_NOT_FOUND },
        { "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nX-Error-Code: GatedRepo\r\n" END, "main", TENON_ERROR_GATED },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct asked asked = { NULL };
        tenon_status status;

        assert_int_equal(open_asked(&asked, NULL, rows[i].answer, rows[i].revision), TENON_OK);
        tn_resolution_start(&asked.resolution, &asked.repository, true, NULL);
        status = end_of(&asked, &asked.resolution.co);
        if (status != rows[i].status)
            fail_msg("%s gives %s: %s", rows[i].answer, tenon_status_name(status), asked.resolution.failure.message);
        if (status == TENON_OK)
            assert_string_equal(asked.resolution.commit, COMMIT);
        close_asked(&asked);
    }
}

/* Given back while the request is under way. */
static void given_up(void **state)
{
    struct asked asked = { NULL };

    (void)state;
    assert_int_equal(open_asked(&asked, NULL, OK IS_COMMIT IS_SMALL SIZED END, "main"), TENON_OK);
    tn_metadata_start(&asked.metadata, &asked.repository, "a", 0, NULL);
    tn_loop_step(asked.context, 0);
    assert_true(tn_co_running(&asked.metadata.co));
    close_asked(&asked);
}

static tenon_status ask_for_both(struct test_memory *counts)
{
    static const char answer[] = OK IS_SMALL "Content-Length: 50\r\n" END "{\"sha\":\"" COMMIT "\"}";
    struct asked asked = { NULL };
    tenon_status status = open_asked(&asked, &(struct test_hooks){ .memory = counts }, answer, "main");

    if (status == TENON_OK) {
        tn_metadata_start(&asked.metadata, &asked.repository, "a", 0, NULL);
        status = end_of(&asked, &asked.metadata.co);
        if (status == TENON_OK)
            assert_string_equal(asked.metadata.commit, COMMIT);
    }
    close_asked(&asked);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(ask_for_both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(content_ids, set_up),               cmocka_unit_test_setup(headers_of_a_file, set_up),
        cmocka_unit_test_setup(the_commit_by_another_way, set_up), cmocka_unit_test_setup(which_commit_a_revision_is, set_up),
        cmocka_unit_test_setup(given_up, set_up),                  cmocka_unit_test_setup(without_memory, set_up),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
