#include "watch.h"

#include <sys/inotify.h>
#include <unistd.h>

struct watcher {
    struct tenon_context *context;
    struct source source;
    struct link watches;
};

static void wake_watches(struct watcher *watcher, int descriptor)
{
    for (struct link *link = watcher->watches.next; link != &watcher->watches; link = link->next) {
        struct watch *watch = TN_CONTAINER(link, struct watch, link);

        if (watch->descriptor == descriptor || descriptor < 0)
            tn_co_wake(watch->co);
    }
}

static void events_ready(struct source *source, unsigned events)
{
    struct watcher *watcher = TN_CONTAINER(source, struct watcher, source);
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t length;

    (void)events;
    while ((length = read(source->fd, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < length;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)(buffer + at);

            /* After an overflow (descriptor -1) everybody looks. */
            wake_watches(watcher, event->wd);
            at += (ssize_t)(sizeof *event + event->len);
        }
}

static void watcher_destroy(void *object)
{
    struct watcher *watcher = object;
    struct tenon_context *context = watcher->context;

    if (!tn_forked(context))
        tn_source_unwatch(&context->loop, &watcher->source);
    close(watcher->source.fd);
    tn_release(&context->memory, watcher);
}

/* The context's watcher, made when it is first needed; NULL where there is none to be had. */
static struct watcher *watcher_of(struct tenon_context *context)
{
    struct attachment *attachment = &context->attachments[ATTACH_WATCHER];
    struct watcher *watcher = attachment->object;

    if (watcher != NULL)
        return watcher;
    watcher = tn_alloc(&context->memory, sizeof *watcher);
    if (watcher == NULL)
        return NULL;
    watcher->context = context;
    watcher->source.ready = events_ready;
    tn_list_init(&watcher->watches);
    watcher->source.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watcher->source.fd < 0 || tn_source_watch(&context->loop, &watcher->source, TN_READABLE) != TENON_OK) {
        if (watcher->source.fd >= 0)
            close(watcher->source.fd);
        tn_release(&context->memory, watcher);
        return NULL;
    }
    attachment->object = watcher;
    attachment->destroy = watcher_destroy;
    return watcher;
}

bool tn_watch_folder(struct watch *watch, struct tenon_context *context, const char *path, struct co *co)
{
    struct watcher *watcher = watcher_of(context);

    tn_watch_stop(watch);
    if (watcher == NULL)
        return false;
    watch->descriptor = inotify_add_watch(watcher->source.fd, path,
                                          IN_CREATE | IN_MODIFY | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR);
    if (watch->descriptor < 0)
        return false;
    watch->context = context;
    watch->co = co;
    tn_list_add(&watcher->watches, &watch->link);
    return true;
}

void tn_watch_stop(struct watch *watch)
{
    struct tenon_context *context = watch->context;
    struct watcher *watcher;
    bool shared = false;

    if (context == NULL)
        return;
    watcher = context->attachments[ATTACH_WATCHER].object;
    tn_unlink(&watch->link);
    watch->context = NULL;
    /* The system gives one number to all who watch the same folder. */
    for (struct link *link = watcher->watches.next; link != &watcher->watches; link = link->next)
        shared = shared || TN_CONTAINER(link, struct watch, link)->descriptor == watch->descriptor;
    if (!shared && !tn_forked(context))
        inotify_rm_watch(watcher->source.fd, watch->descriptor);
}
