#ifndef SWIFTCOMPRESS_H
#define SWIFTCOMPRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Rises with every incompatible change of this header.
#define SWC_ABI_VERSION 1

/// The version of the header that the library was built from.
int32_t swc_abi_version(void);

/// The x86-64 level of this processor that kernels were built for: 3 or 2; 0 elsewhere.
int32_t swc_cpu_level(void);

/// The number of cores this process may run on, at least 1; `taskset` and container CPU sets count.
int32_t swc_available_cores(void);

#ifdef __cplusplus
}
#endif
#endif
