#include "path.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

enum { NAME_LONGEST = 255 };

/* CON, PRN, AUX, NUL, COM1-9, LPT1-9, with any extension: devices, wherever the cache is carried to. */
static bool is_device(const char *name, size_t length)
{
    static const char *const devices[] = { "CON", "PRN", "AUX", "NUL", "COM", "LPT" };
    size_t stem = 0;
    bool device = false;

    while (stem < length && name[stem] != '.')
        stem++;
    for (size_t i = 0; i < sizeof devices / sizeof devices[0] && stem >= 3 && !device; i++) {
        char start[4] = { name[0], name[1], name[2], '\0' };

        if (tn_compare_case(start, devices[i]) == 0)
            device = i < 4 ? stem == 3 : stem == 4 && name[3] >= '1' && name[3] <= '9';
    }
    return device;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static const char *fault_of_part(const char *part, size_t length)
{
    const char *fault = NULL;

    if (length == 0)
        fault = "it has an empty part";
    else if (length > NAME_LONGEST)
        fault = "a part of it is longer than 255 bytes";
    else if (part[0] == '.' && (length == 1 || (length == 2 && part[1] == '.')))
        fault = "it has \".\" or \"..\" as a part";
    else if (is_device(part, length))
        fault = "a part of it is the name of a device";
    else if (part[1] == ':' && length > 1 && is_letter(part[0]))
        fault = "a part of it is a drive";
    for (size_t i = 0, step = 1; i < length && fault == NULL; i += step) {
        unsigned char c = (unsigned char)part[i];

        step = tn_utf8_length((const unsigned char *)part + i, length - i);
        if (c < 0x20 || c == 0x7f)
            fault = "it has a control character";
        else if (c == '\\')
            fault = "it has a backslash";
        else if (step == 0)
            fault = "it is not UTF-8";
    }
    return fault;
}

bool tn_path_is_safe(const char *path, const char **reason)
{
    const char *fault = *path == '/' ? "it is absolute" : NULL;

    if (*path == '\0')
        fault = "it is empty";
    else if (strlen(path) >= PATH_MAX / 2)
        fault = "it is too long";
    while (fault == NULL && path != NULL) {
        const char *slash = strchr(path, '/');

        fault = fault_of_part(path, slash != NULL ? (size_t)(slash - path) : strlen(path));
        path = slash != NULL ? slash + 1 : NULL;
    }
    if (reason != NULL)
        *reason = fault != NULL ? fault : "";
    return fault == NULL;
}

bool tn_name_is_unfinished(const char *name)
{
    return tn_ends_with(name, ".incomplete") || tn_ends_with(name, ".downloadInProgress");
}

bool tn_etag_is_safe(const char *etag)
{
    size_t length = strspn(etag, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-.");

    return length > 0 && length <= 128 && etag[length] == '\0' && etag[0] != '.' && !is_device(etag, length) &&
           !tn_name_is_unfinished(etag);
}

bool tn_revision_is_safe(const char *revision)
{
    return tn_path_is_safe(revision, NULL);
}

void tn_path_join(struct text *out, const char *folder, const char *name)
{
    tn_text_add(out, folder);
    if (out->length > 0 && !tn_ends_with(tn_text(out), "/"))
        tn_text_add_char(out, '/');
    tn_text_add(out, name);
}

const char *tn_path_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

void tn_path_absolute(struct text *out, const char *path)
{
    char here[PATH_MAX];

    if (*path == '/' || getcwd(here, sizeof here) == NULL)
        tn_text_add(out, path);
    else
        tn_path_join(out, here, path);
}
