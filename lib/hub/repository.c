#include "repository.h"

#include <string.h>

#include "path.h"

enum { PART_LONGEST = 96, NAME_LIMIT = 1024 };

static const struct {
    int32_t type;
    const char *plural, *prefix;
} types[] = {
    { TENON_REPOSITORY_MODEL, "models", "" },
    { TENON_REPOSITORY_DATASET, "datasets", "datasets/" },
    { TENON_REPOSITORY_SPACE, "spaces", "spaces/" },
};

enum { TYPES = sizeof types / sizeof types[0] };

const char *tn_repository_plural(const struct repository *repository)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].type == repository->type)
            return types[i].plural;
    return "models";
}

const char *tn_repository_prefix(const struct repository *repository)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].type == repository->type)
            return types[i].prefix;
    return "";
}

void tn_repository_folder(const struct repository *repository, struct text *out)
{
    const char *slash = strchr(repository->id, '/');

    tn_text_format(out, "%s--", tn_repository_plural(repository));
    if (slash != NULL)
        tn_text_format(out, "%.*s--%s", (int)(slash - repository->id), repository->id, slash + 1);
    else
        tn_text_add(out, repository->id);
}

bool tn_is_commit(const char *revision)
{
    return tn_is_hex(revision, 40);
}

/* ---- names ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool part_is_good(const char *part, size_t length)
{
    bool good = length > 0 && length <= PART_LONGEST && is_word(part[0]) && is_word(part[length - 1]);

    for (size_t i = 0; i < length && good; i++) {
        good = is_word(part[i]) || part[i] == '-' || part[i] == '.';
        if (i + 1 < length && ((part[i] == '-' && part[i + 1] == '-') || (part[i] == '.' && part[i + 1] == '.')))
            good = false;
    }
    return good && !(length > 4 && memcmp(part + length - 4, ".git", 4) == 0);
}

/* "datasets" and its like own nothing: routes and folders of a hub could not tell their models from datasets. */
static bool owner_is_good(const char *owner, size_t length)
{
    bool good = part_is_good(owner, length);

    for (int i = 0; i < TYPES && good; i++)
        good = strlen(types[i].plural) != length || memcmp(owner, types[i].plural, length) != 0;
    return good;
}

/* An id whose owner and name are parted by what the separator says, or a name alone. */
static bool id_is_good(const char *id, const char *separator)
{
    const char *cut = strstr(id, separator);

    if (cut == NULL)
        return part_is_good(id, strlen(id));
    cut += strlen(separator);
    return owner_is_good(id, (size_t)(cut - id) - strlen(separator)) && part_is_good(cut, strlen(cut));
}

bool tn_repository_of_folder(const char *folder, struct text *out)
{
    bool known = false;

    for (int i = 0; i < TYPES && !known; i++) {
        size_t length = strlen(types[i].plural);

        if (strncmp(folder, types[i].plural, length) == 0 && strncmp(folder + length, "--", 2) == 0) {
            const char *id = folder + length + 2, *cut = strstr(id, "--");
            size_t first = cut != NULL ? (size_t)(cut - id) : strlen(id);

            known = id_is_good(id, "--");
            if (known)
                tn_text_format(out, "%s%.*s%s%s", types[i].prefix, (int)first, id, cut != NULL ? "/" : "",
                               cut != NULL ? cut + 2 : "");
        }
    }
    return known;
}

/* Skips start where text begins with it; true when it did. */
static bool skip(const char **text, const char *start)
{
    bool found = tn_starts_with(*text, start);

    if (found)
        *text += strlen(start);
    return found;
}

/* "https://host/" of the endpoint or of the hub itself, with what a browser leaves behind the id. */
static bool skip_address(const char **text, const char *endpoint)
{
    static const char *const known[] = { "https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "huggingface.co/",
                                         "hf.co/" };
    bool found = endpoint != NULL && tn_starts_with(*text, endpoint) && (*text)[strlen(endpoint)] == '/';

    if (found)
        *text += strlen(endpoint) + 1;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && !found; i++)
        found = skip(text, known[i]);
    return found;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

    return c != '\0' && at != NULL ? (int)(at - digits) : -1;
}

/* %2F and its like, as addresses have them; what is no such thing stays as it is. */
static void decode(char *text)
{
    char *to = text;

    for (; *text != '\0'; text++) {
        int high = *text == '%' ? hex_value(text[1]) : -1, low = high >= 0 ? hex_value(text[2]) : -1;

        if (low >= 0 && high + low > 0) {
            *to++ = (char)(16 * high + low);
            text += 2;
        } else
            *to++ = *text;
    }
    *to = '\0';
}

/* The route that a path begins with: how long its name is, 0 for none. */
static size_t route_length(const char *path)
{
    static const char *const routes[] = { "tree", "blob", "resolve", "raw", "blame", "commits" };
    size_t length = strcspn(path, "/"), found = 0;

    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (length == strlen(routes[i]) && strncmp(path, routes[i], length) == 0)
            found = length;
    return found;
}

