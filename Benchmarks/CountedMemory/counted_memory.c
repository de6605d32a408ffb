#define _GNU_SOURCE
#include "counted_memory.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

static _Thread_local counted_memory counted;

counted_memory counted_memory_now(void) { return counted; }

__attribute__((noinline)) void sluice_counted_work(void (*work)(void *), void *context) {
    work(context);
    // Keeps the call above from becoming a jump, which would end this function before the work does.
    __asm__ volatile("");
}

#if defined(__GLIBC__) && !defined(IS_SANITIZED)

// glibc's own, under names that are not replaced.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

static void note(size_t bytes) {
    counted.allocations++;
    counted.bytes += bytes;
}

void *malloc(size_t size) {
    note(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    note(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size) {
    note(size);
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note(size);
    return __libc_memalign(alignment, size);
}

void free(void *p) { __libc_free(p); }

typedef void *(*copying)(void *to, const void *from, size_t size);
static copying real_copy, real_move;

/// Before the program's own code runs there are few threads, and whoever copies meanwhile does it the slow way.
__attribute__((constructor)) static void find_copies(void) {
    real_move = (copying)dlsym(RTLD_NEXT, "memmove");
    real_copy = (copying)dlsym(RTLD_NEXT, "memcpy");
}

__attribute__((no_builtin)) static void *copy_slowly(void *to, const void *from, size_t size) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t < f)
        for (size_t i = 0; i < size; i++) t[i] = f[i];
    else
        while (size-- > 0) t[size] = f[size];
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    counted.copied += size;
    return real_copy ? real_copy(to, from, size) : copy_slowly(to, from, size);
}

void *memmove(void *to, const void *from, size_t size) {
    counted.copied += size;
    return real_move ? real_move(to, from, size) : copy_slowly(to, from, size);
}

int counted_memory_works(void) { return 1; }

#else

int counted_memory_works(void) { return 0; }

#endif
