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

/// 16 hexadecimal digits at p as 8 bytes, in their order. 0 when one of them is none.
static inline int sluice_hex16(const uint8_t *p, uint8_t *out) {
#if defined(__SSE2__)
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    // Signed comparisons: bytes from 0x80 are negative and in no range.
    const __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('0' - 1)), _mm_cmplt_epi8(v, _mm_set1_epi8('9' + 1)));
    const __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    const __m128i letter =
        _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)), _mm_cmplt_epi8(lower, _mm_set1_epi8('f' + 1)));
    if (_mm_movemask_epi8(_mm_or_si128(digit, letter)) != 0xFFFF) return 0;
    const __m128i nibbles =
        _mm_add_epi8(_mm_and_si128(v, _mm_set1_epi8(0x0F)), _mm_and_si128(letter, _mm_set1_epi8(9)));
    // In each 16-bit lane the first digit is the low byte and the high nibble.
    const __m128i pairs = _mm_and_si128(
        _mm_or_si128(_mm_slli_epi16(nibbles, 4), _mm_srli_epi16(nibbles, 8)), _mm_set1_epi16(0x00FF));
    _mm_storel_epi64((__m128i *)out, _mm_packus_epi16(pairs, pairs));
    return 1;
#else
    for (int i = 0; i < 8; i++) {
        unsigned value = 0;
        for (int j = 0; j < 2; j++) {
            const uint8_t c = p[2 * i + j], l = c | 0x20;
            if (c >= '0' && c <= '9') value = value << 4 | (unsigned)(c - '0');
            else if (l >= 'a' && l <= 'f') value = value << 4 | (unsigned)(l - 'a' + 10);
            else return 0;
        }
        out[i] = (uint8_t)value;
    }
    return 1;
#endif
}

/// A UUID of 36 characters (dashes = 1) or 32 (dashes = 0) at p, all of which may be read, as ClickHouse has it in
/// memory: two words, the high one first. 0 when it is none.
static inline int sluice_uuid(const uint8_t *p, int dashes, uint64_t *high, uint64_t *low) {
    uint8_t digits[32], bytes[16];
    if (dashes) {
        if (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-') return 0;
        memcpy(digits, p, 8);
        memcpy(digits + 8, p + 9, 4);
        memcpy(digits + 12, p + 14, 4);
        memcpy(digits + 16, p + 19, 4);
        memcpy(digits + 20, p + 24, 12);
    } else {
        memcpy(digits, p, 32);
    }
    if (!sluice_hex16(digits, bytes) || !sluice_hex16(digits + 16, bytes + 8)) return 0;
    uint64_t words[2] = {0, 0};
    for (int i = 0; i < 16; i++) words[i / 8] = words[i / 8] << 8 | bytes[i];
    *high = words[0];
    *low = words[1];
    return 1;
}
/// Offset of the last such byte in `size` bytes from `p`; -1 when there is none.
ptrdiff_t sluice_find_last(const void *p, size_t size, uint8_t byte);

/// How the C library shall keep memory: few arenas (each thread's own would hoard what it frees) and large buffers
/// given back to the system at once. Does nothing where the C library has no such knobs.
void sluice_tune_malloc(void);

/// The uid, gid and pid of the process at the other end of a Unix socket. 0, or an errno.
int sluice_peer_credentials(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid);

#endif
