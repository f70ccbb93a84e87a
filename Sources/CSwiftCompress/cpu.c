#include "swiftcompress.h"

int32_t swc_cpu_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v3") ? 3 : 2;
#else
    return 0;
#endif
}
