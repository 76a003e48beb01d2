#include <dlfcn.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "number.h"
#include "probe.h"

enum { DEVICES_MOST = 256, SLICES_MOST = 64, NAME_SIZE = 96, VERSION_SIZE = 80, NVML_OK = 0 };

/* What NVML calls nvmlMemory_t. */
struct nvml_memory {
    uint64_t total, free, used;
};

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*driver_version)(char *, unsigned);
    int (*cuda_version)(int *);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, void **);
    int (*name)(void *, char *, unsigned);
    int (*uuid)(void *, char *, unsigned);
    int (*memory)(void *, struct nvml_memory *);
    int (*capability)(void *, int *, int *);
    int (*mig_mode)(void *, unsigned *, unsigned *);
    int (*slice_count)(void *, unsigned *);
    int (*slice_by_index)(void *, unsigned, void **);
};

static const struct {
    const char *name;
    size_t offset;
    bool needed;
} functions[] = {
    { "nvmlInit_v2", offsetof(struct nvml, init), true },
    { "nvmlShutdown", offsetof(struct nvml, shutdown), true },
    { "nvmlSystemGetDriverVersion", offsetof(struct nvml, driver_version), false },
    { "nvmlSystemGetCudaDriverVersion_v2", offsetof(struct nvml, cuda_version), false },
    { "nvmlDeviceGetCount_v2", offsetof(struct nvml, count), true },
    { "nvmlDeviceGetHandleByIndex_v2", offsetof(struct nvml, by_index), true },
    { "nvmlDeviceGetName", offsetof(struct nvml, name), true },
    { "nvmlDeviceGetUUID", offsetof(struct nvml, uuid), false },
    { "nvmlDeviceGetMemoryInfo", offsetof(struct nvml, memory), true },
    { "nvmlDeviceGetCudaComputeCapability", offsetof(struct nvml, capability), false },
    { "nvmlDeviceGetMigMode", offsetof(struct nvml, mig_mode), false },
    { "nvmlDeviceGetMaxMigDeviceCount", offsetof(struct nvml, slice_count), false },
    { "nvmlDeviceGetMigDeviceHandleByIndex", offsetof(struct nvml, slice_by_index), false },
};

/* ---- the library ---- */

/* False where a function that is needed is missing. */
static bool find_functions(struct nvml *nvml)
{
    bool good = true;

    for (size_t i = 0; i < sizeof functions / sizeof functions[0] && good; i++) {
        void *symbol = dlsym(nvml->library, functions[i].name);

        memcpy((char *)nvml + functions[i].offset, &symbol, sizeof symbol);
        good = symbol != NULL || !functions[i].needed;
    }
    return good;
}

/* Where the driver's library may be below a root folder; on this machine itself the loader knows best. */
static void *open_library(const char *root)
{
    static const char *const names[] = {
        "usr/lib/libnvidia-ml.so.1",
        "usr/lib64/libnvidia-ml.so.1",
        "usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",
        "usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
        "usr/local/nvidia/lib64/libnvidia-ml.so.1",
        "usr/lib/wsl/lib/libnvidia-ml.so.1",
    };
    void *library = strcmp(root, "/") == 0 ? dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
    char path[ROOT_PATH];

    for (size_t i = 0; i < sizeof names / sizeof names[0] && library == NULL; i++)
        if (tn_root_path(path, root, names[i]))
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return library;
}

/* Without a device node there is nothing to ask, and loading somebody's library into the host is not done for nothing. */
static bool has_driver(const char *root)
{
    static const char *const signs[] = { "dev/nvidiactl", "dev/nvidia0", "dev/dxg", "proc/driver/nvidia/version" };
    bool found = false;

    for (size_t i = 0; i < sizeof signs / sizeof signs[0] && !found; i++)
        found = tn_root_exists(root, signs[i]);
    return found;
}

static bool nvml_open(struct nvml *nvml, const char *root)
{
    memset(nvml, 0, sizeof *nvml);
    nvml->library = open_library(root);
    return nvml->library != NULL && find_functions(nvml) && nvml->init() == NVML_OK;
}

static void nvml_close(struct nvml *nvml, bool started)
{
    if (started)
        nvml->shutdown();
    if (nvml->library != NULL)
        dlclose(nvml->library);
}

/* ---- one device ---- */

/* Calls one of the functions that fill a buffer; "" where it fails. NULL without memory. */
static const char *get_text(struct inventory *inventory, int (*get)(void *, char *, unsigned), void *device)
{
    char text[NAME_SIZE] = "";

    if (get == NULL || get(device, text, sizeof text - 1) != NVML_OK)
        text[0] = '\0';
    return tn_inventory_text(inventory, text, strnlen(text, sizeof text));
}

static void get_memory(const struct nvml *nvml, void *device, int64_t *total, int64_t *free_bytes)
{
    struct nvml_memory memory = { 0, 0, 0 };

    if (nvml->memory(device, &memory) == NVML_OK && memory.total > 0 && memory.total <= INT64_MAX) {
        *total = (int64_t)memory.total;
        *free_bytes = memory.free <= memory.total ? (int64_t)memory.free : -1;
    }
}

static bool is_sliced(const struct nvml *nvml, void *device)
{
    unsigned now = 0, later = 0;

    return nvml->mig_mode != NULL && nvml->slice_count != NULL && nvml->slice_by_index != NULL &&
           nvml->mig_mode(device, &now, &later) == NVML_OK && now == 1;
}

