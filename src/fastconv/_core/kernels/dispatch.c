/* Which units were built, and which of them this CPU runs: one row an ISA, the lowest first. */
#include "kernels.h"

extern const fc_isa fc_baseline;
#if defined(__x86_64__)
extern const fc_isa fc_avx2;
extern const fc_isa fc_avx512;
#endif

static const fc_isa *const units[] = {
    &fc_baseline,
#if defined(__x86_64__)
    &fc_avx2,
    &fc_avx512,
#endif
};

int fc_isa_count(void) {
    return (int)(sizeof units / sizeof units[0]);
}

const fc_isa *fc_isa_at(int index) {
    return units[index];
}

int fc_isa_usable(int index) {
#if defined(__x86_64__)
    /* the builtin also asks the operating system whether it saves the wide registers */
    __builtin_cpu_init();
    if (units[index] == &fc_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    if (units[index] == &fc_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    (void)index;
    return 1;
}
