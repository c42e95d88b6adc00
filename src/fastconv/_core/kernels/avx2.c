#define ISA_NAME "avx2"
#define ISA_TABLE fc_avx2
#include "unit.h"
