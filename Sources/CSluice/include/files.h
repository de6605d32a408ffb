#ifndef SLUICE_FILES_H
#define SLUICE_FILES_H

#include <stdint.h>

/// Takes room on the disk for the first bytes of a file, whose length stays as it is (fallocate(2), FALLOC_FL_KEEP_SIZE).
/// Returns 0, or errno: ENOSPC, EDQUOT, EOPNOTSUPP where the file system cannot, ENOTSUP where the system has no such call.
int sluice_reserve(int descriptor, int64_t bytes);

#endif
