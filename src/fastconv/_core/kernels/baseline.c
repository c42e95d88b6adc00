#define ISA_NAME "baseline"
#define ISA_TABLE fc_baseline
#include "unit.h"
