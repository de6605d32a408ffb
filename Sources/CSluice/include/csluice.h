// Small helpers that import into Swift as inlinable code: byte scans with SSE2/NEON and a portable fallback.
#ifndef CSLUICE_H
#define CSLUICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/// The first byte in [p, end) that ends the plain part of a JSON string: a quote, a backslash or a control
/// character (below 0x20). Returns `end` when there is none. Never reads outside [p, end).
static inline const uint8_t *sluice_scan_string(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), limit = _mm_set1_epi8(0x1F);
    while (end - p >= 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, limit), v);
        const int hits = _mm_movemask_epi8(
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), control));
        if (hits) return p + __builtin_ctz((unsigned)hits);
        p += 16;
    }
#elif defined(__ARM_NEON)
    const uint8x16_t quote = vdupq_n_u8('"'), slash = vdupq_n_u8('\\'), limit = vdupq_n_u8(0x20);
    while (end - p >= 16) {
        const uint8x16_t v = vld1q_u8(p);
        const uint8x16_t hit = vorrq_u8(vorrq_u8(vceqq_u8(v, quote), vceqq_u8(v, slash)), vcltq_u8(v, limit));
        const uint64_t bits = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(hit), 4)), 0);
        if (bits) return p + (__builtin_ctzll(bits) >> 2);
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20) p++;
    return p;
}

/// The first byte in [p, end) that is not blank space of JSON (space, tab, CR, LF); `end` when all are.
static inline const uint8_t *sluice_skip_space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

/// Offset of the last such byte in `size` bytes from `p`; -1 when there is none.
ptrdiff_t sluice_find_last(const void *p, size_t size, uint8_t byte);

/// How the C library shall keep memory: few arenas (each thread's own would hoard what it frees) and large buffers
/// given back to the system at once. Does nothing where the C library has no such knobs.
void sluice_tune_malloc(void);

/// The uid, gid and pid of the process at the other end of a Unix socket. 0, or an errno.
int sluice_peer_credentials(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid);

#endif
