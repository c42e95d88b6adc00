/* Memory of the drivers: blocks that outlive a call, so that the next one finds its pages mapped.
 *
 * A free block waits in one of a few slots, taken and left by one atomic exchange: no lock that a
 * fork could leave held.  What finds no slot, or is larger than KEEP_BYTES, goes back to the system.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

enum { SLOTS = 32 };
#define HEADER ((size_t)64)
#define HUGE_PAGE ((size_t)2 << 20)
#define KEEP_BYTES ((size_t)32 << 20)

#if defined(__SANITIZE_ADDRESS__)
/* The sanitizer is to see what reaches past a block, and results what was read before it was
 * written: each block has its exact size, is full of NaN, and goes back at once. */
void fc_workspace_give(void *workspace) {
    free(workspace);
}

void *fc_workspace_take(size_t wanted) {
    void *memory = NULL;
    if (posix_memalign(&memory, HEADER, wanted ? wanted : 1))
        return NULL;
    return memset(memory, 0xff, wanted);
}
#else

typedef struct {
    size_t bytes; /* of the block, this header included */
} block;

static _Atomic(block *) slots[SLOTS];

static block *new_block(size_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, bytes >= HUGE_PAGE ? HUGE_PAGE : HEADER, bytes))
        return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= HUGE_PAGE)
        (void)madvise(memory, bytes, MADV_HUGEPAGE); /* advice: a refusal costs speed alone */
#endif
    ((block *)memory)->bytes = bytes;
    return memory;
}

void fc_workspace_give(void *workspace) {
    if (!workspace)
        return;
    block *given = (block *)((char *)workspace - HEADER);
    if (given->bytes <= KEEP_BYTES) {
        for (int i = 0; i < SLOTS; i++) {
            block *none = NULL;
            if (atomic_compare_exchange_strong(&slots[i], &none, given))
                return;
        }
    }
    free(given);
}

void *fc_workspace_take(size_t wanted) {
    const size_t unit = wanted >= HUGE_PAGE ? HUGE_PAGE : (size_t)1 << 16;
    if (wanted > SIZE_MAX - HEADER - unit)
        return NULL;
    const size_t bytes = (wanted + HEADER + unit - 1) / unit * unit;
    block *small = NULL;
    for (int i = 0; i < SLOTS; i++) {
        block *found = atomic_exchange(&slots[i], NULL);
        if (!found)
            continue;
        if (found->bytes >= bytes) {
            if (small)
                fc_workspace_give((char *)small + HEADER);
            return (char *)found + HEADER;
        }
        if (small)
            fc_workspace_give((char *)small + HEADER);
        small = found;
    }
    free(small); /* a larger one takes its place: there are never more than were in use at once */
    block *made = new_block(bytes);
    return made ? (char *)made + HEADER : NULL;
}
#endif
