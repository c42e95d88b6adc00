/* Memory of NumPy's arrays that is kept for the next ones of its size: an allocator for NumPy.
 *
 * A size is rounded up to one of eight between two powers of two, and a block goes to a later array
 * of the same rounded size; small ones are malloc's business.  The rounded size stands before the
 * block: NumPy does not tell it where it resizes.  Free blocks wait in slots that are taken and
 * left by one atomic exchange, so no lock can be held by another thread or across a fork.  What
 * waits never exceeds the most that arrays held at once.
 *
 * NumPy's data allocators: NEP 49 (2021).
 */
#ifndef FC_RECYCLING_SUPPORT_H
#define FC_RECYCLING_SUPPORT_H

#include <Python.h>
#include <numpy/ndarraytypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { FC_WAITING = 128 };
#define FC_SMALLEST ((size_t)1 << 15)
#define FC_HEADER ((size_t)64)
#define FC_LARGE ((size_t)4 << 20)

typedef struct {
    size_t bytes; /* of the block with this header, rounded */
} fc_block;

typedef struct {
    PyDataMem_Handler handler;
    _Atomic(fc_block *) waiting[FC_WAITING];
    _Atomic size_t size_of[FC_WAITING]; /* a hint, read without taking the block */
    _Atomic size_t held, most, idle;    /* bytes of arrays, now and at most; of what waits */
    _Atomic unsigned next;              /* the slot whose block gives way when all are taken */
} fc_recycler;

/* The size of a block for so many bytes; 0 if there is no such number. */
static size_t fc_rounded(size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return 0;
    bytes += FC_HEADER;
    if (bytes < FC_SMALLEST)
        return bytes;
    const size_t step = (size_t)1 << (8 * sizeof(long) - 4 - (size_t)__builtin_clzl(bytes));
    return (bytes + step - 1) / step * step;
}

static fc_block *fc_block_of(void *memory) {
    return (fc_block *)((char *)memory - FC_HEADER);
}

/* The memory of a block that becomes an array's. */
static void *fc_lend(fc_recycler *r, fc_block *block, size_t bytes) {
    if (!block)
        return NULL;
    block->bytes = bytes;
    if (bytes >= FC_SMALLEST) {
        const size_t now = atomic_fetch_add(&r->held, bytes) + bytes;
        size_t most = atomic_load(&r->most);
        while (now > most && !atomic_compare_exchange_weak(&r->most, &most, now)) {
        }
    }
    return (char *)block + FC_HEADER;
}

static fc_block *fc_take(fc_recycler *r, unsigned slot) {
    fc_block *found = atomic_exchange(&r->waiting[slot], NULL);
    if (found)
        atomic_fetch_sub(&r->idle, found->bytes);
    return found;
}

static int fc_leave(fc_recycler *r, unsigned slot, fc_block *block) {
    fc_block *none = NULL;
    if (atomic_load_explicit(&r->waiting[slot], memory_order_relaxed))
        return 0;
    atomic_store_explicit(&r->size_of[slot], block->bytes, memory_order_relaxed);
    return atomic_compare_exchange_strong(&r->waiting[slot], &none, block);
}

static fc_block *fc_take_of_size(fc_recycler *r, size_t bytes) {
    for (unsigned slot = 0; slot < FC_WAITING; slot++) {
        if (atomic_load_explicit(&r->size_of[slot], memory_order_relaxed) != bytes)
            continue;
        fc_block *found = fc_take(r, slot);
        if (found && found->bytes == bytes)
            return found;
        free(found); /* another one since the hint */
    }
    return NULL;
}

static void fc_drain(fc_recycler *r) {
    for (unsigned slot = 0; slot < FC_WAITING; slot++)
        free(fc_take(r, slot));
    atomic_store(&r->most, atomic_load(&r->held));
}

static fc_block *fc_new_block(size_t bytes) {
    if (bytes < FC_SMALLEST)
        return malloc(bytes);
    void *memory = NULL;
    if (posix_memalign(&memory, FC_HEADER, bytes))
        return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= FC_LARGE) { /* as NumPy does: advice, a refusal costs speed alone */
        const size_t page = 4096, skipped = (page - (uintptr_t)memory % page) % page;
        (void)madvise((char *)memory + skipped, bytes - skipped, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

static void *fc_recycler_malloc(void *context, size_t wanted) {
    fc_recycler *r = context;
    const size_t bytes = fc_rounded(wanted);
    if (bytes == 0)
        return NULL;
    fc_block *block = bytes < FC_SMALLEST ? NULL : fc_take_of_size(r, bytes);
    if (!block)
        block = fc_new_block(bytes);
    if (!block) {
        fc_drain(r);
        block = fc_new_block(bytes);
    }
    return fc_lend(r, block, bytes);
}

static void *fc_recycler_calloc(void *context, size_t count, size_t size) {
    fc_recycler *r = context;
    size_t wanted;
    if (__builtin_mul_overflow(count, size, &wanted))
        return NULL;
    const size_t bytes = fc_rounded(wanted);
    if (bytes == 0)
        return NULL;
    fc_block *block = bytes < FC_SMALLEST ? NULL : fc_take_of_size(r, bytes);
    if (block)
        memset(block, 0, FC_HEADER + wanted);
    else
        block = calloc(1, bytes); /* zeros that the system has cost nothing until they are used */
    return fc_lend(r, block, bytes);
}

static void fc_recycler_free(void *context, void *memory, size_t unused) {
    fc_recycler *r = context;
    (void)unused;
    if (!memory)
        return;
    fc_block *block = fc_block_of(memory);
    const size_t bytes = block->bytes;
    if (bytes < FC_SMALLEST) {
        free(block);
        return;
    }
    atomic_fetch_sub(&r->held, bytes);
    if (atomic_fetch_add(&r->idle, bytes) + bytes <= atomic_load(&r->most)) {
        for (unsigned slot = 0; slot < FC_WAITING; slot++)
            if (fc_leave(r, slot, block))
                return;
        const unsigned slot = atomic_fetch_add(&r->next, 1) % FC_WAITING;
        free(fc_take(r, slot));
        if (fc_leave(r, slot, block))
            return;
    }
    atomic_fetch_sub(&r->idle, bytes);
    free(block);
}

static void *fc_recycler_realloc(void *context, void *memory, size_t wanted) {
    void *larger = fc_recycler_malloc(context, wanted);
    if (larger && memory) {
        const size_t had = fc_block_of(memory)->bytes - FC_HEADER;
        memcpy(larger, memory, had < wanted ? had : wanted);
        fc_recycler_free(context, memory, 0);
    }
    return larger;
}

static void fc_recycler_end(PyObject *capsule) {
    fc_recycler *r = PyCapsule_GetPointer(capsule, "mem_handler");
    fc_drain(r);
    free(r);
}

/* The capsule that PyDataMem_SetHandler takes; arrays hold it for as long as they live. */
static PyObject *fc_new_recycler(void) {
    fc_recycler *r = calloc(1, sizeof(fc_recycler));
    if (!r)
        return PyErr_NoMemory();
    strcpy(r->handler.name, "fastconv_recycler");
    r->handler.version = 1;
    r->handler.allocator = (PyDataMemAllocator){r, fc_recycler_malloc, fc_recycler_calloc,
                                                fc_recycler_realloc, fc_recycler_free};
    PyObject *capsule = PyCapsule_New(r, "mem_handler", fc_recycler_end);
    if (!capsule)
        free(r);
    return capsule;
}

static void fc_drain_capsule(PyObject *capsule) {
    fc_drain(PyCapsule_GetPointer(capsule, "mem_handler"));
}

#endif
