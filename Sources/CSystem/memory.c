#include "CSystem.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

void system_return_freed_memory(void) {
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}
