// Calls of the operating system that Swift cannot see.

#ifndef SWIFTCOMPRESS_SYSTEM_H
#define SWIFTCOMPRESS_SYSTEM_H

#include <stdint.h>

/// Asks the kernel to begin writing a range of a file to the disk, and does not wait for it. A hint: nothing is
/// promised, a failure has no effect, and `fsync` is needed as before. Does nothing but on Linux.
void system_start_writeback(int32_t file, int64_t offset, int64_t count);

/// Gives memory that was freed back to the system: glibc keeps blocks of up to 32 MB for the thread that freed them.
/// Does nothing but on glibc.
void system_return_freed_memory(void);

#endif
