#include <inttypes.h>
#include <string.h>

#include "cgroup.h"
#include "json.h"
#include "number.h"
#include "probe.h"

enum { CPUINFO_FILE = 4 * 1024 * 1024, SMALL_FILE = 64 * 1024, CPUS_MOST = 8192 };

struct cpu_facts {
    const char *model, *vendor, *host;
    int64_t online, allowed; /* processors; -1 unknown */
    int64_t memory_total, memory_available;
    struct cgroup_limits cgroup;
};

/* ---- processors ---- */

struct cpu_set {
    uint64_t words[CPUS_MOST / 64];
};

/* A list such as "0-3,8"; false where it makes no sense. */
static bool parse_set(const char *text, struct cpu_set *set)
{
    const char *at = text;
    bool good = true;

    memset(set, 0, sizeof *set);
    while (good && *at >= '0' && *at <= '9') {
        int64_t range[2] = { 0, 0 };
        int ends = 0;

        do {
            for (; *at >= '0' && *at <= '9' && range[ends] < CPUS_MOST; at++)
                range[ends] = 10 * range[ends] + (*at - '0');
            ends++;
        } while (ends < 2 && *at == '-' && *++at >= '0' && *at <= '9');
        if (ends == 1)
            range[1] = range[0];
        good = range[0] <= range[1] && range[1] < CPUS_MOST;
        for (int64_t cpu = range[0]; good && cpu <= range[1]; cpu++)
            set->words[cpu / 64] |= UINT64_C(1) << cpu % 64;
        if (*at == ',')
            at++;
    }
    return good && at != text && at[strspn(at, " \n")] == '\0';
}

static int64_t count_set(const struct cpu_set *set, const struct cpu_set *mask)
{
    int64_t count = 0;

    for (size_t i = 0; i < CPUS_MOST / 64; i++)
        count += __builtin_popcountll(set->words[i] & (mask != NULL ? mask->words[i] : UINT64_MAX));
    return count;
}

/* The value behind "KEY<blanks>:" in a file of such lines; NULL where there is none. A line ends with a line feed or NUL. */
static const char *value_of(const char *text, const char *key, size_t *length)
{
    size_t size = strlen(key);
    const char *line = text, *found = NULL;

    while (line != NULL && found == NULL) {
        if (strncmp(line, key, size) == 0 && line[size + strspn(line + size, " \t")] == ':')
            found = line + size + strspn(line + size, " \t") + 1;
        else {
            line = strchr(line, '\n');
            line = line != NULL ? line + 1 : NULL;
        }
    }
    if (found != NULL)
        *length = strcspn(found, "\n");
    return found;
}

static int64_t count_lines(const char *text, const char *key)
{
    int64_t count = 0;
    size_t length;
    const char *value = value_of(text, key, &length);

    while (value != NULL) {
        count++;
        value = value_of(value + length, key, &length);
    }
    return count;
}

/* Which processors are online, and which of those this process may run on. */
static bool count_processors(const struct memory *memory, const char *root, const char *cpuinfo, struct cpu_facts *facts)
{
    struct cpu_set online, allowed;
    struct text text;
    size_t length = 0;
    bool known = false, read;

    tn_text_init(&text, memory, SMALL_FILE);
    read = tn_root_read(root, "sys/devices/system/cpu/online", SMALL_FILE, &text);
    known = read && parse_set(tn_text(&text), &online);
    if (known)
        facts->online = count_set(&online, NULL);
    else if (count_lines(cpuinfo, "processor") > 0)
        facts->online = count_lines(cpuinfo, "processor");
    read = read && tn_root_read(root, "proc/self/status", SMALL_FILE, &text);
    if (read && value_of(tn_text(&text), "Cpus_allowed_list", &length) != NULL) {
        char *list = text.data + (value_of(tn_text(&text), "Cpus_allowed_list", &length) - text.data);

        list[length] = '\0';
        if (parse_set(list + strspn(list, " \t"), &allowed))
            facts->allowed = count_set(&allowed, known ? &online : NULL);
    }
    if (facts->allowed <= 0)
        facts->allowed = facts->online;
    tn_text_clear(&text);
    return read;
}

static const struct {
    const char *written, *vendor;
} vendors[] = {
    { "GenuineIntel", "intel" }, { "AuthenticAMD", "amd" }, { "HygonGenuine", "hygon" }, { "0x41", "arm" },
    { "0x48", "huawei" },        { "0x4e", "nvidia" },      { "0x50", "apm" },           { "0x51", "qualcomm" },
    { "0x61", "apple" },         { "0xc0", "ampere" },
};

