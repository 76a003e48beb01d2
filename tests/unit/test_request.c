/* Requests against a server: what is sent, what is read, where redirects lead, and what an error means. */
#include "with_asking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* What /echo says of a header of the request; NULL when it was not sent. */
static const char *sent_header(const json_t *echo, const char *name)
{
    return tn_json_text(tn_json_member(echo, "headers"), name);
}

/* ---- asking ---- */

static void a_request_is_as_it_was_made(void **state)
{
    json_t *echo;

    (void)state;
    asking_url(asking, web->url, "/echo?a=%s#part", "b%20c");
    tn_request_header(&asking->request, "X-One", "1 and a \xc3\xbc");
    tn_request_range(&asking->request, 5, 9);
    asking->request.bearer = "hf_token";
    good(ask(asking));
    echo = asking_json(asking);
    assert_int_equal(asking->request.status, 200);
    assert_string_equal(tn_json_text(echo, "method"), "GET");
    assert_string_equal(tn_json_text(echo, "path"), "/echo");
    assert_string_equal(tn_json_text(echo, "query"), "a=b%20c");
    assert_non_null(strstr(sent_header(echo, "x-one"), "1 and a "));
    assert_string_equal(sent_header(echo, "range"), "bytes=5-9");
    assert_string_equal(sent_header(echo, "authorization"), "Bearer hf_token");
    assert_string_equal(sent_header(echo, "user-agent"), "tenon/0.1.0");
    assert_string_equal(sent_header(echo, "accept-encoding"), "identity");
    assert_null(sent_header(echo, "content-type"));
    json_decref(echo);
}

static void an_application_names_itself(void **state)
{
    json_t *echo;

    (void)state;
    assert_int_equal(tenon_context_set(asking->context, "transport.user_agent", "mine/2"), TENON_OK);
    asking_url(asking, web->url, "/echo");
    tn_request_range(&asking->request, 7, -1);
    asking->request.decode = true;
    good(ask(asking));
    echo = asking_json(asking);
    assert_string_equal(sent_header(echo, "user-agent"), "mine/2 tenon/0.1.0");
    assert_string_equal(sent_header(echo, "range"), "bytes=7-");
    assert_non_null(strstr(sent_header(echo, "accept-encoding"), "gzip"));
    assert_null(sent_header(echo, "authorization"));
    json_decref(echo);
}

static void every_method(void **state)
{
    static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE", "HEAD" };

    (void)state;
    for (size_t i = 0; i < COUNT(methods); i++) {
        bool head = strcmp(methods[i], "HEAD") == 0;

        tn_request_reset(&asking->request);
        asking_url(asking, web->url, "/echo");
        asking->request.method = methods[i];
        asking->request.body = head ? NULL : "a\0b";
        asking->request.body_size = head ? 0 : 3;
        good(ask(asking));
        if (head) {
            assert_int_equal(asking->request.answer.length, 0);
            assert_true(tn_response_integer(&asking->request, "content-length", -1) > 100);
        } else {
            json_t *echo = asking_json(asking);

            assert_string_equal(tn_json_text(echo, "method"), methods[i]);
            assert_string_equal(tn_json_text(echo, "body"), "YQBi");
            assert_null(sent_header(echo, "content-type"));
            json_decref(echo);
        }
    }
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/echo");
    asking->request.method = "POST";
    asking->request.body = "{}";
    asking->request.body_size = 2;
    tn_request_header(&asking->request, "content-TYPE", "application/json");
    good(ask(asking));
    {
        json_t *echo = asking_json(asking);

        assert_string_equal(sent_header(echo, "content-type"), "application/json");
        json_decref(echo);
    }
}

static void headers_cannot_be_smuggled(void **state)
{
    static const char *const values[] = { "x\r\nEvil: 1", "x\nEvil: 1", "x\r", "x\x01", "x\x7f" };

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++)
        for (int bearer = 0; bearer < 2; bearer++) {
            tn_request_reset(&asking->request);
            asking_url(asking, web->url, "/echo");
            if (bearer)
                asking->request.bearer = values[i];
            else
                tn_request_header(&asking->request, "X-One", values[i]);
            assert_int_equal(ask(asking), TENON_ERROR_ARGUMENT);
            assert_non_null(strstr(asking->request.failure.message, bearer ? "the token" : "the header X-One"));
        }
    assert_int_equal(web_count(web, "/echo"), 0);
}

