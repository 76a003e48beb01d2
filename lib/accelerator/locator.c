#include "locator.h"

#include <inttypes.h>
#include <string.h>

#include "number.h"

enum { PARTS_MOST = 3, PART_MOST = 63, CUDA = 1u << MACHINE_CUDA, ROCM = 1u << MACHINE_ROCM };

static const struct {
    const char *word;
    unsigned kinds;
} kinds[] = {
    { "cpu", 1u << MACHINE_CPU }, { "cuda", CUDA }, { "nvidia", CUDA }, { "rocm", ROCM },  { "hip", ROCM },
    { "amd", ROCM },              { "gpu", CUDA | ROCM },               { "tpu", 1u << MACHINE_TPU },
};

/* ---- parsing ---- */

static unsigned find_kinds(const char *word)
{
    unsigned found = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && found == 0; i++)
        if (tn_compare_case(kinds[i].word, word) == 0)
            found = kinds[i].kinds;
    return found;
}

static tenon_status malformed(const char *text, const char *what, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_ARGUMENT, "\"%s\" is not the name of an accelerator: %s", text, what);
    return tn_hint(failure, "Write local, local:cpu, local:cuda, local:cuda:0, local:rocm:0 or local:tpu.");
}

/* Cuts text at its colons into trimmed parts. */
static tenon_status split(const char *text, char parts[PARTS_MOST][PART_MOST + 1], size_t *count, struct failure *failure)
{
    const char *rest = text;
    size_t found = 0;

    while (rest != NULL) {
        size_t length = strcspn(rest, ":");
        const char *part = rest;

        rest = rest[length] == ':' ? rest + length + 1 : NULL;
        for (; length > 0 && (*part == ' ' || *part == '\t'); part++)
            length--;
        while (length > 0 && (part[length - 1] == ' ' || part[length - 1] == '\t'))
            length--;
        if (length == 0)
            return malformed(text, "a part of it is empty", failure);
        if (length > PART_MOST || found == PARTS_MOST)
            return malformed(text, found == PARTS_MOST ? "it has too many parts" : "a part of it is too long", failure);
        memcpy(parts[found], part, length);
        parts[found][length] = '\0';
        found++;
    }
    *count = found;
    return TENON_OK;
}

/* A number, or a UUID as drivers write it: "GPU-1b2c...". */
static tenon_status parse_which(const char *text, const char *which, struct locator *locator, struct failure *failure)
{
    int64_t number;

    if (tn_parse_integer(which, &number) && number <= INT32_MAX)
        locator->index = (int32_t)number;
    else if (strchr(which, ',') != NULL)
        return malformed(text, "one accelerator or all of a kind can be named, not some of them", failure);
    else if (strspn(which, "0123456789abcdefABCDEFGPUgpu-") == strlen(which) && strlen(which) >= 4 && strchr(which, '-') > which)
        memcpy(locator->uuid, which, strlen(which) + 1);
    else
        return malformed(text, "its last part is neither a number nor a UUID", failure);
    return TENON_OK;
}

static tenon_status unknown_place(const char *text, const char *place, struct failure *failure)
{
    tn_fail(failure, TENON_ERROR_UNSUPPORTED, "tenon %s does not know the place \"%s\" of the accelerator \"%s\"",
            tenon_version(), place, text);
    return tn_hint(failure, "It knows: local.");
}

tenon_status tn_locator_parse(const char *text, struct locator *locator, struct failure *failure)
{
    char parts[PARTS_MOST][PART_MOST + 1] = { "" };
    struct locator found = { .index = -1 };
    size_t count = 0, next = 0;
    tenon_status status;

    if (text == NULL)
        return tn_fail(failure, TENON_ERROR_ARGUMENT, "no accelerator is named");
    status = split(text, parts, &count, failure);
    if (status != TENON_OK)
        return status;
    if (tn_compare_case(parts[0], "local") == 0)
        next = 1;
    else if (find_kinds(parts[0]) == 0)
        return unknown_place(text, parts[0], failure);
    found.any = next == count;
    if (!found.any) {
        memcpy(found.word, parts[next], sizeof parts[next]);
        found.kinds = find_kinds(parts[next++]);
    }
    if (next < count)
        status = parse_which(text, parts[next++], &found, failure);
    if (status == TENON_OK && next < count)
        status = malformed(text, "it has too many parts", failure);
    if (status == TENON_OK)
        *locator = found;
    return status;
}

