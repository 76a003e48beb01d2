#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "url.h"

static struct memory memory;
static struct text out;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_text_init(&out, &memory, 16384);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_text_clear(&out);
    return 0;
}

static void origins(void **state)
{
    static const struct {
        const char *url, *origin;
    } rows[] = {
        { "https://Hub.Co/a?b#c", "https://hub.co:443" }, { "http://hub.co", "http://hub.co:80" },
        { "http://hub.co:8080/", "http://hub.co:8080" },  { "http://user:pass@hub.co/", "http://hub.co:80" },
        { "http://127.0.0.1:80", "http://127.0.0.1:80" }, { "http://[::1]:9/x", "http://[::1]:9" },
    };
    static const char *const bad[] = { "", "hub.co", "ftp://hub.co/", "file:///etc/passwd", "https:/x", "http://", "javascript:1",
                                       "http://hub.co:99999/", "http://a b/", "http://hub.co:x/", "//hub.co/", "http://ho\nst/", "http:///x/y" };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&out);
        assert_true(tn_url_origin(rows[i].url, &out));
        assert_string_equal(tn_text(&out), rows[i].origin);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        tn_text_reset(&out);
        if (tn_url_origin(bad[i], &out))
            fail_msg("accepted: %s", bad[i]);
    }
}

static void the_same_origin(void **state)
{
    static const struct {
        const char *a, *b;
        bool same, upgrade;
    } rows[] = {
        { "https://hub.co/x", "https://hub.co:443/y", true, false }, { "https://hub.co/", "https://HUB.co/", true, false },
        { "http://hub.co/", "https://hub.co/", false, true },        { "http://hub.co:80/", "https://hub.co:443/", false, true },
        { "http://hub.co:8080/", "https://hub.co/", false, false },  { "http://hub.co/", "https://hub.co:8443/", false, false },
        { "https://hub.co/", "http://hub.co/", false, false },       { "http://hub.co/", "https://hub.co.evil/", false, false },
        { "http://hub.co/", "https://evil.hub.co/", false, false },  { "http://hub.co/", "https://hub.co@evil.co/", false, false },
        { "https://hub.co/", "https://hub.co./", false, false },     { "https://hub.co/", "nonsense", false, false },
        { "nonsense", "nonsense", false, false },                    { "https://hub.co/", "https://hub.co:444/", false, false },
        { "https://hub.co/x", "https://hub.co/y", true, false },     { "https://hub.co", "https://hub.co?x#y", true, false },
        { "https://hub.co", "https://hub.co#@evil.co/", true, false },
        { "https://hub.co", "https://hub.co\\@evil.co/", false, false },
        { "http:///hub.co/", "http:///hub.co/", false, false },      { "http://", "http://", false, false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (tn_url_same_origin(rows[i].a, rows[i].b) != rows[i].same ||
            tn_url_is_upgrade(rows[i].a, rows[i].b) != rows[i].upgrade)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
}

static void lists_of_hosts(void **state)
{
    static const struct {
        const char *url, *list;
        bool listed;
    } rows[] = {
        { "https://hub.co/", "", false },                        { "https://hub.co/", "hub.co", true },
        { "https://HUB.co/", ".Hub.CO", true },                  { "https://cdn.hub.co/", "hub.co", true },
        { "https://evilhub.co/", "hub.co", false },              { "https://hub.co.evil/", "hub.co", false },
        { "https://hub.co./", "hub.co", true },                  { "https://hub.co/", "hub.co.", true },
        { "https://hub.co:8443/x", "a.b,hub.co", true },         { "https://hub.co/", "a.b  hub.co", true },
        { "https://hub.co/", "a, ,hub.co ,", true },             { "https://hub.co/", "*", true },
        { "https://hub.co/", "a.b,*", true },                    { "https://hub.co/", ".", false },
        { "https://user:hub.co@x.y/", "hub.co", false },         { "http://127.0.0.1:80/", "127.0.0.1", true },
        { "http://127.0.0.1/", "0.0.1", false },                 { "http://10.1.2.3/", "10.0.0.0/8", true },
        { "http://11.1.2.3/", "10.0.0.0/8", false },             { "http://10.1.2.3/", "10.1.2.0/23", true },
        { "http://10.1.4.3/", "10.1.2.0/23", false },            { "http://10.1.2.3/", "10.1.2.3/33", false },
        { "http://10.1.2.3/", "10.1.2.3/x", false },             { "http://10.1.2.3/", "::/0", false },
        { "http://1.2.3.4/", "0.0.0.0/0", true },                { "http://[::1]:9/", "::1", true },
        { "http://[::1]/", "[::1]", true },                      { "http://[fd00::7]/", "fd00::/8", true },
        { "http://[fe00::7]/", "fd00::/8", false },              { "http://1.2.3.4.hub.co/", "1.2.3.4", false },
        { "nonsense", "*", false },                              { "https://hub.co/", "hub.co/8", false },
    };
    char *huge = malloc(2000);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (tn_url_is_listed(rows[i].url, rows[i].list) != rows[i].listed)
            fail_msg("%s in \"%s\"", rows[i].url, rows[i].list);
    memset(huge, 'x', 1999);
    memcpy(huge + 1992, ",hub.co", 8);
    assert_true(tn_url_is_listed("https://hub.co/", huge));
    free(huge);
}

static void references(void **state)
{
    static const struct {
        const char *base, *reference, *url; /* NULL: refused */
    } rows[] = {
        { "https://hub.co/a/b?c", "/x?y=1", "https://hub.co/x?y=1" }, { "https://hub.co/a/b", "c", "https://hub.co/a/c" },
        { "https://hub.co/a/b", "../c", "https://hub.co/c" },         { "https://hub.co/a", "//cdn.co/f", "https://cdn.co/f" },
        { "https://hub.co/a", "http://cdn.co/f", "http://cdn.co/f" }, { "https://hub.co/a", "?p=2", "https://hub.co/a?p=2" },
        { "https://hub.co/a", "/b c", "https://hub.co/b%20c" },       { "https://hub.co/a", "file:///etc/passwd", NULL },
        { "https://hub.co/a", "ftp://x/y", NULL },                    { "https://hub.co/a", "javascript:alert(1)", NULL },
        { "https://hub.co/a", "https://", NULL },                     { "nonsense", "/x", NULL },
        { "https://hub.co/a", "HTTPS://CDN.co/f", "https://CDN.co/f" },
    };
    char *huge = malloc(40000);

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good;

        tn_text_reset(&out);
        good = tn_url_resolve(rows[i].base, rows[i].reference, &out);
        if (good != (rows[i].url != NULL) || (good && strcmp(tn_text(&out), rows[i].url) != 0))
            fail_msg("%s + %s gives %s", rows[i].base, rows[i].reference, good ? tn_text(&out) : "nothing");
    }
    memset(huge, 'x', 39999);
    huge[0] = '/';
    huge[39999] = '\0';
    tn_text_reset(&out);
    assert_false(tn_url_resolve("https://hub.co/", huge, &out));
    free(huge);
}

static void what_may_be_shown(void **state)
{
    static const struct {
        const char *url, *shown;
    } rows[] = {
        { "https://hub.co/a/b?token=x#y", "https://hub.co/a/b" },  { "https://me:secret@hub.co/a", "https://hub.co/a" },
        { "https://me:se@cret@hub.co/a", "https://hub.co/a" },     { "https://hub.co?x@y", "https://hub.co" },
        { "https://hub.co/@scope/x", "https://hub.co/@scope/x" },  { "me:secret@hub.co/a", "hub.co/a" },
        { "", "" },                                                { "https://", "https://" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&out);
        tn_url_show(rows[i].url, &out);
        assert_string_equal(tn_text(&out), rows[i].shown);
    }
}

static void users_stay_at_home(void **state)
{
    static const struct {
        const char *from, *to, *kept; /* NULL: as it is */
    } rows[] = {
        { "https://me:secret@hub.co/a", "https://hub.co/b?c=d@e", "https://me:secret@hub.co/b?c=d@e" },
        { "https://me:se%40cret@hub.co/a", "https://HUB.co:443/b", "https://me:se%40cret@HUB.co:443/b" },
        { "https://me@hub.co", "https://hub.co", "https://me@hub.co" },
        { "https://me:secret@hub.co/a", "https://you:other@hub.co/b", NULL },
        { "https://me:secret@hub.co/a", "https://cdn.co/b", NULL },
        { "https://me:secret@hub.co/a", "https://hub.co:444/b", NULL },
        { "https://me:secret@hub.co/a", "http://hub.co/b", NULL },
        { "https://hub.co/a@b", "https://hub.co/b", NULL },
        { "https://me:secret@hub.co/a", "nonsense", NULL },
        { "nonsense", "https://hub.co/b", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_text_reset(&out);
        tn_url_keep_user(rows[i].from, rows[i].to, &out);
        assert_string_equal(tn_text(&out), rows[i].kept != NULL ? rows[i].kept : rows[i].to);
    }
}

static void users_are_secrets(void **state)
{
    struct secrets secrets = { .memory = &memory };
    char line[] = "https://somebody:se@cret@hub.co/a@b and me:secret@proxy:1 and @hub.co";

    (void)state;
    assert_int_equal(tn_url_add_secret("https://somebody:se@cret@hub.co/a@b?c@d", &secrets), TENON_OK);
    assert_int_equal(tn_url_add_secret("me:secret@proxy:1", &secrets), TENON_OK);
    assert_int_equal(tn_url_add_secret("https://hub.co/@b", &secrets), TENON_OK);
    assert_int_equal(tn_url_add_secret("https://@hub.co", &secrets), TENON_OK);
    assert_int_equal(secrets.count, 2);
    tn_secrets_mask(&secrets, line);
    assert_string_equal(line, "https://****************@hub.co/a@b and *********@proxy:1 and @hub.co");
    tn_secrets_clear(&secrets);
}

static tenon_status use_addresses(struct test_memory *counts)
{
    struct memory failing = test_memory(counts);
    struct secrets secrets = { .memory = &failing };
    struct text text;
    tenon_status status;

    tn_text_init(&text, &failing, URL_LIMIT);
    tn_url_origin("HTTPS://Hub.co/a", &text);
    tn_url_resolve("https://hub.co/a/b", "../c?d", &text);
    tn_url_keep_user("https://me:secret@hub.co/a", "https://hub.co/b", &text);
    tn_url_show("https://me:secret@hub.co/b?c#d", &text);
    status = tn_url_add_secret("https://me:secret@hub.co", &secrets);
    if (status == TENON_OK)
        status = tn_text_status(&text);
    tn_secrets_clear(&secrets);
    tn_text_clear(&text);
    return status;
}

static void without_memory(void **state)
{
    (void)state;
    test_every_failure(use_addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins),           cmocka_unit_test(the_same_origin), cmocka_unit_test(references),
        cmocka_unit_test(lists_of_hosts),    cmocka_unit_test(what_may_be_shown), cmocka_unit_test(users_stay_at_home),
        cmocka_unit_test(users_are_secrets), cmocka_unit_test(without_memory),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