static void what_cannot_be_asked(void **state)
{
    static const char *const addresses[] = { "", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "nonsense", "http://", "http://a b/" };
    char *huge = calloc(1, 70001);

    (void)state;
    for (size_t i = 0; i < COUNT(addresses); i++) {
        assert_int_equal(ask_for(asking, addresses[i], ""), TENON_ERROR_ARGUMENT);
        assert_non_null(strstr(asking->request.failure.message, "is no usable address"));
        assert_int_equal(asking->pause_count, 0);
    }
    memset(huge, 'x', 70000);
    assert_int_equal(ask_for(asking, web->url, huge), TENON_ERROR_ARGUMENT);
    assert_string_equal(asking->request.failure.message, "the answer: the address is too long");
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/echo");
    tn_request_header(&asking->request, "X-One", huge);
    assert_int_equal(ask(asking), TENON_ERROR_ARGUMENT);
    assert_string_equal(asking->request.failure.message, "the answer: the headers are too long");
    free(huge);
}

static void connections_are_used_again(void **state)
{
    json_t *requests, *one;
    size_t i;

    (void)state;
    for (int n = 0; n < 5; n++)
        good(ask_for(asking, web->url, "/bytes/1000"));
    requests = web_control(web, "GET", "requests", NULL);
    assert_int_equal(json_array_size(requests), 5);
    json_array_foreach(requests, i, one)
        assert_int_equal(tn_json_integer(one, "connection", -1), tn_json_integer(json_array_get(requests, 0), "connection", -2));
    json_decref(requests);
}

/* ---- reading ---- */

static void bodies_of_every_framing(void **state)
{
    static const char *const faults[] = { "[]", "{\"path\":\"/bytes\",\"length\":\"chunked\"}", "{\"path\":\"/bytes\",\"length\":\"absent\"}" };

    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        web_clear(web);
        web_fault(web, faults[i]);
        good(ask_for(asking, web->url, "/bytes/300000"));
        assert_int_equal(asking->request.answer.length, 300000);
    }
    good(ask_for(asking, web->url, "/bytes/0"));
    assert_int_equal(asking->request.answer.length, 0);
    good(ask_for(asking, web->url, "/body?status=204"));
    assert_int_equal(asking->request.status, 204);
}

static void compressed_answers(void **state)
{
    json_t *json;

    (void)state;
    web_fault(web, "{\"path\":\"/echo\",\"gzip\":true}");
    asking_url(asking, web->url, "/echo");
    asking->request.decode = true;
    good(ask(asking));
    json = asking_json(asking);
    assert_string_equal(tn_json_text(json, "path"), "/echo");
    json_decref(json);
    /* What is compressed although nobody asked for it is left as it is: it has to match its hash. */
    good(ask_for(asking, web->url, "/echo"));
    assert_int_equal((unsigned char)asking->request.answer.data[0], 0x1f);
    assert_int_equal(tn_response_json(&asking->request, &json), TENON_ERROR_PROTOCOL);
    /* And what only claims to be. */
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"add_headers\":{\"Content-Encoding\":\"gzip\"}}");
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/echo");
    asking->request.decode = true;
    assert_int_equal(ask(asking), TENON_ERROR_PROTOCOL);
}

static void answers_are_bounded(void **state)
{
    (void)state;
    asking_url(asking, web->url, "/bytes/5000");
    asking->request.body_limit = 4999;
    asking->request.what = "the listing of owner/name";
    assert_int_equal(ask(asking), TENON_ERROR_PROTOCOL);
    assert_string_equal(asking->request.failure.message, "the listing of owner/name is larger than 4999 bytes");
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/bytes/5000");
    asking->request.body_limit = 5000;
    good(ask(asking));
    /* One that was raised after the request was made counts, too. */
    tn_request_clear(&asking->request);
    assert_int_equal(tenon_context_set(asking->context, "transport.json_bytes", "4096"), TENON_OK);
    tn_request_init(&asking->request, asking->context);
    asking_url(asking, web->url, "/bytes/5000");
    assert_int_equal(ask(asking), TENON_ERROR_PROTOCOL);
    tn_request_reset(&asking->request);
    asking_url(asking, web->url, "/bytes/5000");
    asking->request.body_limit = 6000;
    good(ask(asking));
    /* A bomb: it is small on the line. */
    tn_request_reset(&asking->request);
    web_fault(web, "{\"path\":\"/body\",\"gzip\":true,\"json\":{\"huge\":10000000}}");
    asking_url(asking, web->url, "/body");
    asking->request.decode = true;
    asking->request.body_limit = 100000;
    assert_int_equal(ask(asking), TENON_ERROR_PROTOCOL);
}

