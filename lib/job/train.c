/* tenon_job_train and tenon_job_serve: an order is read, and given to its place. */
#include <string.h>

#include "order.h"
#include "place.h"

static tenon_status submit(struct tenon_context *context, const tenon_job_options *given, int32_t mode, tenon_job **job)
{
    tenon_job_options options;
    const struct place *place;
    struct order order;
    tenon_status status;

    if (given == NULL || job == NULL)
        return tn_fail(&context->failure, TENON_ERROR_ARGUMENT, "options or job is NULL");
    status = tn_options(context, given, &options, sizeof options);
    if (status == TENON_OK)
        status = tn_order_read(&order, context, &options, mode);
    if (status != TENON_OK)
        return status;
    place = tn_place_find(order.accelerator, strcspn(order.accelerator, ":"), &context->failure);
    status = place != NULL ? place->submit(&order, job) : context->failure.status;
    tn_order_clear(&order);
    return status;
}

tenon_status tenon_job_train(tenon_context *context, const tenon_job_options *options, tenon_job **job)
{
    tenon_status status = tn_enter(context);

    return status == TENON_OK ? tn_leave(context, submit(context, options, TENON_MODE_TRAIN, job)) : status;
}

tenon_status tenon_job_serve(tenon_context *context, const tenon_job_options *options, tenon_job **job)
{
    tenon_status status = tn_enter(context);

    return status == TENON_OK ? tn_leave(context, submit(context, options, TENON_MODE_SERVE, job)) : status;
}
