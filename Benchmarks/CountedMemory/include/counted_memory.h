// Counts what the calling thread asks of the heap and copies: this replaces malloc, memcpy and their kin in the whole program, where the C library is glibc
// and no sanitizer has replaced them already.
#ifndef COUNTED_MEMORY_H
#define COUNTED_MEMORY_H

#include <stdint.h>

/// Since the thread began.
typedef struct {
    /// Calls that gave memory; one that made memory larger or smaller counts, too.
    uint64_t allocations;
    /// What they asked for.
    uint64_t bytes;
    /// Bytes that went through memcpy and memmove; short copies that the compiler makes itself are not among them.
    uint64_t copied;
} counted_memory;

counted_memory counted_memory_now(void);

/// 0: nothing is counted in this program.
int counted_memory_works(void);

/// Calls `work`. Tools that count instructions know by this function's name where to begin.
void sluice_counted_work(void (*work)(void *), void *context);

#endif