/* Its beginning is enough, and it is no fault that it is longer than what was asked for may be. */
static void an_error_page_of_any_length(void **state)
{
    struct text fault;
    struct memory memory = tn_memory(NULL);

    (void)state;
    tn_text_init(&fault, &memory, 1000000);
    tn_text_add(&fault, "{\"path\":\"/body\",\"status\":404,\"body\":\"");
    for (int i = 0; i < 20000; i++)
        tn_text_add(&fault, "0123456789");
    tn_text_add(&fault, "\"}");
    web_fault(web, tn_text(&fault));
    tn_text_clear(&fault);
    asking_url(asking, web->url, "/body");
    asking->request.body_limit = 100;
    assert_int_equal(ask(asking), TENON_ERROR_NOT_FOUND);
    assert_true(asking->request.answer.length <= 65536);
}

static void json_is_bounded(void **state)
{
    static const char *const faults[] = { "{\"json\":{\"deep\":100000}}", "{\"json\":{\"text\":\"{\"}}", "{\"json\":{\"hex\":\"ff00\"}}",
                                          "{\"json\":{\"text\":\"\"}}", "{\"html\":true}" };
    json_t *json = NULL;

    (void)state;
    for (size_t i = 0; i < COUNT(faults); i++) {
        web_clear(web);
        web_fault(web, faults[i]);
        good(ask_for(asking, web->url, "/body?text={}"));
        assert_int_equal(tn_response_json(&asking->request, &json), TENON_ERROR_PROTOCOL);
        assert_null(json);
    }
}

static void headers_are_read(void **state)
{
    struct text out;
    struct memory memory = tn_memory(NULL);

    (void)state;
    tn_text_init(&out, &memory, 1000);
    good(ask_for(asking, web->url, "/body?header=X-Number:%20%20042%20&header=X-Text:a:b&header=X-Empty:&header=X-Number:7&header=x-odd:-3"));
    assert_string_equal(tn_response_header(&asking->request, "X-TEXT", &out), "a:b");
    assert_string_equal(tn_response_header(&asking->request, "x-empty", &out), "");
    assert_null(tn_response_header(&asking->request, "x-tex", &out));
    assert_null(tn_response_header(&asking->request, "http/1.1 200 ok", &out));
    assert_int_equal(tn_response_integer(&asking->request, "x-number", -1), 42);
    assert_int_equal(tn_response_integer(&asking->request, "x-text", -1), -1);
    assert_int_equal(tn_response_integer(&asking->request, "x-odd", -1), -1);
    assert_int_equal(tn_response_integer(&asking->request, "x-absent", -5), -5);
    tn_text_clear(&out);
    tn_text_init(&out, &memory, 2);
    assert_null(tn_response_header(&asking->request, "x-text", &out));
    tn_text_clear(&out);
}

/* Makes the answer's headers without a server. */
static void pretend(const char *lines)
{
    tn_text_reset(&asking->request.exchange.answer);
    tn_text_add(&asking->request.exchange.answer, lines);
}

