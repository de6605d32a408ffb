// fallocate is the kernel's, and not to be had without asking for it.
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>

int sluice_reserve(int descriptor, int64_t bytes) {
#ifdef FALLOC_FL_KEEP_SIZE
    int result;
    do {
        result = fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, bytes);
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
#else
    (void)descriptor;
    (void)bytes;
    return ENOTSUP;
#endif
}
