#include <stdio.h>

#include "json.h"
#include "probe.h"

enum { PATH_SIZE = 512, GOOGLE_VENDOR = 0x1ae0 };

#define GIB(number) (INT64_C(number) << 30)

/*
 * Google's chips by their PCI device id, and the memory of each chip as Google's pages give it (there is no driver to
 * ask). Generations 2 and 3 share an id. Other devices of this vendor, such as network cards, are not listed.
 */
static const struct generation {
    int64_t device;
    const char *chip;
    int64_t memory_bytes;
} generations[] = {
    { 0x0027, "tpu-v2 or v3", -1 },      { 0x005e, "tpu-v4", GIB(32) },  { 0x0062, "tpu-v5p", GIB(95) },
    { 0x0063, "tpu-v5e", GIB(16) },      { 0x006f, "tpu-v6e", GIB(32) }, { 0x0076, "tpu7x", GIB(192) },
};

struct scan_of_devices {
    struct inventory *inventory;
    const char *root;
    const struct generation *generation; /* of the first chip; a host has one kind */
    int32_t chips;
};

static bool see_device(void *user, const char *name)
{
    struct scan_of_devices *scan = user;
    const struct memory *memory = scan->inventory->memory;
    char path[PATH_SIZE];
    int64_t vendor = 0, device = 0;

    snprintf(path, sizeof path, "sys/bus/pci/devices/%s/vendor", name);
    if (!tn_root_integer(memory, scan->root, path, &vendor) || vendor != GOOGLE_VENDOR)
        return true;
    snprintf(path, sizeof path, "sys/bus/pci/devices/%s/device", name);
    if (!tn_root_integer(memory, scan->root, path, &device))
        return true;
    for (size_t i = 0; i < sizeof generations / sizeof generations[0]; i++)
        if (generations[i].device == device && (scan->generation == NULL || scan->generation == &generations[i])) {
            scan->generation = &generations[i];
            scan->chips++;
        }
    return true;
}

/* The chips of a host are one accelerator: one process holds them all. */
static tenon_status add_chips(const struct scan_of_devices *scan)
{
    struct machine *machine = tn_inventory_add(scan->inventory, MACHINE_TPU, -1);
    const char *const nodes[] = { "dev/accel0", "dev/vfio/0" };
    json_t *json;
    bool good, usable = false;

    if (machine == NULL)
        return TENON_ERROR_MEMORY;
    machine->row.vendor = "google";
    machine->row.chip = scan->generation->chip;
    machine->row.chips = scan->chips;
    machine->row.memory_bytes = scan->generation->memory_bytes;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        usable = usable || tn_root_exists(scan->root, nodes[i]);
    json = json_object();
    good = tn_json_set_text(json, "probe", "pci") && tn_json_set_integer(json, "device_id", scan->generation->device) &&
           tn_json_set_text(json, "memory_source", "Google's documentation of the chip");
    good = json_object_set_new(json, "device_node", json_boolean(usable)) == 0 && good;
    return tn_inventory_set_json(scan->inventory, machine, json, good);
}

tenon_status tn_probe_tpu(struct inventory *inventory, const char *root)
{
    struct scan_of_devices scan = { .inventory = inventory, .root = root };
    tenon_status status = tn_root_folder(inventory->memory, root, "sys/bus/pci/devices", see_device, &scan);

    if (status == TENON_OK && scan.chips > 0)
        status = add_chips(&scan);
    return status;
}