static void links_are_found(void **state)
{
    static const struct {
        const char *lines, *relation, *address;
    } rows[] = {
        { "link: <https://x/?cursor=a%3D&limit=2>; rel=\"next\"\n", "next", "https://x/?cursor=a%3D&limit=2" },
        { "link: <a>; rel=\"prev\", <b>; rel=\"next\"\n", "next", "b" },
        { "link: <a>; rel=\"prev\"\nlink: <b>;rel=next\n", "next", "b" },
        { "link: <a,b>; title=\"x; rel=next\"; rel=\"next\"\n", "next", "a,b" },
        { "link: <a>; rel=\"first next last\"\n", "next", "a" },
        { "link: <a>; REL=\"Next\"\n", "next", "a" },
        { "link: <a>; rel=next; title=x\n", "next", "a" },
        { "link: <a>; rel=\"nextpage\"\n", "next", NULL },
        { "link: <a>; rel=\"prev\"; title=\"next\"\n", "next", NULL },
        { "link: <a>; title=\"rel=next\"\n", "next", NULL },
        { "link: <a; rel=\"next\"\n", "next", NULL },
        { "link: a>; rel=\"next\"\n", "next", NULL },
        { "link: \nlink: <\nlink: >\nlink: <>\n", "next", NULL },
        { "links: <a>; rel=\"next\"\n", "next", NULL },
        { "link: <>; rel=\"next\"\n", "next", "" },
        { "", "next", NULL },
    };
    struct memory memory = tn_memory(NULL);
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool found;

        pretend(rows[i].lines);
        found = tn_response_link(&asking->request, rows[i].relation, &out);
        if (found != (rows[i].address != NULL) || (found && strcmp(tn_text(&out), rows[i].address) != 0))
            fail_msg("%s gives %s", rows[i].lines, found ? tn_text(&out) : "nothing");
    }
    tn_text_clear(&out);
    tn_text_init(&out, &memory, 3);
    pretend("link: <long>; rel=\"next\"\n");
    assert_false(tn_response_link(&asking->request, "next", &out));
    tn_text_clear(&out);
}