/*
 * A device in MIG mode can only be used by its slices, and a process sees one of them: the largest one is what the device
 * counts for, and its UUID is what chooses it.
 */
static bool read_slices(struct inventory *inventory, const struct nvml *nvml, void *device, struct machine *machine,
                        json_t *slices)
{
    unsigned count = 0;
    bool good = true;

    machine->row.memory_bytes = machine->row.memory_free_bytes = 0;
    if (nvml->slice_count(device, &count) != NVML_OK)
        count = 0;
    for (unsigned i = 0; i < count && i < SLICES_MOST && good; i++) {
        int64_t total = -1, free_bytes = -1;
        json_t *slice = NULL;
        void *handle = NULL;
        const char *uuid;

        if (nvml->slice_by_index(device, i, &handle) != NVML_OK)
            continue;
        get_memory(nvml, handle, &total, &free_bytes);
        uuid = get_text(inventory, nvml->uuid, handle);
        slice = json_object();
        good = uuid != NULL && tn_json_set_text(slice, "uuid", uuid) && tn_json_set_integer(slice, "memory_bytes", total);
        good = json_array_append_new(slices, slice) == 0 && good;
        if (good && total > machine->row.memory_bytes) {
            machine->row.memory_bytes = total;
            machine->row.memory_free_bytes = free_bytes;
            machine->uuid = uuid;
        }
    }
    return good;
}

static tenon_status describe(struct inventory *inventory, const struct nvml *nvml, void *device, struct machine *machine,
                             int cuda)
{
    char capability[16] = "", version[16] = "", index[16];
    json_t *json = json_object(), *environment = json_object(), *slices = json_array();
    bool sliced = is_sliced(nvml, device);
    bool good = tn_json_set_text(json, "probe", "nvml") && tn_json_set_integer(json, "index", machine->index);

    if (sliced)
        good = good && read_slices(inventory, nvml, device, machine, slices);
    if (machine->capability > 0)
        snprintf(capability, sizeof capability, "%d.%d", machine->capability / 10, machine->capability % 10);
    if (cuda > 0)
        snprintf(version, sizeof version, "%d.%d", cuda / 1000, cuda % 1000 / 10);
    snprintf(index, sizeof index, "%" PRId32, machine->index);
    good = good && (machine->uuid[0] == '\0' || tn_json_set_text(json, "uuid", machine->uuid)) &&
           (capability[0] == '\0' || tn_json_set_text(json, "compute_capability", capability)) &&
           (version[0] == '\0' || tn_json_set_text(json, "cuda_version", version)) &&
           tn_json_set_text(environment, "CUDA_VISIBLE_DEVICES", machine->uuid[0] != '\0' ? machine->uuid : index);
    if (sliced)
        good = json_object_set(json, "mig", slices) == 0 && good;
    good = json_object_set_new(json, "environment", environment) == 0 && good;
    json_decref(slices);
    return tn_inventory_set_json(inventory, machine, json, good);
}

static tenon_status add_device(struct inventory *inventory, const struct nvml *nvml, unsigned index, const char *driver, int cuda)
{
    struct machine *machine;
    void *device = NULL;
    int major = 0, minor = 0;

    /* One that has fallen off the bus is no accelerator. */
    if (nvml->by_index(index, &device) != NVML_OK)
        return TENON_OK;
    machine = tn_inventory_add(inventory, MACHINE_CUDA, (int32_t)index);
    if (machine == NULL)
        return TENON_ERROR_MEMORY;
    machine->row.vendor = "nvidia";
    machine->row.driver = driver;
    machine->row.chip = get_text(inventory, nvml->name, device);
    machine->uuid = get_text(inventory, nvml->uuid, device);
    if (machine->row.chip == NULL || machine->uuid == NULL)
        return TENON_ERROR_MEMORY;
    get_memory(nvml, device, &machine->row.memory_bytes, &machine->row.memory_free_bytes);
    if (nvml->capability != NULL && nvml->capability(device, &major, &minor) == NVML_OK && major > 0 && major < 1000 &&
        minor >= 0 && minor < 10)
        machine->capability = 10 * major + minor;
    return describe(inventory, nvml, device, machine, cuda);
}

static tenon_status add_devices(struct inventory *inventory, const struct nvml *nvml)
{
    char version[VERSION_SIZE] = "";
    unsigned count = 0;
    int cuda = 0;
    const char *driver;
    tenon_status status;

    if (nvml->driver_version == NULL || nvml->driver_version(version, sizeof version - 1) != NVML_OK)
        version[0] = '\0';
    if (nvml->cuda_version == NULL || nvml->cuda_version(&cuda) != NVML_OK)
        cuda = 0;
    driver = tn_inventory_text(inventory, version, strnlen(version, sizeof version));
    status = driver != NULL ? TENON_OK : TENON_ERROR_MEMORY;
    if (nvml->count(&count) != NVML_OK)
        count = 0;
    for (unsigned i = 0; i < count && i < DEVICES_MOST && status == TENON_OK; i++)
        status = add_device(inventory, nvml, i, driver, cuda);
    if (status == TENON_OK)
        status = tn_inventory_group(inventory, MACHINE_CUDA);
    return status;
}

tenon_status tn_probe_nvidia(struct inventory *inventory, const char *root)
{
    struct nvml nvml;
    tenon_status status = TENON_OK;
    bool started;

    if (!has_driver(root))
        return TENON_OK;
    started = nvml_open(&nvml, root);
    if (started)
        status = add_devices(inventory, &nvml);
    nvml_close(&nvml, started);
    return status;
}