static bool describe_chip(struct inventory *inventory, const char *cpuinfo, struct cpu_facts *facts)
{
    static const char *const models[] = { "model name", "Model Name", "cpu model", "Hardware", "Model", "uarch" };
    static const char *const makers[] = { "vendor_id", "CPU implementer" };
    const char *found = NULL;
    size_t length = 0;

    for (size_t i = 0; i < sizeof models / sizeof models[0] && found == NULL; i++)
        found = value_of(cpuinfo, models[i], &length);
    facts->model = found != NULL ? tn_inventory_text(inventory, found, length) : "CPU";
    facts->vendor = "";
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        const char *maker = value_of(cpuinfo, makers[i], &length);

        for (size_t j = 0; maker != NULL && j < sizeof vendors / sizeof vendors[0]; j++) {
            size_t blanks = strspn(maker, " \t"), size = strlen(vendors[j].written);

            if (length == blanks + size && memcmp(maker + blanks, vendors[j].written, size) == 0)
                facts->vendor = vendors[j].vendor;
        }
    }
    return facts->model != NULL;
}

/* ---- memory ---- */

/* A line "KEY:   NUMBER kB" in bytes; -1 where there is none. */
static int64_t kilobytes(const char *meminfo, const char *key)
{
    size_t length = 0;
    const char *value = value_of(meminfo, key, &length);
    int64_t number = 0;

    if (value == NULL)
        return -1;
    value += strspn(value, " \t");
    if (*value < '0' || *value > '9')
        return -1;
    for (; *value >= '0' && *value <= '9'; value++)
        number = tn_plus(tn_times(number, 10), *value - '0');
    return tn_times(number, 1024);
}

static bool read_memory(const struct memory *memory, const char *root, struct cpu_facts *facts)
{
    struct text text;
    bool read;

    tn_text_init(&text, memory, SMALL_FILE);
    read = tn_root_read(root, "proc/meminfo", SMALL_FILE, &text);
    if (read) {
        facts->memory_total = kilobytes(tn_text(&text), "MemTotal");
        facts->memory_available = kilobytes(tn_text(&text), "MemAvailable");
    }
    tn_text_clear(&text);
    return read;
}

/* ---- the row ---- */

static bool read_host(struct inventory *inventory, const char *root, struct cpu_facts *facts)
{
    struct text text;

    tn_text_init(&text, inventory->memory, SMALL_FILE);
    facts->host = tn_root_read(root, "proc/sys/kernel/hostname", 256, &text)
                      ? tn_inventory_text(inventory, tn_text(&text), text.length)
                      : NULL;
    tn_text_clear(&text);
    return facts->host != NULL;
}

/* The lesser of two, of which -1 is unknown or no limit. */
static int64_t least(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : tn_least(a, b);
}

static tenon_status fill_json(struct inventory *inventory, struct machine *machine, const struct cpu_facts *facts)
{
    const struct {
        const char *key;
        int64_t value;
    } members[] = {
        { "processors", facts->online },
        { "processors_allowed", facts->allowed },
        { "cgroup_cpu_milli", facts->cgroup.cpu_milli },
        { "memory_total_bytes", facts->memory_total },
        { "memory_available_bytes", facts->memory_available },
        { "cgroup_memory_bytes", facts->cgroup.memory_bytes },
        { "cgroup_memory_left_bytes", facts->cgroup.memory_left },
    };
    json_t *json = json_object();
    bool good = tn_json_set_text(json, "probe", "proc");

    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (members[i].value >= 0)
            good = good && tn_json_set_integer(json, members[i].key, members[i].value);
    return tn_inventory_set_json(inventory, machine, json, good);
}

static tenon_status add_machine(struct inventory *inventory, const struct cpu_facts *facts)
{
    struct machine *machine = tn_inventory_add(inventory, MACHINE_CPU, 0);

    if (machine == NULL)
        return TENON_ERROR_MEMORY;
    machine->row.chip = facts->model;
    machine->row.vendor = facts->vendor;
    machine->row.machine_type = facts->host;
    machine->row.memory_bytes = least(facts->memory_total, facts->cgroup.memory_bytes);
    machine->row.memory_free_bytes = least(facts->memory_available, facts->cgroup.memory_left);
    if (machine->row.memory_free_bytes > machine->row.memory_bytes && machine->row.memory_bytes >= 0)
        machine->row.memory_free_bytes = machine->row.memory_bytes;
    machine->row.host_memory_bytes = machine->row.memory_bytes;
    machine->row.cpu_milli = least(facts->allowed >= 0 ? facts->allowed * 1000 : -1, facts->cgroup.cpu_milli);
    return fill_json(inventory, machine, facts);
}

tenon_status tn_probe_cpu(struct inventory *inventory, const char *root)
{
    struct cpu_facts facts = { .online = -1, .allowed = -1, .memory_total = -1, .memory_available = -1 };
    struct text cpuinfo;
    tenon_status status = TENON_ERROR_MEMORY;

    tn_text_init(&cpuinfo, inventory->memory, CPUINFO_FILE);
    if (tn_root_read(root, "proc/cpuinfo", CPUINFO_FILE, &cpuinfo) && describe_chip(inventory, tn_text(&cpuinfo), &facts) &&
        count_processors(inventory->memory, root, tn_text(&cpuinfo), &facts) && read_memory(inventory->memory, root, &facts) &&
        read_host(inventory, root, &facts))
        status = tn_cgroup_limits(inventory->memory, root, &facts.cgroup);
    if (status == TENON_OK)
        status = add_machine(inventory, &facts);
    tn_text_clear(&cpuinfo);
    return status;
}