static void ranges_are_read(void **state)
{
    static const struct {
        const char *line;
        bool good;
        int64_t first, last, total;
    } rows[] = {
        { "content-range: bytes 5-9/1000\n", true, 5, 9, 1000 },
        { "content-range: bytes 0-0/1\n", true, 0, 0, 1 },
        { "content-range: Bytes  5-9/*\n", true, 5, 9, -1 },
        { "content-range: bytes 0-9223372036854775806/9223372036854775807\n", true, 0, INT64_MAX - 1, INT64_MAX },
        { "content-range: bytes */1000\n", false, 0, 0, 0 },
        { "content-range: bytes 9-5/1000\n", false, 0, 0, 0 },
        { "content-range: bytes 5-1000/1000\n", false, 0, 0, 0 },
        { "content-range: bytes 5-9\n", false, 0, 0, 0 },
        { "content-range: bytes -5-9/10\n", false, 0, 0, 0 },
        { "content-range: bytes 5-9/10x\n", false, 0, 0, 0 },
        { "content-range: bytes 5-9/99999999999999999999\n", false, 0, 0, 0 },
        { "content-range: 5-9/10\n", false, 0, 0, 0 },
        { "content-range: items 5-9/10\n", false, 0, 0, 0 },
        { "content-range: \n", false, 0, 0, 0 },
        { "", false, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t first = 0, last = 0, total = 0;
        bool good;

        pretend(rows[i].line);
        good = tn_response_range(&asking->request, &first, &last, &total);
        if (good != rows[i].good || (good && (first != rows[i].first || last != rows[i].last || total != rows[i].total)))
            fail_msg("%s", rows[i].line);
    }
    asking_url(asking, web->url, "/bytes/1000");
    tn_request_range(&asking->request, 990, -1);
    good(ask(asking));
    {
        int64_t first, last, total;

        assert_int_equal(asking->request.status, 206);
        assert_true(tn_response_range(&asking->request, &first, &last, &total));
        assert_true(first == 990 && last == 999 && total == 1000);
        assert_int_equal(asking->request.answer.length, 10);
    }
}

/* ---- servers that are none ---- */

static void ask_raw(const char *bytes, size_t size)
{
    struct text path;
    struct memory memory = tn_memory(NULL);

    tn_text_init(&path, &memory, 16000);
    tn_text_add(&path, "/hex/");
    for (size_t i = 0; i < size; i++)
        tn_text_format(&path, "%02x", (unsigned char)bytes[i]);
    tn_request_reset(&asking->request);
    asking_url(asking, web->raw, "%s", tn_text(&path));
    asking->request.retries = 0;
    tn_text_clear(&path);
    ask(asking);
}

static void answers_that_are_no_http(void **state)
{
    static const struct {
        const char *bytes;
        tenon_status status;
    } rows[] = {
        { "", TENON_ERROR_NETWORK },
        { "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", TENON_ERROR_PROTOCOL },
        { "HTTP/9.9 200 OK\r\n\r\n", TENON_ERROR_PROTOCOL },
        { "HTTP/1.1 20 OK\r\n\r\n", TENON_ERROR_PROTOCOL },
        { "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", TENON_ERROR_PROTOCOL },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", TENON_ERROR_NETWORK },
        { "HTTP/1.1 200 OK\r\nContent-Len", TENON_ERROR_NETWORK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", TENON_ERROR_NETWORK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", TENON_ERROR_NETWORK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n", TENON_ERROR_NETWORK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: nonsense\r\n\r\nhello", TENON_ERROR_PROTOCOL },
        { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=\"next\"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", TENON_OK },
        { "HTTP/1.1 200 OK\r\n: empty\r\nA: b\r\n : x\r\n\r\nhi", TENON_OK },
        { "HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\n\r\nhi", TENON_ERROR_PROTOCOL },
        /* Goes on with a header that is not there. libcurl took the last one of the answer before (see lib/transport/curl.c). */
        { "HTTP/1.1 200 OK\r\n : x\r\nA: b\r\n\r\nhi", TENON_ERROR_PROTOCOL },
        { "HTTP/1.1 200\r\n\r\nhi", TENON_OK },
        { "HTTP/1.0 200 OK\r\n\r\nhi", TENON_OK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n", TENON_OK },
    };
    static const char zeros[] = "HTTP/1.1 200 OK\r\n\0: x\r\nA\0B: y\r\nContent-Length: 2\r\n\r\nhi";
    struct memory memory = tn_memory(NULL);
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        ask_raw(rows[i].bytes, strlen(rows[i].bytes));
        if (asking->request.co.status != rows[i].status)
            fail_msg("%s gives %s: %s", rows[i].bytes, tenon_status_name(asking->request.co.status), asking->request.failure.message);
        assert_null(tn_response_header(&asking->request, "link", &out));
        assert_null(tn_response_header(&asking->request, "x-late", &out));
    }
    ask_raw(zeros, sizeof zeros - 1);
    assert_int_not_equal(asking->request.co.status, TENON_ERROR_MEMORY);
    tn_text_clear(&out);
}

/* Headers without end, in one line or in many, are no reason to take all memory, and not "out of memory" either. */
static void headers_are_bounded(void **state)
{
    (void)state;
    for (int many = 0; many < 2; many++) {
        struct memory memory = tn_memory(NULL);
        struct text path;

        tn_text_init(&path, &memory, 1000000);
        tn_text_add(&path, "{\"path\":\"/body\",\"add_headers\":{");
        if (many)
            for (int i = 0; i < 400; i++)
                tn_text_format(&path, "%s\"X-%d\":\"%01000d\"", i > 0 ? "," : "", i, 1);
        else
            tn_text_format(&path, "\"X-Long\":\"%0200000d\"", 1);
        tn_text_add(&path, "}}");
        web_clear(web);
        web_fault(web, tn_text(&path));
        tn_text_clear(&path);
        assert_int_equal(ask_for(asking, web->url, "/body"), TENON_ERROR_PROTOCOL);
        assert_int_equal(web_count(web, "/body"), 1);
    }
}

/* ---- redirects ---- */

/* What /echo on the other side of a redirect says of the token. */
static const char *token_after(const char *first, const char *second)
{
    static char seen[100];
    json_t *echo;
    const char *token;

    tn_request_reset(&asking->request);
    asking_url(asking, first, "/redirect?to=%s", second);
    asking->request.bearer = "hf_token";
    good(ask(asking));
    echo = asking_json(asking);
    token = sent_header(echo, "authorization");
    snprintf(seen, sizeof seen, "%s", token != NULL ? token : "none");
    json_decref(echo);
    return seen;
}

static void the_token_stops_at_the_border(void **state)
{
    char there[200], back[400];

    (void)state;
    assert_string_equal(token_after(web->url, "/echo"), "Bearer hf_token");
    snprintf(there, sizeof there, "%s/echo", web->url);
    assert_string_equal(token_after(web->url, there), "Bearer hf_token");
    snprintf(there, sizeof there, "%s/echo", web->other);
    assert_string_equal(token_after(web->url, there), "none");
    assert_int_equal(tn_starts_with(tn_text(&asking->request.final_url), web->other), true);
    /* Another name for the same machine is another origin. */
    snprintf(there, sizeof there, "http://localhost%s/echo", strrchr(web->url, ':'));
    assert_string_equal(token_after(web->url, there), "none");
    /* There and back again: it was given for where it comes back to. */
    snprintf(back, sizeof back, "%s/redirect?to=%s/echo", web->other, web->url);
    assert_string_equal(token_after(web->url, back), "Bearer hf_token");
}

static void methods_after_a_redirect(void **state)
{
    static const struct {
        int status;
        const char *method, *then;
    } rows[] = { { 301, "GET", "GET" },   { 302, "GET", "GET" },   { 303, "GET", "GET" },  { 307, "GET", "GET" },  { 308, "GET", "GET" },
                 { 303, "POST", "GET" },  { 307, "POST", "POST" }, { 308, "PUT", "PUT" },  { 302, "PUT", "PUT" },  { 303, "PUT", "GET" } };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool body = strcmp(rows[i].method, "GET") != 0;
        json_t *echo;

        tn_request_reset(&asking->request);
        asking_url(asking, web->url, "/redirect?to=/echo&status=%d", rows[i].status);
        asking->request.method = rows[i].method;
        asking->request.body = body ? "abc" : NULL;
        asking->request.body_size = body ? 3 : 0;
        good(ask(asking));
        echo = asking_json(asking);
        assert_string_equal(tn_json_text(echo, "method"), rows[i].then);
        assert_int_equal(tn_json_integer(echo, "size", -1), strcmp(rows[i].then, "GET") == 0 ? 0 : 3);
        json_decref(echo);
    }
}

