/* Probes of this machine, on machines made of plain files, and how accelerators are named. */
#define _GNU_SOURCE
#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accelerator.h"
#include "file.h"
#include "locator.h"
#include "probe.h"

static const char *source_root;
static char *root;
static struct memory memory;
static struct failure failure;
static struct inventory inventory;

static int set_up(void **state)
{
    (void)state;
    memory = tn_memory(NULL);
    tn_failure_init(&failure, &memory, NULL);
    tn_inventory_init(&inventory, &memory);
    root = test_folder_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tn_inventory_clear(&inventory);
    tn_failure_clear(&failure);
    test_folder_remove(root);
    return 0;
}

/* ---- machines made of files ---- */

static void put(const char *name, const char *text)
{
    char *path = test_join(root, name);

    assert_int_equal(tn_folder_make_above(path, &failure), TENON_OK);
    test_write(path, text);
    free(path);
}

static const char cpuinfo[] =
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n\n"
    "processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n\n";

/* A machine of 8 processors and 16 GiB. */
static void put_machine(void)
{
    put("proc/cpuinfo", cpuinfo);
    put("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   12582912 kB\n");
    put("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\nMems_allowed_list:\t0\n");
    put("sys/devices/system/cpu/online", "0-7\n");
    put("proc/sys/kernel/hostname", "node-17\n");
}

static const tenon_machine *probe_cpu(void)
{
    tn_inventory_clear(&inventory);
    tn_inventory_init(&inventory, &memory);
    assert_int_equal(tn_probe_cpu(&inventory, root), TENON_OK);
    assert_int_equal(inventory.count, 1);
    return &inventory.machines[0].row;
}

#define GIB (INT64_C(1) << 30)

/* ---- CPU ---- */

static void test_cpu(void **state)
{
    const tenon_machine *row;

    (void)state;
    put_machine();
    row = probe_cpu();
    assert_string_equal(row->name, "local:cpu");
    assert_string_equal(row->place, "local");
    assert_string_equal(row->vendor, "intel");
    assert_string_equal(row->chip, "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz");
    assert_string_equal(row->machine_type, "node-17");
    assert_int_equal(row->chips, 0);
    assert_int_equal(row->cpu_milli, 8000);
    assert_int_equal(row->memory_bytes, 16 * GIB);
    assert_int_equal(row->memory_free_bytes, 12 * GIB);
    assert_int_equal(row->host_memory_bytes, 16 * GIB);
    assert_int_equal(row->hour_usd_micros, 0);
}

static void test_cpu_affinity(void **state)
{
    (void)state;
    put_machine();
    put("proc/self/status", "Cpus_allowed_list:\t2,4-5\n");
    assert_int_equal(probe_cpu()->cpu_milli, 3000);
    /* The mask may name processors that are off. */
    put("proc/self/status", "Cpus_allowed_list:\t0-127\n");
    assert_int_equal(probe_cpu()->cpu_milli, 8000);
    put("sys/devices/system/cpu/online", "0,3\n");
    assert_int_equal(probe_cpu()->cpu_milli, 2000);
}

static void test_cpu_arm(void **state)
{
    (void)state;
    put_machine();
    put("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0xc0\nCPU part\t: 0xac3\n");
    assert_string_equal(probe_cpu()->vendor, "ampere");
    assert_string_equal(inventory.machines[0].row.chip, "CPU");
}

static void test_cpu_on_nothing(void **state)
{
    const tenon_machine *row = probe_cpu();

    (void)state;
    assert_string_equal(row->name, "local:cpu");
    assert_int_equal(row->memory_bytes, -1);
    assert_int_equal(row->memory_free_bytes, -1);
    assert_int_equal(row->cpu_milli, -1);
}

/* ---- control groups ---- */

static const char mounts_v2[] =
    "25 1 0:22 / /sys rw - sysfs sysfs rw\n35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

