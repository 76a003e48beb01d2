#include "queue.h"

#include <string.h>

#include "request.h"

/* The connections of one origin. It is there as long as somebody waits or runs. Those that wait are woken in order. */
struct slots {
    struct link link;
    struct tenon_context *context;
    struct link waiting;
    int64_t taken;
    char origin[];
};

/* The list of all of them. */
struct origins {
    struct tenon_context *context;
    struct link slots;
};

static void origins_free(void *object)
{
    struct origins *origins = object;

    tn_release(&origins->context->memory, origins);
}

static struct origins *origins_of(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_SLOTS_OF_TRANSPORT];
    struct origins *origins = attachment->object;

    if (origins == NULL) {
        origins = tn_alloc(&context->memory, sizeof *origins);
        if (origins == NULL)
            return NULL;
        origins->context = context;
        tn_list_init(&origins->slots);
        attachment->object = origins;
        attachment->destroy = origins_free;
    }
    return origins;
}

static struct slots *find_slots(const struct origins *origins, const char *origin)
{
    for (struct link *link = origins->slots.next; link != &origins->slots; link = link->next) {
        struct slots *slots = TN_CONTAINER(link, struct slots, link);

        if (strcmp(slots->origin, origin) == 0)
            return slots;
    }
    return NULL;
}

/* The slots of the address that is asked next; NULL without memory. What is no address stands in line under "". */
static struct slots *slots_of(struct request *request)
{
    struct origins *origins = origins_of(request->context);
    const struct memory *memory = &request->context->memory;
    const char *origin = request->origin.failed ? "" : tn_text(&request->origin);
    struct slots *slots = origins != NULL ? find_slots(origins, origin) : NULL;

    if (origins != NULL && slots == NULL) {
        slots = tn_alloc(memory, sizeof *slots + strlen(origin) + 1);
        if (slots != NULL) {
            slots->context = request->context;
            memcpy(slots->origin, origin, strlen(origin) + 1);
            tn_list_init(&slots->waiting);
            tn_list_add(&origins->slots, &slots->link);
        }
    }
    return slots;
}

static bool has_slot(const struct slots *slots)
{
    return slots->taken < tn_setting_integer(&slots->context->settings, SETTING_TRANSPORT_CONNECTIONS);
}

static void wake_next(const struct slots *slots)
{
    if (!tn_list_empty(&slots->waiting) && has_slot(slots))
        tn_co_wake(&TN_CONTAINER(slots->waiting.next, struct request, waiting)->co);
}

bool tn_queue_enter(struct request *request)
{
    if (request->slots == NULL)
        request->slots = slots_of(request);
    if (request->slots != NULL && !request->holds_slot && has_slot(request->slots)) {
        tn_unlink(&request->waiting);
        request->slots->taken++;
        request->holds_slot = true;
        wake_next(request->slots);
    } else if (request->slots != NULL && !request->holds_slot && !tn_linked(&request->waiting))
        tn_list_add(&request->slots->waiting, &request->waiting);
    return request->slots == NULL || request->holds_slot;
}

void tn_queue_leave(struct request *request)
{
    struct slots *slots = request->slots;

    if (slots == NULL)
        return;
    request->slots = NULL;
    tn_unlink(&request->waiting);
    slots->taken -= request->holds_slot;
    request->holds_slot = false;
    wake_next(slots);
    if (slots->taken == 0 && tn_list_empty(&slots->waiting)) {
        tn_unlink(&slots->link);
        tn_release(&slots->context->memory, slots);
    }
}