static void redirects_that_lead_nowhere(void **state)
{
    static const struct {
        const char *path;
        const char *words;
    } rows[] = {
        { "/redirect?to=ftp://127.0.0.1/x", "leads to no http or https address" },
        { "/redirect?to=file:///etc/passwd", "leads to no http or https address" },
        { "/redirect?to=javascript:alert(1)", "leads to no http or https address" },
        { "/redirect?to=http://", "leads to no http or https address" },
        { "/body?status=302", "leads to no http or https address" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(ask_for(asking, web->url, rows[i].path), TENON_ERROR_PROTOCOL);
        assert_non_null(strstr(asking->request.failure.message, rows[i].words));
    }
    web_fault(web, "{\"path\":\"/echo\",\"redirect\":{\"loop\":true}}");
    assert_int_equal(ask_for(asking, web->url, "/echo"), TENON_ERROR_PROTOCOL);
    assert_string_equal(asking->request.failure.message, "the answer: more than 10 redirects");
    assert_int_equal(web_count(web, "/echo"), 11);
    web_clear(web);
    web_fault(web, "{\"path\":\"/echo\",\"redirect\":{\"chain\":10}}");
    good(ask_for(asking, web->url, "/echo"));
}

static void redirects_that_are_not_wanted(void **state)
{
    struct memory memory = tn_memory(NULL);
    struct text out;

    (void)state;
    tn_text_init(&out, &memory, 1000);
    asking_url(asking, web->url, "/redirect?to=/echo");
    asking->request.redirects = REDIRECT_NEVER;
    good(ask(asking));
    assert_int_equal(asking->request.status, 302);
    assert_string_equal(tn_response_header(&asking->request, "location", &out), "/echo");
    tn_request_reset(&asking->request);
    web_clear(web);
    asking_url(asking, web->url, "/redirect?to=/redirect?to=%s/echo", web->other);
    asking->request.redirects = REDIRECT_SAME_ORIGIN;
    good(ask(asking));
    assert_int_equal(asking->request.status, 302);
    assert_int_equal(web_count(web, "/echo"), 0);
    assert_int_equal(web_count(web, "/redirect"), 2);
    tn_text_clear(&out);
}

/* ---- errors ---- */

static void every_status_means_something(void **state)
{
    static const struct {
        int http;
        tenon_status status;
    } rows[] = {
        { 400, TENON_ERROR_ARGUMENT },    { 401, TENON_ERROR_UNAUTHORIZED }, { 403, TENON_ERROR_FORBIDDEN }, { 404, TENON_ERROR_NOT_FOUND },
        { 407, TENON_ERROR_NETWORK },     { 408, TENON_ERROR_TIMEOUT },      { 409, TENON_ERROR_CONFLICT },  { 410, TENON_ERROR_NOT_FOUND },
        { 412, TENON_ERROR_CONFLICT },    { 416, TENON_ERROR_ARGUMENT },     { 422, TENON_ERROR_ARGUMENT },  { 429, TENON_ERROR_RATE_LIMITED },
        { 451, TENON_ERROR_FORBIDDEN },   { 500, TENON_ERROR_UNAVAILABLE },  { 501, TENON_ERROR_UNAVAILABLE }, { 503, TENON_ERROR_UNAVAILABLE },
        { 504, TENON_ERROR_TIMEOUT },     { 304, TENON_ERROR_PROTOCOL },     { 300, TENON_ERROR_PROTOCOL },  { 599, TENON_ERROR_UNAVAILABLE },
    };
    tenon_error error = { .struct_size = sizeof error };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tn_request_reset(&asking->request);
        asking_url(asking, web->url, "/body?status=%d", rows[i].http);
        asking->request.retries = 0;
        assert_int_equal(ask(asking), rows[i].status);
        assert_int_equal(tn_failure_row(&asking->request.failure, &error), TENON_OK);
        assert_int_equal(error.http_status, rows[i].http);
        assert_int_equal(error.status, rows[i].status);
        error.struct_size = sizeof error;
        /* And as an answer, where that is wanted. */
        asking->request.any_status = true;
        good(ask(asking));
        assert_int_equal(asking->request.status, rows[i].http);
    }
}