static void test_cgroup_v2(void **state)
{
    const tenon_machine *row;

    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/user.slice/job.scope\n");
    put("proc/self/mountinfo", mounts_v2);
    put("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n");
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "max 100000\n");
    assert_int_equal(probe_cpu()->memory_bytes, 16 * GIB);
    put("sys/fs/cgroup/user.slice/job.scope/memory.max", "8589934592\n");
    put("sys/fs/cgroup/user.slice/job.scope/memory.current", "3221225472\n");
    put("sys/fs/cgroup/user.slice/job.scope/memory.stat", "anon 1\nfile 2\ninactive_file 1073741824\nactive_file 5\n");
    put("sys/fs/cgroup/user.slice/job.scope/cpu.max", "250000 100000\n");
    row = probe_cpu();
    assert_int_equal(row->memory_bytes, 8 * GIB);
    assert_int_equal(row->memory_free_bytes, 6 * GIB);
    assert_int_equal(row->cpu_milli, 2500);
    assert_non_null(strstr(row->json, "\"cgroup_memory_bytes\":8589934592"));
    /* The level above is tighter in both. */
    put("sys/fs/cgroup/user.slice/memory.high", "4294967296\n");
    put("sys/fs/cgroup/user.slice/memory.current", "4294967000\n");
    put("sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n");
    row = probe_cpu();
    assert_int_equal(row->memory_bytes, 4 * GIB);
    assert_int_equal(row->memory_free_bytes, 296);
    assert_int_equal(row->cpu_milli, 500);
}

