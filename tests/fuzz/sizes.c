#include "sizes.h"

#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "number.h"
#include "offer.h"

static void check_offer(const struct model_facts *facts, const struct machine *machine, int32_t purpose)
{
    struct question question = { .purpose = purpose, .sequences = 1, .rank = 16 };
    struct offer offer = { .reason_count = 0 };
    struct arena arena;
    int64_t low = 0;

    tn_arena_init(&arena, fuzz_memory());
    tn_question_finish(&question, facts);
    HOLDS(tn_offer_make(facts, machine, &question, &arena, &offer) == TENON_OK);
    HOLDS(offer.sized.count > 0 && offer.sized.count <= SIZED_MOST && offer.reason_count <= REASONS_MOST);
    for (size_t i = 0; i < offer.sized.count; i++) {
        const tenon_memory *item = &offer.sized.items[i];

        HOLDS(item->low_bytes >= 0 && item->low_bytes <= item->high_bytes && fuzz_is_utf8(item->formula));
        low = i + 1 < offer.sized.count ? tn_plus(low, item->low_bytes) : low;
    }
    HOLDS(offer.sized.low == low && low <= offer.sized.high && offer.sized.token_bytes >= 0);
    tn_arena_clear(&arena);
}

void fuzz_check_model(struct model_facts *facts)
{
    static const int32_t purposes[] = { TENON_PURPOSE_SERVE, TENON_PURPOSE_TRAIN, TENON_PURPOSE_LORA };
    static const struct {
        enum machine_kind kind;
        int32_t chips;
    } machines[] = { { MACHINE_CPU, 1 }, { MACHINE_CUDA, 1 }, { MACHINE_CUDA, 8 }, { MACHINE_TPU, 4 } };
    struct inventory inventory;
    json_t *json = json_object();

    tn_facts_finish(facts);
    HOLDS(facts->parameters >= -1 && facts->active >= -1 && facts->weights.bytes >= 0 && facts->weights.elements >= 0);
    HOLDS(facts->weights.dtype_count <= DTYPES_MOST);
    HOLDS(tn_facts_json(facts, json));
    json_decref(json);
    tn_inventory_init(&inventory, fuzz_memory());
    for (size_t i = 0; i < COUNT(machines); i++) {
        struct machine *machine = tn_inventory_add(&inventory, machines[i].kind, (int32_t)i);

        HOLDS(machine != NULL);
        machine->row.chips = machines[i].chips;
        for (size_t j = 0; j < COUNT(purposes); j++)
            check_offer(facts, machine, purposes[j]);
    }
    tn_inventory_clear(&inventory);
}