/* ---- resolving ---- */

/* The one that a job should take where nothing was said: accelerators before the processor, more memory before less. */
static const struct machine *best(const struct inventory *inventory)
{
    const struct machine *found = NULL;
    int64_t most = -1;

    for (size_t i = 0; i < inventory->count; i++) {
        const struct machine *machine = &inventory->machines[i];
        int64_t bytes = tn_times(tn_most(machine->row.memory_bytes, 0), tn_most(machine->row.chips, 1));

        if (found == NULL || (found->kind == MACHINE_CPU && machine->kind != MACHINE_CPU) ||
            (machine->kind != MACHINE_CPU && bytes > most)) {
            found = machine;
            most = bytes;
        }
    }
    return found;
}

static bool starts_with_case(const char *text, const char *start)
{
    char head[LOCATOR_UUID] = "";

    strncpy(head, text, tn_least((int64_t)strlen(start), LOCATOR_UUID - 1));
    return tn_compare_case(head, start) == 0;
}

/* All of a kind are meant by the group of them, or by the only one. */
static bool is_all(const struct inventory *inventory, const struct machine *machine)
{
    return machine->index < 0 || (tn_inventory_singles(inventory, machine->kind) == 1);
}

static bool is_meant(const struct locator *locator, const struct inventory *inventory, const struct machine *machine)
{
    if ((locator->kinds & 1u << machine->kind) == 0)
        return false;
    if (locator->uuid[0] != '\0')
        return machine->uuid[0] != '\0' && starts_with_case(machine->uuid, locator->uuid);
    /* A CPU and the chips of a TPU host are one accelerator; "cpu:0" is how others write the former. */
    if (machine->kind == MACHINE_CPU)
        return locator->index <= 0;
    return locator->index < 0 ? is_all(inventory, machine) : machine->index == locator->index;
}

static tenon_status not_here(const struct locator *locator, const struct inventory *inventory, struct failure *failure)
{
    struct text names;

    tn_text_init(&names, inventory->memory, 4096);
    tn_inventory_names(inventory, &names);
    if (locator->index >= 0)
        tn_fail(failure, TENON_ERROR_NOT_FOUND, "this machine has no accelerator %s:%" PRId32, locator->word, locator->index);
    else
        tn_fail(failure, TENON_ERROR_NOT_FOUND, "this machine has no accelerator %s%s%s", locator->word,
                locator->uuid[0] != '\0' ? ":" : "", locator->uuid);
    tn_hint(failure, "It has %s.", tn_text(&names));
    tn_text_clear(&names);
    return failure->status;
}

static tenon_status ambiguous(const struct locator *locator, const struct inventory *inventory, struct failure *failure)
{
    struct text names;

    tn_text_init(&names, inventory->memory, 4096);
    for (size_t i = 0; i < inventory->count; i++)
        if (is_meant(locator, inventory, &inventory->machines[i]))
            tn_text_format(&names, "%s%s", names.length > 0 ? " or " : "", inventory->machines[i].row.name);
    tn_fail(failure, TENON_ERROR_AMBIGUOUS, "\"%s\" stands for several accelerators of this machine", locator->word);
    tn_hint(failure, "Write %s.", tn_text(&names));
    tn_text_clear(&names);
    return failure->status;
}

tenon_status tn_locator_resolve(const struct locator *locator, const struct inventory *inventory, const struct machine **machine,
                                struct failure *failure)
{
    const struct machine *found = NULL;
    size_t count = 0;

    if (locator->any) {
        found = best(inventory);
        count = found != NULL;
    }
    for (size_t i = 0; i < inventory->count && !locator->any; i++)
        if (is_meant(locator, inventory, &inventory->machines[i])) {
            found = &inventory->machines[i];
            count++;
        }
    if (count == 0)
        return not_here(locator, inventory, failure);
    if (count > 1)
        return ambiguous(locator, inventory, failure);
    *machine = found;
    return TENON_OK;
}
