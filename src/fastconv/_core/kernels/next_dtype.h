/* Clears what a dtype's section of unit.h defined. */
#undef NAME
#undef T
#undef T_BYTES
#undef SUM_T
#undef LOWEST
#undef INTEGER
