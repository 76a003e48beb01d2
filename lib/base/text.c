#include "text.h"

#include <stdio.h>
#include <string.h>

void tn_text_init(struct text *text, const struct memory *memory, size_t limit)
{
    memset(text, 0, sizeof *text);
    text->memory = memory;
    text->limit = limit;
}

void tn_text_clear(struct text *text)
{
    if (text->memory != NULL)
        tn_release(text->memory, text->data);
    text->data = NULL;
    text->length = 0;
    text->room = 0;
}

void tn_text_reset(struct text *text)
{
    text->length = 0;
    text->failed = false;
    text->full = false;
    if (text->data != NULL)
        text->data[0] = '\0';
}

/* Makes room for more bytes and the NUL. */
static bool text_reserve(struct text *text, size_t more)
{
    size_t room = text->room == 0 ? 64 : text->room;
    char *data;

    if (text->failed)
        return false;
    if (more > text->limit || text->length > text->limit - more) {
        text->failed = true;
        text->full = true;
        return false;
    }
    if (text->length + more < text->room)
        return true;
    while (room <= text->length + more)
        room += room / 2;
    data = tn_resize(text->memory, text->data, room);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

void tn_text_add(struct text *text, const char *more)
{
    tn_text_add_n(text, more, strlen(more));
}

void tn_text_add_n(struct text *text, const void *more, size_t length)
{
    if (!text_reserve(text, length))
        return;
    if (length > 0)
        memcpy(text->data + text->length, more, length);
    text->length += length;
    text->data[text->length] = '\0';
}

void tn_text_add_char(struct text *text, char more)
{
    tn_text_add_n(text, &more, 1);
}

void tn_text_add_all(struct text *text, const char *first, ...)
{
    size_t length = 0;
    va_list arguments, again;

    va_start(arguments, first);
    va_copy(again, arguments);
    for (const char *more = first; more != NULL; more = va_arg(arguments, const char *))
        length += strlen(more);
    if (text_reserve(text, length))
        for (const char *more = first; more != NULL; more = va_arg(again, const char *))
            tn_text_add(text, more);
    va_end(again);
    va_end(arguments);
}

void tn_text_add_integer(struct text *text, int64_t number)
{
    tn_text_format(text, "%lld", (long long)number);
}

void tn_text_format(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    tn_text_format_v(text, format, arguments);
    va_end(arguments);
}

void tn_text_format_v(struct text *text, const char *format, va_list arguments)
{
    size_t left = text->room - text->length;
    va_list again;
    int length;

    va_copy(again, arguments);
    /* Into the room that is there; what does not fit, or may not be added, is written again or taken back. */
    length = vsnprintf(left > 0 ? text->data + text->length : NULL, left, format, arguments);
    if (length < 0)
        text->failed = true;
    else if (text_reserve(text, (size_t)length)) {
        if ((size_t)length >= left)
            vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    if (left > 0)
        text->data[text->length] = '\0';
    va_end(again);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

void tn_text_add_escaped(struct text *text, const char *more, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";

    while (*more != '\0') {
        size_t plain = 0;

        while (more[plain] != '\0' && (is_unreserved((unsigned char)more[plain]) || strchr(keep, more[plain]) != NULL))
            plain++;
        tn_text_add_n(text, more, plain);
        more += plain;
        if (*more != '\0') {
            unsigned char c = (unsigned char)*more++;
            char escape[3] = { '%', digits[c >> 4], digits[c & 15] };

            tn_text_add_n(text, escape, sizeof escape);
        }
    }
}

size_t tn_utf8_length(const unsigned char *bytes, size_t left)
{
    static const struct {
        unsigned char first, last, second_low, second_high;
        size_t length;
    } forms[] = { { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                  { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                  { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 } };
    size_t length = 0;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && length == 0 && left > 0; i++)
        if (bytes[0] >= forms[i].first && bytes[0] <= forms[i].last) {
            length = forms[i].length;
            if (length > left || (length > 1 && (bytes[1] < forms[i].second_low || bytes[1] > forms[i].second_high)))
                return 0;
        }
    for (size_t i = 2; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

void tn_text_add_utf8(struct text *text, const void *more, size_t length)
{
    const unsigned char *bytes = more;

    while (length > 0) {
        size_t good = 0, step = 0;

        while (good < length && (step = tn_utf8_length(bytes + good, length - good)) > 0 && bytes[good] != 0)
            good += step;
        tn_text_add_n(text, bytes, good);
        bytes += good;
        length -= good;
        if (length > 0) {
            tn_text_add(text, "\xef\xbf\xbd");
            bytes++;
            length--;
        }
    }
}

tenon_status tn_text_status(const struct text *text)
{
    return text->failed ? TENON_ERROR_MEMORY : TENON_OK;
}

const char *tn_text(const struct text *text)
{
    return text->data != NULL ? text->data : "";
}

char *tn_text_take(struct text *text)
{
    char *data = NULL;

    tn_text_add_n(text, "", 0);
    if (!text->failed) {
        data = text->data;
        text->data = NULL;
    }
    tn_text_clear(text);
    return data;
}

void tn_text_drop(struct text *text, size_t length)
{
    if (length >= text->length)
        length = text->length;
    text->length -= length;
    if (text->data != NULL)
        memmove(text->data, text->data + length, text->length + 1);
}

bool tn_starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

bool tn_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

int tn_compare_case(const char *a, const char *b)
{
    while (*a != '\0' && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) - lower(*b);
}

bool tn_is_hex(const char *text, size_t digits)
{
    size_t i = 0;

    while ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))
        i++;
    return i == digits && text[i] == '\0';
}

const char *tn_address_host(const char *address, size_t *user)
{
    const char *start = strstr(address, "://");
    const char *host = start != NULL ? start + 3 : address;

    /* Up to the last @: a password may hold one. */
    *user = strcspn(host, "/?#");
    while (*user > 0 && host[*user - 1] != '@')
        --*user;
    return host;
}

bool tn_parse_integer(const char *text, int64_t *number)
{
    int64_t value = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || value > (INT64_MAX - (*text - '0')) / 10)
            return false;
        value = value * 10 + (*text - '0');
    }
    *number = value;
    return true;
}
