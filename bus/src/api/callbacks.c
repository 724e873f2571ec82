// SPDX-License-Identifier: MIT
// Local callbacks in an immutable list, swapped as a whole.
#include "bus/src/api/callbacks.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/base/log.h"

struct callback {
    atomic_uint refs;    // lists that have it
    atomic_bool removed; // never called again, also by an emit that is under way
    bool has_type;
    char type[TALUS_TYPE_MAX + 1];
    uint64_t id;
    talus_callback_fn *fn;
    void (*release)(void *arg);
    void *arg;
};

struct talus__callback_list {
    atomic_uint refs; // emits that run it, and one while it is the current list
    size_t count;
    struct callback *items[];
};

void talus__callbacks_init(struct talus__callbacks *callbacks)
{
    pthread_mutex_init(&callbacks->change, NULL);
    pthread_mutex_init(&callbacks->swap, NULL);
    callbacks->list = NULL;
    atomic_init(&callbacks->any, false);
    callbacks->last_id = 0;
    atomic_init(&callbacks->failed, 0);
}

static void unref_callback(struct callback *callback)
{
    if (atomic_fetch_sub_explicit(&callback->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (callback->release)
        callback->release(callback->arg);
    free(callback);
}

// Never with a mutex held: it may call `release`.
static void unref_list(struct talus__callback_list *list)
{
    if (!list || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < list->count; i++)
        unref_callback(list->items[i]);
    free(list);
}

static struct talus__callback_list *ref_current(struct talus__callbacks *callbacks)
{
    pthread_mutex_lock(&callbacks->swap);
    struct talus__callback_list *list = callbacks->list;
    if (list)
        atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&callbacks->swap);
    return list;
}

// Makes `list` current and returns the one before, whose reference is now the caller's.
static struct talus__callback_list *swap_list(struct talus__callbacks *callbacks,
                                              struct talus__callback_list *list)
{
    pthread_mutex_lock(&callbacks->swap);
    struct talus__callback_list *before = callbacks->list;
    callbacks->list = list;
    atomic_store_explicit(&callbacks->any, list != NULL, memory_order_release);
    pthread_mutex_unlock(&callbacks->swap);
    return before;
}

void talus__callbacks_fini(struct talus__callbacks *callbacks)
{
    unref_list(swap_list(callbacks, NULL));
    pthread_mutex_destroy(&callbacks->swap);
    pthread_mutex_destroy(&callbacks->change);
}

static struct talus__callback_list *new_list(size_t count)
{
    struct talus__callback_list *list = malloc(sizeof *list + count * sizeof(struct callback *));

    if (list) {
        atomic_init(&list->refs, 1);
        list->count = 0;
    }
    return list;
}

static void append(struct talus__callback_list *list, struct callback *callback)
{
    atomic_fetch_add_explicit(&callback->refs, 1, memory_order_relaxed);
    list->items[list->count++] = callback;
}

static bool is_removed(const struct callback *callback)
{
    return atomic_load_explicit(&callback->removed, memory_order_acquire);
}

static void append_remaining(struct talus__callback_list *list,
                             const struct talus__callback_list *from)
{
    for (size_t i = 0; from && i < from->count; i++) {
        if (!is_removed(from->items[i]))
            append(list, from->items[i]);
    }
}

static struct callback *new_callback(const char *type, talus_callback_fn *fn,
                                     void (*release)(void *arg), void *arg)
{
    struct callback *callback = calloc(1, sizeof *callback);

    if (!callback)
        return NULL;
    atomic_init(&callback->refs, 0);
    atomic_init(&callback->removed, false);
    callback->has_type = type != NULL;
    if (type)
        strncpy(callback->type, type, TALUS_TYPE_MAX);
    callback->fn = fn;
    callback->release = release;
    callback->arg = arg;
    return callback;
}

int talus__callbacks_add(struct talus__callbacks *callbacks, const char *type,
                         talus_callback_fn *fn, void (*release)(void *arg), void *arg, uint64_t *id)
{
    struct callback *callback = new_callback(type, fn, release, arg);
    if (!callback)
        return TALUS_ENOMEM;

    pthread_mutex_lock(&callbacks->change);
    const struct talus__callback_list *before = callbacks->list; // kept by `change`
    size_t count = before ? before->count : 0;
    struct talus__callback_list *list = new_list(count + 1);
    if (!list) {
        pthread_mutex_unlock(&callbacks->change);
        free(callback);
        return TALUS_ENOMEM;
    }
    append_remaining(list, before);
    append(list, callback);
    // Before the swap: from then on the callback may run, and remove itself by its id.
    callback->id = ++callbacks->last_id;
    *id = callback->id;
    struct talus__callback_list *replaced = swap_list(callbacks, list);
    pthread_mutex_unlock(&callbacks->change);

    unref_list(replaced);
    return 0;
}

static struct callback *find(const struct talus__callback_list *list, uint64_t id)
{
    for (size_t i = 0; list && i < list->count; i++) {
        if (list->items[i]->id == id && !is_removed(list->items[i]))
            return list->items[i];
    }
    return NULL;
}

int talus__callbacks_remove(struct talus__callbacks *callbacks, uint64_t id)
{
    struct talus__callback_list *replaced = NULL;

    pthread_mutex_lock(&callbacks->change);
    const struct talus__callback_list *before = callbacks->list;
    struct callback *callback = find(before, id);
    if (!callback) {
        pthread_mutex_unlock(&callbacks->change);
        return TALUS_ENOTFOUND;
    }
    atomic_store_explicit(&callback->removed, true, memory_order_release);
    struct talus__callback_list *list = NULL;
    if (before->count > 1)
        list = new_list(before->count - 1);
    // Without memory for a shorter list the mark alone ends it; the next change drops it.
    if (list || before->count == 1) {
        if (list)
            append_remaining(list, before);
        replaced = swap_list(callbacks, list);
    }
    pthread_mutex_unlock(&callbacks->change);

    unref_list(replaced);
    return 0;
}

static bool is_wanted(const struct callback *callback, const char *type)
{
    return !is_removed(callback) && (!callback->has_type || strcmp(callback->type, type) == 0);
}

void talus__callbacks_run(struct talus__callbacks *callbacks, const talus_event_t *event)
{
    struct talus__callback_list *list = ref_current(callbacks);

    for (size_t i = 0; list && i < list->count; i++) {
        const struct callback *callback = list->items[i];
        if (!is_wanted(callback, event->type))
            continue;
        int error = callback->fn(event, callback->arg);
        if (error) {
            atomic_fetch_add_explicit(&callbacks->failed, 1, memory_order_relaxed);
            talus__log(TALUS_LOG_WARNING, "callback %llu failed on event %s (%s): %d",
                       (unsigned long long)callback->id, event->id, event->type, error);
        }
    }
    unref_list(list);
}
