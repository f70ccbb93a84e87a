#ifndef SWIFTCOMPRESS_H
#define SWIFTCOMPRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The version of the product; pyproject.toml has the same, which setup.py checks.
#define SWC_VERSION "0.1.0"

/// Rises with every incompatible change of this header.
#define SWC_ABI_VERSION 1

/// The version of the header that the library was built from.
int32_t swc_abi_version(void);

/// The x86-64 level of this processor that kernels were built for: 3 or 2; 0 elsewhere.
int32_t swc_cpu_level(void);

/// The number of cores this process may run on, at least 1; `taskset` and container CPU sets count.
int32_t swc_available_cores(void);

/// Runs the `swiftcompress` command; ends the process with its exit status.
int32_t swc_command_line(int32_t argument_count, const char *_Nonnull const *_Nonnull arguments);

#ifdef __cplusplus
}
#endif
#endif
