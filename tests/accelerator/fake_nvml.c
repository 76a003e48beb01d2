/*
 * A stand-in for NVIDIA's management library, built by the tests with what it shall say:
 *
 *   DEVICES=n        how many devices there are (2)
 *   INIT=n           what nvmlInit_v2 answers (0)
 *   BROKEN=n         the index of a device that has fallen off the bus (-1)
 *   MIG=1            the devices are in MIG mode, with two slices each
 *   ODD=1            answers that make no sense: names without an end, more free than there is
 *   WITHOUT_UUID     there is no such function, as in very old drivers
 */
#include <stdint.h>
#include <string.h>

#ifndef DEVICES
#define DEVICES 2
#endif
#ifndef INIT
#define INIT 0
#endif
#ifndef BROKEN
#define BROKEN -1
#endif
#ifndef MIG
#define MIG 0
#endif
#ifndef ODD
#define ODD 0
#endif

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, LOST = 15 };

struct memory {
    unsigned long long total, free, used;
};

/* Handles: 1 and up are devices, 100 and up the slices of the first, 200 of the second. */
static uintptr_t number_of(void *device)
{
    return (uintptr_t)device;
}

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlSystemGetDriverVersion(char *text, unsigned size);
int nvmlSystemGetCudaDriverVersion_v2(int *version);
int nvmlDeviceGetCount_v2(unsigned *count);
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device);
int nvmlDeviceGetName(void *device, char *text, unsigned size);
int nvmlDeviceGetUUID(void *device, char *text, unsigned size);
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory);
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor);
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later);
int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count);
int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice);

static int put(char *text, unsigned size, const char *value)
{
    if (ODD) {
        memset(text, 0xff, size);
        return OK;
    }
    strncpy(text, value, size);
    return OK;
}

int nvmlInit_v2(void)
{
    return INIT;
}

int nvmlShutdown(void)
{
    return OK;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
    return put(text, size, "570.124.06");
}

int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    *version = 12080;
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = DEVICES;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if ((int)index == BROKEN)
        return LOST;
    *device = (void *)(uintptr_t)(index + 1);
    return index < DEVICES ? OK : INVALID;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    (void)device;
    return put(text, size, "NVIDIA H100 80GB HBM3");
}

#ifndef WITHOUT_UUID
int nvmlDeviceGetUUID(void *device, char *text, unsigned size)
{
    char uuid[] = "GPU-0a1b2c3d-0000-0000-0000-000000000000";

    uuid[strlen(uuid) - 1] = (char)('0' + number_of(device) % 10);
    if (number_of(device) >= 100) {
        memcpy(uuid, "MIG", 3);
        uuid[strlen(uuid) - 2] = (char)('0' + number_of(device) / 100);
    }
    return put(text, size, uuid);
}
#endif

int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory)
{
    memory->total = 85520809984ULL;
    if (number_of(device) >= 100)
        memory->total = number_of(device) % 2 == 0 ? 10401873920ULL : 21197029376ULL;
    memory->free = memory->total - 500000000ULL * (number_of(device) % 100 + 1);
    if (ODD)
        memory->free = memory->total + 1;
    memory->used = memory->total - memory->free;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{
    (void)device;
    *major = ODD ? -5 : 9;
    *minor = 0;
    return OK;
}

int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *later)
{
    (void)device;
    *now = *later = MIG;
    return MIG ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *count)
{
    (void)device;
    *count = 7;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice)
{
    if (index > 1)
        return NOT_SUPPORTED;
    *slice = (void *)(number_of(device) * 100 + index);
    return OK;
}
