#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "probe.h"

enum { PROPERTIES_FILE = 64 * 1024, NAME_FILE = 256, PATH_SIZE = 512, AMD_VENDOR = 0x1002 };

#define NODES "sys/class/kfd/kfd/topology/nodes"

/* What a node of the compute driver's topology says of itself. */
struct node {
    int64_t simd_count, vendor, device, target, render_minor;
};

struct scan_of_nodes {
    struct inventory *inventory;
    const char *root;
    const char *driver;
    int32_t count;
    tenon_status status;
};

static void read_property(struct node *node, const char *key, int64_t value)
{
    const struct {
        const char *key;
        int64_t *value;
    } known[] = {
        { "simd_count", &node->simd_count }, { "vendor_id", &node->vendor }, { "device_id", &node->device },
        { "gfx_target_version", &node->target }, { "drm_render_minor", &node->render_minor },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].key, key) == 0)
            *known[i].value = value;
}

/* Reads lines "KEY NUMBER"; false without memory. */
static bool read_node(const struct scan_of_nodes *scan, const char *name, struct node *node)
{
    char path[PATH_SIZE];
    struct text text;
    char *rest, *line;
    bool read;

    memset(node, 0, sizeof *node);
    tn_text_init(&text, scan->inventory->memory, PROPERTIES_FILE);
    snprintf(path, sizeof path, NODES "/%s/properties", name);
    read = tn_root_read(scan->root, path, PROPERTIES_FILE, &text);
    rest = read && text.length > 0 ? text.data : NULL;
    while ((line = tn_cut(&rest, '\n')) != NULL) {
        char *key = tn_cut(&line, ' ');
        int64_t value;

        if (line != NULL && tn_parse_integer(line, &value))
            read_property(node, key, value);
    }
    tn_text_clear(&text);
    return read;
}

/* 90402 is written gfx942, 90010 is gfx90a. */
static void write_target(char *out, size_t size, int64_t target)
{
    out[0] = '\0';
    if (target > 0 && target < 1000000)
        snprintf(out, size, "gfx%" PRId64 "%" PRIx64 "%" PRIx64, target / 10000, (uint64_t)(target / 100 % 100),
                 (uint64_t)(target % 100));
}

/* What the device calls itself, else what it is built as. */
static const char *read_name(const struct scan_of_nodes *scan, const struct node *node, const char *target)
{
    char path[PATH_SIZE], made[64];
    const char *name;
    struct text text;
    bool read;

    tn_text_init(&text, scan->inventory->memory, NAME_FILE);
    snprintf(path, sizeof path, "sys/class/drm/renderD%" PRId64 "/device/product_name", node->render_minor);
    read = tn_root_read(scan->root, path, NAME_FILE, &text);
    snprintf(made, sizeof made, "AMD %s", target[0] != '\0' ? target : "GPU");
    name = read ? tn_inventory_text(scan->inventory, tn_text(&text), text.length) : NULL;
    tn_text_clear(&text);
    return name != NULL && name[0] == '\0' ? tn_inventory_text(scan->inventory, made, strlen(made)) : name;
}

static void read_memory(const struct scan_of_nodes *scan, const struct node *node, struct machine *machine)
{
    char path[PATH_SIZE];
    int64_t total = -1, used = -1;

    snprintf(path, sizeof path, "sys/class/drm/renderD%" PRId64 "/device/mem_info_vram_total", node->render_minor);
    if (tn_root_integer(scan->inventory->memory, scan->root, path, &total) && total > 0)
        machine->row.memory_bytes = total;
    snprintf(path, sizeof path, "sys/class/drm/renderD%" PRId64 "/device/mem_info_vram_used", node->render_minor);
    if (total > 0 && tn_root_integer(scan->inventory->memory, scan->root, path, &used) && used <= total)
        machine->row.memory_free_bytes = total - used;
}

static tenon_status add_device(struct scan_of_nodes *scan, const struct node *node)
{
    struct machine *machine = tn_inventory_add(scan->inventory, MACHINE_ROCM, scan->count);
    char target[32], index[16], device[16];
    json_t *json, *environment;
    bool good;

    if (machine == NULL)
        return TENON_ERROR_MEMORY;
    write_target(target, sizeof target, node->target);
    machine->row.vendor = "amd";
    machine->row.driver = scan->driver;
    machine->row.chip = read_name(scan, node, target);
    if (machine->row.chip == NULL)
        return TENON_ERROR_MEMORY;
    read_memory(scan, node, machine);
    snprintf(index, sizeof index, "%" PRId32, scan->count++);
    snprintf(device, sizeof device, "0x%04" PRIx64, (uint64_t)node->device);
    json = json_object();
    environment = json_object();
    good = tn_json_set_text(json, "probe", "kfd") && tn_json_set_integer(json, "index", machine->index) &&
           tn_json_set_text(json, "device_id", device) && (target[0] == '\0' || tn_json_set_text(json, "architecture", target)) &&
           tn_json_set_text(environment, "HIP_VISIBLE_DEVICES", index);
    good = json_object_set_new(json, "environment", environment) == 0 && good;
    return tn_inventory_set_json(scan->inventory, machine, json, good);
}

/* Processors are nodes too; they have no SIMD units. */
static bool see_node(void *user, const char *name)
{
    struct scan_of_nodes *scan = user;
    struct node node;

    if (!read_node(scan, name, &node))
        scan->status = TENON_ERROR_MEMORY;
    else if (node.simd_count > 0 && node.vendor == AMD_VENDOR)
        scan->status = add_device(scan, &node);
    return scan->status == TENON_OK;
}

tenon_status tn_probe_amd(struct inventory *inventory, const char *root)
{
    struct scan_of_nodes scan = { .inventory = inventory, .root = root, .status = TENON_OK };
    struct text driver;
    tenon_status status = TENON_ERROR_MEMORY;

    /* A container sees the topology of its host also where it was not given the device. */
    if (!tn_root_exists(root, "dev/kfd"))
        return TENON_OK;
    tn_text_init(&driver, inventory->memory, NAME_FILE);
    if (tn_root_read(root, "sys/module/amdgpu/version", NAME_FILE, &driver))
        scan.driver = tn_inventory_text(inventory, tn_text(&driver), driver.length);
    if (scan.driver != NULL)
        status = tn_root_folder(inventory->memory, root, NODES, see_node, &scan);
    if (status == TENON_OK)
        status = scan.status;
    if (status == TENON_OK)
        status = tn_inventory_group(inventory, MACHINE_ROCM);
    tn_text_clear(&driver);
    return status;
}