static void test_cgroup_v1(void **state)
{
    const tenon_machine *row;

    (void)state;
    put_machine();
    put("proc/self/cgroup", "9:name=systemd:/\n4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n");
    /* A container sees its own group as the root of the mount. */
    put("proc/self/mountinfo",
        "30 1 0:30 /docker/abc /sys/fs/cgroup/memory\\040of\\040it ro - cgroup cgroup rw,memory\n"
        "31 1 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n");
    put("sys/fs/cgroup/memory of it/memory.limit_in_bytes", "2147483648\n");
    put("sys/fs/cgroup/memory of it/memory.usage_in_bytes", "1073741824\n");
    put("sys/fs/cgroup/memory of it/memory.stat", "cache 10\ntotal_inactive_file 536870912\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    row = probe_cpu();
    assert_int_equal(row->memory_bytes, 2 * GIB);
    assert_int_equal(row->memory_free_bytes, 2 * GIB - GIB / 2);
    assert_int_equal(row->cpu_milli, 1500);
    /* No limit, as version 1 writes it. */
    put("sys/fs/cgroup/memory of it/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    row = probe_cpu();
    assert_int_equal(row->memory_bytes, 16 * GIB);
    assert_int_equal(row->cpu_milli, 8000);
}

static void test_cgroup_hybrid(void **state)
{
    (void)state;
    put_machine();
    put("proc/self/cgroup", "4:memory:/a/b\n1:cpu:/\n0::/a\n");
    put("proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "3221225472\n");
    put("sys/fs/cgroup/unified/a/cpu.max", "100000 100000\n");
    assert_int_equal(probe_cpu()->memory_bytes, 3 * GIB);
    assert_int_equal(inventory.machines[0].row.cpu_milli, 1000);
}

/* Outside of our namespace nothing can be seen but the mount itself. */
static void test_cgroup_outside(void **state)
{
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/../../elsewhere\n");
    put("proc/self/mountinfo", mounts_v2);
    put("sys/fs/cgroup/memory.max", "1073741824\n");
    put("elsewhere/memory.max", "1\n");
    assert_int_equal(probe_cpu()->memory_bytes, GIB);
}

static void test_odd_content(void **state)
{
    static const char *const files[] = { "proc/cpuinfo", "proc/meminfo", "proc/self/status", "sys/devices/system/cpu/online",
                                         "proc/sys/kernel/hostname", "proc/self/cgroup", "proc/self/mountinfo",
                                         "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.stat" };
    static const char *const contents[] = {
        "",
        "\n",
        "\n\n\n",
        "-",
        ":",
        "::",
        "0::",
        "0::\n",
        "99999999999999999999999999",
        "max",
        "max max max",
        "- - - -",
        " - cgroup2 x y",
        "1 2 3 / / - - cgroup2 a b",
        "0-",
        "0--",
        "5-1",
        "0-99999999",
        "1,,2",
        "MemTotal:",
        "MemTotal: -5 kB",
        "MemTotal: 99999999999999999999 kB",
        "\xff\xfe\xfd",
        "model name\t:",
        "model name : \x01\x02 \xc3\x28",
        "Cpus_allowed_list:",
        "\\",
        "\\04",
        "0 0",
        "100000 0",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(files); i++)
        for (size_t j = 0; j < COUNT(contents); j++) {
            put_machine();
            put("proc/self/cgroup", "0::/\n");
            put("proc/self/mountinfo", mounts_v2);
            put("sys/fs/cgroup/memory.max", "8589934592\n");
            put("sys/fs/cgroup/cpu.max", "100000 100000\n");
            put(files[i], contents[j]);
            assert_true(probe_cpu()->memory_bytes >= -1);
            assert_true(inventory.machines[0].row.cpu_milli >= -1);
        }
}

/* A pipe has nobody at its other end; a folder is no file. */
static void test_never_waits(void **state)
{
    char *pipe = test_join(root, "proc/meminfo"), *folder = test_join(root, "proc/cpuinfo");

    (void)state;
    put_machine();
    unlink(pipe);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    unlink(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(probe_cpu()->memory_bytes, -1);
    assert_string_equal(inventory.machines[0].row.chip, "CPU");
    free(pipe);
    free(folder);
}

/* ---- NVIDIA ---- */

static void build_nvml(const char *macros)
{
    char *command = NULL;

    put("dev/nvidiactl", "");
    put("usr/lib/libnvidia-ml.so.1", "");
    assert_true(asprintf(&command,
                         "${CC:-cc} -shared -fPIC %s -o '%s/usr/lib/libnvidia-ml.so.1' '%s/tests/accelerator/fake_nvml.c'",
                         macros, root, source_root) > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

static void probe_nvidia(void)
{
    tn_inventory_clear(&inventory);
    tn_inventory_init(&inventory, &memory);
    assert_int_equal(tn_probe_cpu(&inventory, root), TENON_OK);
    assert_int_equal(tn_probe_nvidia(&inventory, root), TENON_OK);
}

static void test_nvidia(void **state)
{
    const struct machine *machine;

    (void)state;
    put_machine();
    build_nvml("");
    probe_nvidia();
    assert_int_equal(inventory.count, 4);
    machine = &inventory.machines[2];
    assert_string_equal(machine->row.name, "local:cuda:1");
    assert_string_equal(machine->row.vendor, "nvidia");
    assert_string_equal(machine->row.chip, "NVIDIA H100 80GB HBM3");
    assert_string_equal(machine->row.driver, "570.124.06");
    assert_string_equal(machine->row.machine_type, "node-17");
    assert_int_equal(machine->row.chips, 1);
    assert_int_equal(machine->row.memory_bytes, 85520809984);
    assert_int_equal(machine->row.memory_free_bytes, 85520809984 - 1500000000);
    assert_int_equal(machine->row.host_memory_bytes, 16 * GIB);
    assert_int_equal(machine->capability, 90);
    assert_string_equal(machine->uuid, "GPU-0a1b2c3d-0000-0000-0000-000000000002");
    assert_non_null(strstr(machine->row.json, "\"compute_capability\":\"9.0\""));
    assert_non_null(strstr(machine->row.json, "\"cuda_version\":\"12.8\""));
    assert_non_null(strstr(machine->row.json, "{\"CUDA_VISIBLE_DEVICES\":\"GPU-0a1b2c3d-0000-0000-0000-000000000002\"}"));
    machine = &inventory.machines[3];
    assert_string_equal(machine->row.name, "local:cuda");
    assert_int_equal(machine->row.chips, 2);
    assert_int_equal(machine->row.memory_free_bytes, 85520809984 - 1500000000);
    assert_non_null(strstr(machine->row.json, "-000000000001,GPU-0a1b"));
}

static void test_nvidia_slices(void **state)
{
    (void)state;
    build_nvml("-DDEVICES=1 -DMIG=1");
    probe_nvidia();
    assert_int_equal(inventory.count, 2);
    assert_int_equal(inventory.machines[1].row.memory_bytes, 21197029376);
    assert_string_equal(inventory.machines[1].uuid, "MIG-0a1b2c3d-0000-0000-0000-000000000011");
    assert_non_null(strstr(inventory.machines[1].row.json,
                           "\"mig\":[{\"uuid\":\"MIG-0a1b2c3d-0000-0000-0000-000000000010\",\"memory_bytes\":10401873920}"));
    assert_non_null(
        strstr(inventory.machines[1].row.json, "{\"CUDA_VISIBLE_DEVICES\":\"MIG-0a1b2c3d-0000-0000-0000-000000000011\"}"));
}

static void test_nvidia_faults(void **state)
{
    (void)state;
    /* No library, something that is no library, one without the functions, one whose driver does not answer. */
    put("dev/nvidiactl", "");
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    put("usr/lib/libnvidia-ml.so.1", "this is not a library");
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    build_nvml("-DnvmlDeviceGetCount_v2=another");
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    build_nvml("-DINIT=9");
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    build_nvml("-DDEVICES=0");
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    /* One of three is lost: the others keep their numbers. */
    build_nvml("-DDEVICES=3 -DBROKEN=1");
    probe_nvidia();
    assert_int_equal(inventory.count, 4);
    assert_string_equal(inventory.machines[2].row.name, "local:cuda:2");
    /* Without UUIDs devices are chosen by number. */
    build_nvml("-DWITHOUT_UUID");
    probe_nvidia();
    assert_non_null(strstr(inventory.machines[1].row.json, "{\"CUDA_VISIBLE_DEVICES\":\"0\"}"));
    assert_non_null(strstr(inventory.machines[3].row.json, "{\"CUDA_VISIBLE_DEVICES\":\"0,1\"}"));
    build_nvml("-DODD=1");
    probe_nvidia();
    assert_int_equal(inventory.machines[1].row.memory_free_bytes, -1);
    assert_int_equal(inventory.machines[1].capability, 0);
}

/* Without a device node the library is not even loaded. */
static void test_nvidia_without_device(void **state)
{
    char *node = test_join(root, "dev/nvidiactl");

    (void)state;
    build_nvml("");
    assert_int_equal(unlink(node), 0);
    probe_nvidia();
    assert_int_equal(inventory.count, 1);
    free(node);
}

/* ---- AMD ---- */

#define NODES "sys/class/kfd/kfd/topology/nodes/"
#define CARD(number) "sys/class/drm/renderD" number "/device/"

static void put_amd(const char *node, const char *minor)
{
    char *text = NULL, *path = NULL;

    assert_true(asprintf(&path, NODES "%s/properties", node) > 0);
    assert_true(asprintf(&text, "cpu_cores_count 0\nsimd_count 1216\nvendor_id 4098\ndevice_id 29857\ngfx_target_version 90402\n"
                                "drm_render_minor %s\n", minor) > 0);
    put(path, text);
    free(path);
    free(text);
}

static void test_amd(void **state)
{
    const struct machine *machine;

    (void)state;
    put("dev/kfd", "");
    put("sys/module/amdgpu/version", "6.10.5\n");
    put(NODES "0/properties", "cpu_cores_count 96\nsimd_count 0\nvendor_id 0\n");
    put_amd("10", "129");
    put_amd("9", "128");
    put(CARD("128") "mem_info_vram_total", "206141652992\n");
    put(CARD("128") "mem_info_vram_used", "297271296\n");
    put(CARD("128") "product_name", "AMD Instinct MI300X\n");
    assert_int_equal(tn_probe_amd(&inventory, root), TENON_OK);
    assert_int_equal(inventory.count, 3);
    machine = &inventory.machines[0];
    assert_string_equal(machine->row.name, "local:rocm:0");
    assert_string_equal(machine->row.vendor, "amd");
    assert_string_equal(machine->row.chip, "AMD Instinct MI300X");
    assert_string_equal(machine->row.driver, "6.10.5");
    assert_int_equal(machine->row.memory_bytes, 206141652992);
    assert_int_equal(machine->row.memory_free_bytes, 206141652992 - 297271296);
    assert_non_null(strstr(machine->row.json, "\"architecture\":\"gfx942\""));
    assert_non_null(strstr(machine->row.json, "{\"HIP_VISIBLE_DEVICES\":\"0\"}"));
    assert_string_equal(inventory.machines[1].row.chip, "AMD gfx942");
    assert_int_equal(inventory.machines[1].row.memory_bytes, -1);
    assert_string_equal(inventory.machines[2].row.name, "local:rocm");
    assert_int_equal(inventory.machines[2].row.memory_bytes, -1);
}

static void test_amd_without_device(void **state)
{
    (void)state;
    put_amd("1", "128");
    assert_int_equal(tn_probe_amd(&inventory, root), TENON_OK);
    assert_int_equal(inventory.count, 0);
}

static void test_amd_odd(void **state)
{
    static const char *const contents[] = {
        "",
        "simd_count",
        "simd_count \n",
        "simd_count 99999999999999999999\n",
        "simd_count -1\n",
        " 5\n",
        "simd_count 4\nvendor_id 4098\ngfx_target_version 99999999999\ndrm_render_minor 99999999999\n"
    };

    (void)state;
    put("dev/kfd", "");
    for (size_t i = 0; i < COUNT(contents); i++) {
        put(NODES "0/properties", contents[i]);
        tn_inventory_clear(&inventory);
        tn_inventory_init(&inventory, &memory);
        assert_int_equal(tn_probe_amd(&inventory, root), TENON_OK);
        assert_int_equal(inventory.count, i == COUNT(contents) - 1);
    }
}

/* ---- TPU ---- */

static void put_pci(const char *slot, const char *vendor, const char *device)
{
    char path[128];

    snprintf(path, sizeof path, "sys/bus/pci/devices/%s/vendor", slot);
    put(path, vendor);
    snprintf(path, sizeof path, "sys/bus/pci/devices/%s/device", slot);
    put(path, device);
}

static void test_tpu(void **state)
{
    (void)state;
    put_pci("0000:00:03.0", "0x1ae0\n", "0x0042\n"); /* the network card of the same maker */
    put_pci("0000:00:04.0", "0x1ae0\n", "0x0063\n");
    put_pci("0000:00:05.0", "0x1ae0\n", "0x0063\n");
    put_pci("0000:00:06.0", "0x8086\n", "0x0063\n");
    put_pci("0000:00:07.0", "nonsense", "0x0063\n");
    put_pci("0000:00:08.0", "0x1ae0\n", "0x0063\n");
    put_pci("0000:00:09.0", "0x1ae0\n", "0x0063\n");
    put("dev/vfio/0", "");
    assert_int_equal(tn_probe_tpu(&inventory, root), TENON_OK);
    assert_int_equal(inventory.count, 1);
    assert_string_equal(inventory.machines[0].row.name, "local:tpu");
    assert_string_equal(inventory.machines[0].row.chip, "tpu-v5e");
    assert_string_equal(inventory.machines[0].row.vendor, "google");
    assert_int_equal(inventory.machines[0].row.chips, 4);
    assert_int_equal(inventory.machines[0].row.memory_bytes, 16 * GIB);
    assert_int_equal(inventory.machines[0].row.memory_free_bytes, -1);
    assert_non_null(strstr(inventory.machines[0].row.json, "\"device_node\":true"));
}

/* ---- names ---- */

static void expect_name(const char *text, const char *name)
{
    const struct machine *machine = NULL;
    struct locator locator;

    if (tn_locator_parse(text, &locator, &failure) != TENON_OK ||
        tn_locator_resolve(&locator, &inventory, &machine, &failure) != TENON_OK)
        fail_msg("%s: %s", text, failure.message);
    if (strcmp(machine->row.name, name) != 0)
        fail_msg("%s is %s and not %s", text, machine->row.name, name);
}

static void expect_failure(const char *text, tenon_status status, const char *hint)
{
    const struct machine *machine = NULL;
    struct locator locator;
    tenon_status found = tn_locator_parse(text, &locator, &failure);

    if (found == TENON_OK)
        found = tn_locator_resolve(&locator, &inventory, &machine, &failure);
    if (found != status || failure.hint == NULL || strstr(failure.hint, hint) == NULL)
        fail_msg("%s: %s, %s, %s", text, tenon_status_name(found), failure.message, failure.hint);
}

static void test_names(void **state)
{
    (void)state;
    put_machine();
    build_nvml("");
    put("dev/kfd", "");
    put_amd("1", "128");
    probe_nvidia();
    assert_int_equal(tn_probe_amd(&inventory, root), TENON_OK);
    assert_int_equal(tn_probe_tpu(&inventory, root), TENON_OK);
    expect_name("local:cpu", "local:cpu");
    expect_name("cpu", "local:cpu");
    expect_name("cpu:0", "local:cpu");
    expect_name(" Local : CUDA : 1 ", "local:cuda:1");
    expect_name("cuda:0", "local:cuda:0");
    expect_name("local:nvidia", "local:cuda");
    expect_name("local:gpu:1", "local:cuda:1");
    expect_name("local:cuda:GPU-0a1b2c3d-0000-0000-0000-000000000002", "local:cuda:1");
    expect_name("local:hip", "local:rocm:0");
    expect_name("LOCAL:AMD:0", "local:rocm:0");
    expect_name("local", "local:cuda");
    expect_failure("local:gpu", TENON_ERROR_AMBIGUOUS, "local:cuda or local:rocm:0");
    expect_failure("local:gpu:0", TENON_ERROR_AMBIGUOUS, "local:cuda:0 or local:rocm:0");
    expect_failure("local:cuda:GPU-0a1b", TENON_ERROR_AMBIGUOUS, "local:cuda:0 or local:cuda:1");
    expect_failure("local:cuda:2", TENON_ERROR_NOT_FOUND, "local:cpu, local:cuda:0, local:cuda:1, local:cuda, local:rocm:0");
    expect_failure("local:cuda:GPU-ffff", TENON_ERROR_NOT_FOUND, "local:cuda:0");
    expect_failure("local:tpu", TENON_ERROR_NOT_FOUND, "local:cpu");
    expect_failure("local:cpu:1", TENON_ERROR_NOT_FOUND, "local:cpu");
    expect_failure("local:neuron", TENON_ERROR_NOT_FOUND, "local:cpu");
    expect_failure("vertex:us-west4/v5e-8", TENON_ERROR_UNSUPPORTED, "local");
    expect_failure("k8s:context/ns/v5e-2x4", TENON_ERROR_UNSUPPORTED, "local");
    expect_failure("hf:a10g-small", TENON_ERROR_UNSUPPORTED, "local");
    expect_failure("a3-highgpu-8g", TENON_ERROR_UNSUPPORTED, "local");
    expect_failure("", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure(":", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure(":cuda", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:cuda:x", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:cuda:-1", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:cuda:99999999999", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:cuda:0,1", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("local:cuda:0:0", TENON_ERROR_ARGUMENT, "local:cuda:0");
    expect_failure("cuda:0:1", TENON_ERROR_ARGUMENT, "local:cuda:0");
}

static void test_best(void **state)
{
    (void)state;
    put_machine();
    probe_nvidia();
    expect_name("local", "local:cpu");
    put_pci("0000:00:04.0", "0x1ae0\n", "0x0063\n");
    assert_int_equal(tn_probe_tpu(&inventory, root), TENON_OK);
    expect_name("local", "local:tpu");
}

/* ---- the public calls ---- */

static tenon_context *open_here(void)
{
    char *setting = NULL;
    const char *settings[] = { NULL, NULL };
    tenon_context *context;

    assert_true(asprintf(&setting, "accelerator.root=%s", root) > 0);
    settings[0] = setting;
    context = test_open(&(struct test_hooks){ .settings = settings });
    free(setting);
    return context;
}

static void test_public(void **state)
{
    tenon_context *context;
    tenon_accelerator *accelerator = NULL;
    tenon_machine machine = { .struct_size = sizeof machine };
    tenon_error error = { .struct_size = sizeof error };
    tenon_task *task = NULL;
    int rows = 0;

    (void)state;
    put_machine();
    build_nvml("");
    context = open_here();
    assert_int_equal(tenon_accelerator_open(context, "local:cuda:7", &accelerator), TENON_ERROR_NOT_FOUND);
    assert_int_equal(tenon_context_error(context, &error), TENON_OK);
    assert_non_null(strstr(error.hint, "local:cuda:1"));
    assert_int_equal(tenon_accelerator_open(context, NULL, &accelerator), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_accelerator_open(context, "local", NULL), TENON_ERROR_ARGUMENT);
    assert_int_equal(tenon_accelerator_open(context, "local:cuda:1", &accelerator), TENON_OK);
    assert_int_equal(tenon_accelerator_list(context, "local", &task), TENON_OK);
    tenon_context_free(context);
    assert_int_equal(tenon_accelerator_facts(accelerator, &machine), TENON_OK);
    assert_string_equal(machine.name, "local:cuda:1");
    assert_string_equal(machine.topology, "");
    assert_int_equal(tenon_accelerator_facts(accelerator, NULL), TENON_ERROR_ARGUMENT);
    tenon_accelerator_free(tenon_accelerator_ref(accelerator));
    tenon_accelerator_free(accelerator);
    tenon_accelerator_free(NULL);
    assert_null(tenon_accelerator_ref(NULL));
    while (tenon_task_next_machine(task, -1, &machine) == TENON_OK)
        rows++;
    assert_int_equal(rows, 4);
    assert_int_equal(tenon_task_state(task), TENON_OK);
    tenon_task_free(task);
}

static void test_unknown_place(void **state)
{
    tenon_context *context = open_here();
    tenon_task *task = NULL;

    (void)state;
    assert_int_equal(tenon_accelerator_list(context, "vertex", &task), TENON_ERROR_UNSUPPORTED);
    assert_null(task);
    assert_int_equal(tenon_accelerator_list(context, NULL, NULL), TENON_OK);
    assert_int_equal(tenon_accelerator_list(context, "LOCAL", NULL), TENON_OK);
    tenon_context_free(context);
}

/* This very machine, whatever it is. */
static void test_here(void **state)
{
    tenon_context *context = test_open(NULL);
    tenon_accelerator *accelerator = NULL;
    tenon_machine machine = { .struct_size = sizeof machine };

    (void)state;
    assert_int_equal(tenon_accelerator_open(context, "local:cpu", &accelerator), TENON_OK);
    assert_int_equal(tenon_accelerator_facts(accelerator, &machine), TENON_OK);
    assert_true(machine.memory_bytes > 0 && machine.memory_free_bytes > 0 && machine.memory_free_bytes <= machine.memory_bytes);
    assert_true(machine.cpu_milli > 0 && machine.cpu_milli <= 1000 * sysconf(_SC_NPROCESSORS_CONF));
    assert_true(machine.chip[0] != '\0');
    tenon_accelerator_free(accelerator);
    assert_int_equal(tenon_accelerator_open(context, "local", &accelerator), TENON_OK);
    tenon_accelerator_free(accelerator);
    tenon_context_free(context);
}

/* ---- memory runs out ---- */

static tenon_status probe_all(struct test_memory *counts)
{
    struct memory counting = test_memory(counts);
    struct inventory found;
    tenon_status status;

    tn_inventory_init(&found, &counting);
    status = tn_probe_cpu(&found, root);
    if (status == TENON_OK)
        status = tn_probe_nvidia(&found, root);
    if (status == TENON_OK)
        status = tn_probe_amd(&found, root);
    if (status == TENON_OK)
        status = tn_probe_tpu(&found, root);
    tn_inventory_clear(&found);
    return status;
}

static void test_no_memory(void **state)
{
    (void)state;
    put_machine();
    put("proc/self/cgroup", "0::/a/b\n");
    put("proc/self/mountinfo", mounts_v2);
    put("sys/fs/cgroup/a/memory.max", "8589934592\n");
    build_nvml("");
    put("dev/kfd", "");
    put_amd("1", "128");
    put_amd("2", "129");
    put_pci("0000:00:04.0", "0x1ae0\n", "0x0063\n");
    test_every_failure(probe_all);
}

static char *setting_of_root;

static tenon_status list_all(struct test_memory *counts)
{
    const char *settings[] = { setting_of_root, NULL };
    tenon_machine machine = { .struct_size = sizeof machine };
    tenon_accelerator *accelerator = NULL;
    tenon_context *context = NULL;
    tenon_task *task = NULL;
    tenon_status status = test_try_open(&(struct test_hooks){ .memory = counts, .settings = settings }, &context);

    if (status == TENON_OK)
        status = tenon_accelerator_open(context, "local:cuda:0", &accelerator);
    if (status == TENON_OK)
        status = tenon_accelerator_list(context, NULL, &task);
    while (status == TENON_OK)
        status = tenon_task_next_machine(task, -1, &machine);
    tenon_task_free(task);
    tenon_accelerator_free(accelerator);
    tenon_context_free(context);
    return status == TENON_DONE ? TENON_OK : status;
}

static void test_no_memory_in_calls(void **state)
{
    (void)state;
    put_machine();
    build_nvml("");
    assert_true(asprintf(&setting_of_root, "accelerator.root=%s", root) > 0);
    test_every_failure(list_all);
    free(setting_of_root);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cpu, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cpu_affinity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cpu_arm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cpu_on_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cgroup_v2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cgroup_v1, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cgroup_hybrid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cgroup_outside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_never_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nvidia, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nvidia_slices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nvidia_faults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nvidia_without_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_amd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_amd_without_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_amd_odd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tpu, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_best, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_public, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_here, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_in_calls, set_up, tear_down),
    };

    source_root = argc > 1 ? argv[1] : ".";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
