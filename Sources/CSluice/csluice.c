#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "csluice.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

void sluice_tune_malloc(void) {
#if defined(__GLIBC__)
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

void sluice_give_memory_back(size_t idle_max) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    if (mallinfo2().fordblks > idle_max) malloc_trim(0);
#else
    (void)idle_max;
#endif
}

// Ahead of the bytes, so that they are aligned as malloc aligns.
struct scratch {
    size_t room;
    size_t padding;
    unsigned char bytes[];
};

static pthread_key_t scratch_key;
static int scratch_key_is_there;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void make_scratch_key(void) { scratch_key_is_there = pthread_key_create(&scratch_key, free) == 0; }

void *sluice_thread_scratch(size_t size) {
    pthread_once(&scratch_once, make_scratch_key);
    if (!scratch_key_is_there) return NULL;
    struct scratch *scratch = pthread_getspecific(scratch_key);
    if (scratch && scratch->room >= size) return scratch->bytes;
    // What was in it is of no interest: not realloc, which would copy it.
    free(scratch);
    pthread_setspecific(scratch_key, NULL);
    size_t room = 4096;
    while (room < size) room *= 2;
    scratch = malloc(sizeof *scratch + room);
    if (!scratch) return NULL;
    scratch->room = room;
    if (pthread_setspecific(scratch_key, scratch) != 0) {
        free(scratch);
        return NULL;
    }
    return scratch->bytes;
}

ptrdiff_t sluice_find_last(const void *p, size_t size, uint8_t byte) {
    const uint8_t *bytes = p;
#if defined(__GLIBC__)
    const uint8_t *found = memrchr(bytes, byte, size);
    return found ? found - bytes : -1;
#else
    while (size > 0)
        if (bytes[--size] == byte) return (ptrdiff_t)size;
    return -1;
#endif
}

int sluice_peer_credentials(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid) {
#if defined(__linux__)
    struct ucred cred;
    socklen_t size = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) return errno;
    *uid = cred.uid;
    *gid = cred.gid;
    *pid = cred.pid;
    return 0;
#else
    uid_t u;
    gid_t g;
    if (getpeereid(fd, &u, &g) != 0) return errno;
    *uid = u;
    *gid = g;
    *pid = -1;
    return 0;
#endif
}

int32_t sluice_peer_groups(int fd, uint32_t *groups, size_t max) {
#if defined(__linux__)
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
    socklen_t size = (socklen_t)(max * sizeof *groups);
    // When there is no room for all it says how much it takes.
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0 && errno != ERANGE) return -1;
    return (int32_t)(size / sizeof *groups);
#else
    (void)fd, (void)groups, (void)max;
    return -1;
#endif
}
