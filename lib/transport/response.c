#include "response.h"

#include <string.h>
#include <strings.h>

#include "json.h"
#include "request.h"

bool tn_response_is_good(const struct request *request)
{
    return request->status >= 200 && request->status < 300;
}

/* ---- headers ---- */

const char *tn_header_next(const struct text *lines, const char *name, const char **at, size_t *length)
{
    size_t name_length = strlen(name);
    const char *line = *at != NULL ? *at : tn_text(lines);
    const char *value = NULL;

    while (*line != '\0' && value == NULL) {
        size_t line_length = strcspn(line, "\n");

        if (line_length > name_length && line[name_length] == ':' && strncasecmp(line, name, name_length) == 0) {
            size_t start = name_length + 1 + strspn(line + name_length + 1, " \t");

            value = line + start;
            *length = line_length > start ? line_length - start : 0;
        }
        line += line_length;
        line += *line == '\n';
    }
    *at = line;
    return value;
}

const char *tn_response_header(const struct request *request, const char *name, struct text *out)
{
    const char *at = NULL;
    size_t length = 0;
    const char *value = tn_header_next(&request->exchange.answer, name, &at, &length);

    tn_text_reset(out);
    if (value == NULL)
        return NULL;
    tn_text_add_n(out, value, length);
    return out->failed ? NULL : tn_text(out);
}

int64_t tn_response_integer(const struct request *request, const char *name, int64_t other)
{
    char digits[24];
    const char *at = NULL;
    size_t length = 0;
    const char *value = tn_header_next(&request->exchange.answer, name, &at, &length);
    int64_t number = other;

    if (value != NULL && length < sizeof digits) {
        memcpy(digits, value, length);
        digits[length] = '\0';
        if (!tn_parse_integer(digits, &number))
            number = other;
    }
    return number;
}

/* ---- headers with a form of their own ---- */

/* The parameters of one link, as in >; title="x"; rel="next last": is the relation among those of rel? */
static bool link_has_relation(const char *parameters, size_t length, const char *relation)
{
    size_t size = strlen(relation);
    bool quoted = false, rel = false, found = false;

    for (size_t i = 0; i < length && !found; i++) {
        const char *at = parameters + i;
        bool begins = i > 0 && strchr(" \t;\"=", at[-1]) != NULL;

        if (*at == '"')
            quoted = !quoted;
        else if (*at == ';' && !quoted)
            rel = false;
        else if (!quoted && begins && length - i > 4 && strncasecmp(at, "rel=", 4) == 0)
            rel = true;
        else if (rel && begins && length - i >= size && strncasecmp(at, relation, size) == 0)
            found = length - i == size || strchr(" \t;,\"", at[size]) != NULL;
    }
    return found;
}

bool tn_response_link(const struct request *request, const char *relation, struct text *out)
{
    const char *at = NULL, *value;
    size_t length = 0;
    bool found = false;

    while (!found && (value = tn_header_next(&request->exchange.answer, "link", &at, &length)) != NULL)
        while (length > 0 && !found) {
            const char *open = memchr(value, '<', length);
            const char *close = open != NULL ? memchr(open, '>', length - (size_t)(open - value)) : NULL;
            const char *next = close != NULL ? memchr(close, '<', length - (size_t)(close - value)) : NULL;
            size_t rest = close == NULL ? 0 : next != NULL ? (size_t)(next - close) : length - (size_t)(close - value);

            found = close != NULL && link_has_relation(close, rest, relation);
            if (found) {
                tn_text_reset(out);
                tn_text_add_n(out, open + 1, (size_t)(close - open - 1));
            }
            length = next != NULL ? length - (size_t)(next - value) : 0;
            value = next;
        }
    return found && !out->failed;
}

static bool take_number(const char **text, char end, int64_t *number)
{
    char digits[24];
    size_t length = strspn(*text, "0123456789");
    bool good = length > 0 && length < sizeof digits && (*text)[length] == end;

    if (good) {
        memcpy(digits, *text, length);
        digits[length] = '\0';
        good = tn_parse_integer(digits, number);
        *text += length + (end != '\0');
    }
    return good;
}

bool tn_response_range(const struct request *request, int64_t *first, int64_t *last, int64_t *total)
{
    struct text value;
    const char *text;
    bool good = false;

    tn_text_init(&value, &request->context->memory, 256);
    text = tn_response_header(request, "content-range", &value);
    if (text != NULL && strncasecmp(text, "bytes ", 6) == 0) {
        text += 6 + strspn(text + 6, " ");
        good = take_number(&text, '-', first) && take_number(&text, '/', last);
        if (good && strcmp(text, "*") == 0)
            *total = -1;
        else
            good = good && take_number(&text, '\0', total);
        good = good && *first <= *last && (*total < 0 || *last < *total);
    }
    tn_text_clear(&value);
    return good;
}

/* ---- the body ---- */

tenon_status tn_response_json(struct request *request, json_t **json)
{
    tenon_status status = tn_json_read(tn_text(&request->answer), request->answer.length, request->what, json, &request->failure);

    if (status == TENON_ERROR_PROTOCOL)
        tn_hint(&request->failure,
                "Something else than the service may answer at %s: check the address, and a proxy or sign-in page on the way.",
                tn_text(&request->url));
    return status;
}
