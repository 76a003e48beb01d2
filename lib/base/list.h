/* A doubly linked list through a member of its items. A link that is in no list points to itself or is all zero. */
#ifndef TN_LIST_H
#define TN_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *previous;
    struct link *next;
};

#define TN_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

static inline void tn_list_init(struct link *list)
{
    list->previous = list;
    list->next = list;
}

static inline bool tn_list_empty(const struct link *list)
{
    return list->next == list;
}

static inline bool tn_linked(const struct link *link)
{
    return link->next != NULL && link->next != link;
}

static inline void tn_list_add(struct link *list, struct link *link)
{
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

static inline void tn_unlink(struct link *link)
{
    if (tn_linked(link)) {
        link->previous->next = link->next;
        link->next->previous = link->previous;
    }
    link->previous = NULL;
    link->next = NULL;
}

/* Moves everything from one list to an empty one. */
static inline void tn_list_move(struct link *to, struct link *from)
{
    if (!tn_list_empty(from)) {
        *to = *from;
        to->next->previous = to;
        to->previous->next = to;
        tn_list_init(from);
    }
}

/* Takes the first link out of the list; NULL when there is none. */
static inline struct link *tn_list_take(struct link *list)
{
    struct link *first = tn_list_empty(list) ? NULL : list->next;

    if (first != NULL)
        tn_unlink(first);
    return first;
}

#endif