static void the_services_own_words(void **state)
{
    static const struct {
        const char *type, *body, *words;
    } rows[] = {
        { "application/json", "{\"error\":\"words\"}", "words" },
        { "application/json", "{\"error\":{\"code\":7,\"message\":\"words\"}}", "words" },
        { "application/json", "{\"error\":\"code\",\"error_description\":\"words\"}", "words" },
        { "application/json", "{\"message\":\"words\"}", "words" },
        { "application/json", "{\"detail\":\"words\"}", "words" },
        { "application/json", "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"words\"}]}", "words" },
        { "application/json", "{\"error\":[\"words\",\"more\"]}", "words" },
        { "application/json", "{\"errors\":[{\"message\":\"words\"}]}", "words" },
        { "application/json", "[{\"error\":{\"message\":\"words\"}}]", "words" },
        { "application/json", "{\"error\":\"\",\"message\":\"words\"}", "words" },
        { "application/json", "{\"error\":null,\"message\":\"words\"}", "words" },
        { "application/json", "{\"error\":7}", NULL },
        { "application/json", "{\"error\":{\"error\":{\"error\":{\"error\":{\"error\":\"deep\"}}}}}", NULL },
        { "application/json", "{", NULL },
        { "text/plain", "words", "words" },
        { "text/plain; charset=utf-8", "words", "words" },
        { "text/html", "<html>page</html>", NULL },
        { "application/json", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct memory memory = tn_memory(NULL);
        struct text path, expected;

        tn_text_init(&path, &memory, 10000);
        tn_text_init(&expected, &memory, 10000);
        tn_text_add(&path, "/body?status=400&type=");
        tn_text_add_escaped(&path, rows[i].type, "");
        tn_text_add(&path, "&text=");
        tn_text_add_escaped(&path, rows[i].body, "");
        tn_text_format(&expected, "%s/body: HTTP 400%s%s", web->url, rows[i].words != NULL ? ": " : "", rows[i].words != NULL ? rows[i].words : "");
        assert_int_equal(ask_for(asking, web->url, tn_text(&path)), TENON_ERROR_ARGUMENT);
        assert_string_equal(asking->request.failure.message, tn_text(&expected));
        tn_text_clear(&path);
        tn_text_clear(&expected);
    }
    assert_int_equal(ask_for(asking, web->url, "/body?status=403&header=X-Error-Message:Access%20denied&header=X-Request-Id:Root%3D1-abc"),
                     TENON_ERROR_FORBIDDEN);
    assert_non_null(strstr(asking->request.failure.message, "HTTP 403: Access denied"));
    assert_string_equal(asking->request.failure.request_id, "Root=1-abc");
}

static void explain_gated(struct request *request)
{
    tn_fail(&request->failure, TENON_ERROR_GATED, "explained: %s", request->failure.message);
}

static void a_service_may_explain(void **state)
{
    (void)state;
    asking_url(asking, web->url, "/body?status=403");
    asking->request.explain = explain_gated;
    assert_int_equal(ask(asking), TENON_ERROR_GATED);
    assert_true(tn_starts_with(asking->request.failure.message, "explained: "));
}

/* Whatever a server says, and at whatever level the log is: no token, no password, no query. */
static void secrets_never_appear(void **state)
{
    static const char *const paths[] = { "/body?status=400&text={\"error\":\"bad+token+hf_token_of_mine\"}&secret_signature=1",
                                         "/body?status=401&type=text/plain&text=hf_token_of_mine",
                                         "/body?status=403&header=X-Error-Message:hf_token_of_mine&header=X-Request-Id:hf_token_of_mine",
                                         "/redirect?to=/echo?secret_signature", "/redirect?to=ftp://secret_signature", "/body?status=503&text={\"error\":\"hf_token_of_mine\"}" };

    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        const struct failure *failure = &asking->request.failure;
        char address[200];

        snprintf(address, sizeof address, "http://me:password_x@%s", web->url + strlen("http://"));
        tn_request_reset(&asking->request);
        asking_url(asking, address, "%s", paths[i]);
        asking->request.bearer = "hf_token_of_mine";
        asking->request.retries = 2;
        ask(asking);
        assert_true(asking->log.length > 10);
        for (int k = 0; k < 4; k++) {
            const char *text = k == 0 ? asking->log.text : k == 1 ? failure->message : k == 2 ? failure->hint : failure->request_id;

            if (text != NULL && (strstr(text, "hf_token") != NULL || strstr(text, "password_x") != NULL || strstr(text, "secret_sig") != NULL))
                fail_msg("%s", text);
        }
    }
}