/* How long the revision is that an address has before its path: one part of it, or three of refs/pr/3. */
static size_t revision_length(const char *rest)
{
    size_t length = 0;

    for (int parts = tn_starts_with(rest, "refs/") ? 3 : 1; parts > 0 && rest[length] != '\0'; parts--)
        length += strcspn(rest + length, "/") + (parts > 1 && rest[length + strcspn(rest + length, "/")] == '/');
    return length;
}

/* The revision that a route names. Cuts off what is behind it. */
static const char *cut_revision(char *rest)
{
    rest[revision_length(rest)] = '\0';
    decode(rest);
    return rest;
}

/*
 * In a pasted address "/tree/REVISION", "/resolve/REVISION/..." may follow the id, which is owner/name, or the name alone
 * of an old model; anything else behind the id says nothing.
 */
static void cut_route(char *id, const char **revision)
{
    char *slash = strchr(id, '/'), *route = slash != NULL ? strchr(slash + 1, '/') : NULL;
    bool alone = route != NULL && route_length(slash + 1) > 0 && route_length(route + 1) == 0;

    if (alone)
        route = slash;
    if (route == NULL)
        return;
    *route++ = '\0';
    if (route_length(route) > 0 && route[route_length(route)] == '/' && route[route_length(route) + 1] != '\0')
        *revision = cut_revision(route + route_length(route) + 1);
}

static tenon_status bad_name(const char *text, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the name of a repository", text);
    return tn_hint(failure, "Write owner/name, datasets/owner/name or spaces/owner/name, with @revision behind it if wanted.");
}

static tenon_status names_file(const char *text, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" names a file, not a repository", text);
    return tn_hint(failure, "Leave out the path; a slash in a revision is written %%2F behind hf://.");
}

static tenon_status check_revision(const char *revision, struct failure *failure)
{
    if (tn_revision_is_safe(revision))
        return TENON_OK;
    tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is not a revision", revision);
    return tn_hint(failure, "Give a branch, a tag, refs/pr/N, or a commit.");
}

/* The @ before a revision; one in a page of a web address, behind owner/name, is part of a name. */
static char *find_at(char *id, bool address)
{
    char *at = strchr(id, '@'), *slash = strchr(id, '/'), *page = slash != NULL ? strchr(slash + 1, '/') : NULL;

    return address && at != NULL && page != NULL && page < at ? NULL : at;
}

static bool keep(struct repository *repository, const char *id, const char *revision)
{
    struct text written;

    tn_text_init(&written, repository->memory, NAME_LIMIT);
    tn_text_format(&written, "%s%s", tn_repository_prefix(repository), id);
    repository->id = tn_copy(repository->memory, id);
    repository->revision = tn_copy(repository->memory, revision);
    repository->written = tn_text_take(&written);
    return repository->id != NULL && repository->revision != NULL && repository->written != NULL;
}

/* Fills repository from a copy of the text that may be cut up. */
static tenon_status take_apart(struct repository *repository, char *copy, const char *text, const char *revision,
                               const char *endpoint, struct failure *failure)
{
    const char *rest = copy;
    bool address = skip_address(&rest, endpoint), uri = !address && skip(&rest, "hf://");
    const char *said = NULL;
    char *id, *at;

    repository->type = TENON_REPOSITORY_MODEL;
    if (skip(&rest, "datasets/"))
        repository->type = TENON_REPOSITORY_DATASET;
    else if (skip(&rest, "spaces/"))
        repository->type = TENON_REPOSITORY_SPACE;
    else
        skip(&rest, "models/");
    id = copy + (rest - copy);
    if (address)
        id[strcspn(id, "?#")] = '\0';
    at = find_at(id, address);
    if (at != NULL) {
        *at = '\0';
        said = at + 1;
        if (uri && said[revision_length(said)] != '\0')
            return names_file(text, failure);
        if (address || uri)
            decode(at + 1);
    }
    if (address)
        cut_route(id, &said);
    if (!id_is_good(id, "/") || (said != NULL && *said == '\0'))
        return bad_name(text, failure);
    if (revision == NULL)
        revision = said != NULL ? said : "main";
    if (check_revision(revision, failure) != TENON_OK)
        return failure->status;
    return keep(repository, id, revision) ? TENON_OK : tn_fail_memory(failure);
}

tenon_status tn_repository_parse(struct repository *repository, const struct memory *memory, const char *text,
                                 const char *revision, const char *endpoint, struct failure *failure)
{
    char *copy;
    tenon_status status;

    memset(repository, 0, sizeof *repository);
    repository->memory = memory;
    if (text == NULL || strlen(text) > NAME_LIMIT)
        return tn_fail(failure, TENON_ERROR_ARGUMENT,
                       text == NULL ? "no repository is named" : "the name of the repository is too long");
    copy = tn_copy(memory, text);
    if (copy == NULL)
        return tn_fail_memory(failure);
    status = take_apart(repository, copy, text, revision, endpoint, failure);
    if (status != TENON_OK)
        tn_repository_clear(repository);
    tn_release(memory, copy);
    return status;
}

void tn_repository_clear(struct repository *repository)
{
    if (repository->memory == NULL)
        return;
    tn_release(repository->memory, repository->id);
    tn_release(repository->memory, repository->revision);
    tn_release(repository->memory, repository->written);
    memset(repository, 0, sizeof *repository);
}
