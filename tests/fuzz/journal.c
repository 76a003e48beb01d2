/*
 * The journal of a partial download. The input is taken as it is, and once more as the lines above the check, with the check
 * that belongs to them: else a fuzzer would never get past it. What is read can be written, and is read again as it was.
 */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hash.h"
#include "journal.h"
#include "path.h"

enum { SLOT = 4096 };

static void check(const struct journal *journal)
{
    int64_t last = -1;

    HOLDS(tn_path_is_safe(journal->data, NULL) && strchr(journal->data, '/') == NULL);
    HOLDS(journal->size >= 0 && journal->sequence >= 0 && journal->owner >= 0 && journal->durable.count <= TN_RANGES);
    for (int32_t i = 0; i < journal->durable.count; i++) {
        HOLDS(journal->durable.at[i].first > last && journal->durable.at[i].end > journal->durable.at[i].first);
        last = journal->durable.at[i].end;
        HOLDS(last <= journal->size);
    }
    HOLDS(tn_ranges_sum(&journal->durable) <= journal->size);
}

static bool same(const struct journal *a, const struct journal *b)
{
    return strcmp(a->data, b->data) == 0 && a->size == b->size && a->sequence == b->sequence && a->owner == b->owner &&
           a->owner_start == b->owner_start && strcmp(a->world, b->world) == 0 && a->durable.count == b->durable.count &&
           memcmp(a->durable.at, b->durable.at, (size_t)a->durable.count * sizeof a->durable.at[0]) == 0;
}

static void write_and_read(const struct journal *journal, struct failure *failure)
{
    char path[64];
    struct journal again;
    int fd = memfd_create("journal", 0);

    HOLDS(fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (tn_journal_write(fd, journal, path, fuzz_memory(), failure) == TENON_OK)
        HOLDS(tn_journal_read(path, fuzz_memory(), &again) && same(journal, &again));
    close(fd);
}

static void read_one(const char *text, size_t size)
{
    struct journal journal;
    struct failure failure;

    tn_failure_init(&failure, fuzz_memory(), NULL);
    if (tn_journal_parse(text, size, &journal, &failure)) {
        check(&journal);
        write_and_read(&journal, &failure);
    }
    tn_failure_clear(&failure);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char slot[SLOT] = "", hex[TN_HEX_MOST + 1];
    struct failure failure;

    if (size == 0 || size >= SLOT - 100)
        return -1;
    read_one((const char *)bytes, size);
    tn_failure_init(&failure, fuzz_memory(), NULL);
    memcpy(slot, bytes, size);
    HOLDS(tn_hash_bytes(HASH_SHA256, bytes, size, hex, &failure) == TENON_OK);
    snprintf(slot + size, SLOT - size, "check %s\n", hex);
    read_one(slot, sizeof slot);
    tn_failure_clear(&failure);
    return 0;
}