/* A port where nobody listens. */
static void nobody_there(void **state)
{
    (void)state;
    asking_url(asking, "http://127.0.0.1:1", "/x");
    assert_int_equal(ask(asking), TENON_ERROR_NETWORK);
    assert_true(tn_starts_with(asking->request.failure.message, "http://127.0.0.1:1/x: cannot be reached ("));
    assert_true(asking->request.failure.retry_after_ms > 0);
    assert_int_equal(asking->pause_count, 2);
}

/* ---- the environment ---- */

static void the_environment_is_not_read_later(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "", 1);
    /* Opened before, and opened now without the environment. 127.0.0.2 is not among those that no proxy is used for. */
    good(ask_for(asking, web->url, "/echo"));
    {
        char elsewhere[100];

        snprintf(elsewhere, sizeof elsewhere, "http://127.0.0.2:1");
        assert_int_equal(ask_for(asking, elsewhere, "/echo"), TENON_ERROR_NETWORK);
        assert_non_null(strstr(asking->request.failure.message, "127.0.0.2"));
        assert_null(strstr(asking->request.failure.message, "127.0.0.1"));
    }
    unsetenv("http_proxy");
    unsetenv("HTTP_PROXY");
    unsetenv("ALL_PROXY");
    unsetenv("no_proxy");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, asking_set_up, asking_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_as_it_was_made),
        TEST(an_application_names_itself),
        TEST(every_method),
        TEST(headers_cannot_be_smuggled),
        TEST(what_cannot_be_asked),
        TEST(connections_are_used_again),
        TEST(bodies_of_every_framing),
        TEST(compressed_answers),
        TEST(answers_are_bounded),
        TEST(an_error_page_of_any_length),
        TEST(json_is_bounded),
        TEST(headers_are_read),
        TEST(links_are_found),
        TEST(ranges_are_read),
        TEST(answers_that_are_no_http),
        TEST(headers_are_bounded),
        TEST(the_token_stops_at_the_border),
        TEST(methods_after_a_redirect),
        TEST(redirects_that_lead_nowhere),
        TEST(redirects_that_are_not_wanted),
        TEST(every_status_means_something),
        TEST(the_services_own_words),
        TEST(a_service_may_explain),
        TEST(secrets_never_appear),
        TEST(nobody_there),
        TEST(the_environment_is_not_read_later),
    };

    return cmocka_run_group_tests(tests, web_start, web_stop);
}
