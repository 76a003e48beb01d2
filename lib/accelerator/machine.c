#include "machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "text.h"

enum { TEXT_MOST = 256 };

void tn_inventory_init(struct inventory *inventory, const struct memory *memory)
{
    memset(inventory, 0, sizeof *inventory);
    inventory->memory = memory;
    tn_arena_init(&inventory->arena, memory);
}

void tn_inventory_clear(struct inventory *inventory)
{
    if (inventory->memory == NULL)
        return;
    tn_release(inventory->memory, inventory->machines);
    tn_arena_clear(&inventory->arena);
    memset(inventory, 0, sizeof *inventory);
}

const char *tn_machine_word(enum machine_kind kind)
{
    static const char *const words[] = {
        [MACHINE_CPU] = "cpu", [MACHINE_CUDA] = "cuda", [MACHINE_ROCM] = "rocm", [MACHINE_TPU] = "tpu",
    };

    return words[kind];
}

static bool grow(struct inventory *inventory)
{
    size_t room = inventory->room == 0 ? 4 : 2 * inventory->room;
    struct machine *machines = tn_resize(inventory->memory, inventory->machines, room * sizeof *machines);

    if (machines != NULL) {
        inventory->machines = machines;
        inventory->room = room;
    }
    return machines != NULL;
}

struct machine *tn_inventory_add(struct inventory *inventory, enum machine_kind kind, int32_t index)
{
    struct machine *machine = NULL;
    char name[32];
    const char *copy;

    if (index < 0 || kind == MACHINE_CPU)
        snprintf(name, sizeof name, "local:%s", tn_machine_word(kind));
    else
        snprintf(name, sizeof name, "local:%s:%" PRId32, tn_machine_word(kind), index);
    copy = tn_arena_copy(&inventory->arena, name);
    if (copy == NULL || (inventory->count == inventory->room && !grow(inventory)))
        return NULL;
    machine = &inventory->machines[inventory->count];
    memset(machine, 0, sizeof *machine);
    machine->kind = kind;
    machine->index = index;
    machine->uuid = "";
    machine->row = (tenon_machine){
        .struct_size = sizeof machine->row, .chips = kind == MACHINE_CPU ? 0 : 1, .name = copy, .place = "local",
        .memory_bytes = -1, .memory_free_bytes = -1, .host_memory_bytes = -1, .cpu_milli = -1, .hosts = 1,
    };
    if (inventory->count > 0) {
        const tenon_machine *host = &inventory->machines[0].row;

        machine->row.machine_type = host->machine_type;
        machine->row.host_memory_bytes = host->host_memory_bytes;
        machine->row.cpu_milli = host->cpu_milli;
    }
    inventory->count++;
    return machine;
}

const char *tn_inventory_text(struct inventory *inventory, const char *bytes, size_t length)
{
    struct text text;
    const char *copy = NULL;

    if (length > TEXT_MOST)
        length = TEXT_MOST;
    while (length > 0 && (unsigned char)bytes[0] <= ' ') {
        bytes++;
        length--;
    }
    while (length > 0 && (unsigned char)bytes[length - 1] <= ' ')
        length--;
    tn_text_init(&text, inventory->memory, 4 * TEXT_MOST);
    tn_text_add_utf8(&text, bytes, length);
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
            text.data[i] = ' ';
    if (tn_text_status(&text) == TENON_OK)
        copy = tn_arena_copy(&inventory->arena, tn_text(&text));
    tn_text_clear(&text);
    return copy;
}

tenon_status tn_inventory_set_json(struct inventory *inventory, struct machine *machine, json_t *json, bool complete)
{
    char *text = complete ? tn_json_write(inventory->memory, json) : NULL;

    if (text != NULL)
        machine->row.json = tn_arena_copy(&inventory->arena, text);
    tn_release(inventory->memory, text);
    json_decref(json);
    return machine->row.json != NULL ? TENON_OK : TENON_ERROR_MEMORY;
}

size_t tn_inventory_singles(const struct inventory *inventory, enum machine_kind kind)
{
    size_t count = 0;

    for (size_t i = 0; i < inventory->count; i++)
        if (inventory->machines[i].kind == kind && inventory->machines[i].index >= 0)
            count++;
    return count;
}

/* The least of two, of which either may be unknown; then so is the result. */
static int64_t least_known(int64_t a, int64_t b)
{
    return a < 0 || b < 0 ? -1 : a < b ? a : b;
}

/* What a group says of itself is what its weakest member can do: a model is spread evenly. */
static void join(struct machine *group, const struct machine *member)
{
    if (group->row.chip == NULL) {
        const char *name = group->row.name;

        group->row = member->row;
        group->row.name = name;
        group->row.chips = 0;
        group->row.json = NULL;
        group->capability = member->capability;
    }
    group->row.chips += member->row.chips;
    group->row.memory_bytes = least_known(group->row.memory_bytes, member->row.memory_bytes);
    group->row.memory_free_bytes = least_known(group->row.memory_free_bytes, member->row.memory_free_bytes);
    if (member->capability < group->capability)
        group->capability = member->capability;
    if (strcmp(group->row.chip, member->row.chip) != 0)
        group->row.chip = "mixed";
}

/* Names the members, and joins the values of the environment variable that each of them is chosen by. */
static tenon_status describe_group(struct inventory *inventory, struct machine *group, const char *variable)
{
    json_t *json = json_object(), *members = json_array(), *environment = json_object();
    struct text values;
    bool good = true;
    tenon_status status;

    tn_text_init(&values, inventory->memory, 64 * 1024);
    for (size_t i = 0; i < inventory->count; i++) {
        const struct machine *machine = &inventory->machines[i];

        if (machine->kind == group->kind && machine->index >= 0) {
            good = good && json_array_append_new(members, json_string(machine->row.name)) == 0;
            tn_text_add(&values, values.length > 0 ? "," : "");
            if (machine->uuid[0] != '\0')
                tn_text_add(&values, machine->uuid);
            else
                tn_text_add_integer(&values, machine->index);
        }
    }
    good = good && tn_text_status(&values) == TENON_OK && tn_json_set_text(environment, variable, tn_text(&values));
    good = json_object_set_new(json, "members", members) == 0 && good;
    good = json_object_set_new(json, "environment", environment) == 0 && good;
    status = tn_inventory_set_json(inventory, group, json, good);
    tn_text_clear(&values);
    return status;
}

tenon_status tn_inventory_group(struct inventory *inventory, enum machine_kind kind)
{
    struct machine *group;

    if (tn_inventory_singles(inventory, kind) < 2)
        return TENON_OK;
    group = tn_inventory_add(inventory, kind, -1);
    if (group == NULL)
        return TENON_ERROR_MEMORY;
    for (size_t i = 0; i < inventory->count; i++)
        if (inventory->machines[i].kind == kind && inventory->machines[i].index >= 0)
            join(group, &inventory->machines[i]);
    return describe_group(inventory, group, kind == MACHINE_ROCM ? "HIP_VISIBLE_DEVICES" : "CUDA_VISIBLE_DEVICES");
}

void tn_inventory_names(const struct inventory *inventory, struct text *out)
{
    for (size_t i = 0; i < inventory->count; i++)
        tn_text_format(out, "%s%s", i > 0 ? ", " : "", inventory->machines[i].row.name);
}
