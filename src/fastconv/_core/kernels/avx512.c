#define ISA_NAME "avx512"
#define ISA_TABLE fc_avx512
#include "unit.h"
