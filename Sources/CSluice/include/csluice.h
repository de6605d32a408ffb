// Small helpers that import into Swift as inlinable code: byte scans with SSE2/NEON and a portable fallback.
#ifndef CSLUICE_H
#define CSLUICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// With SLUICE_PORTABLE nothing but C: what other processors than these two run, for tests.
#if defined(__SSE2__) && !defined(SLUICE_PORTABLE)
#define SLUICE_SSE2 1
#include <emmintrin.h>
#elif defined(__ARM_NEON) && !defined(SLUICE_PORTABLE)
#define SLUICE_NEON 1
#include <arm_neon.h>
#endif

/// For what is only fast without a call.
#define SLUICE_INLINE static inline __attribute__((always_inline))

/// The first byte in [p, end) that ends the plain part of a JSON string: a quote, a backslash or a control
/// character (below 0x20). Returns `end` when there is none. Never reads outside [p, end).
static inline const uint8_t *sluice_scan_string(const uint8_t *p, const uint8_t *end) {
#if defined(SLUICE_SSE2)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), limit = _mm_set1_epi8(0x1F);
    while (end - p >= 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, limit), v);
        const int hits = _mm_movemask_epi8(
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)), control));
        if (hits) return p + __builtin_ctz((unsigned)hits);
        p += 16;
    }
#elif defined(SLUICE_NEON)
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

/// 16 hexadecimal digits at p as 8 bytes, in their order. 0 when one of them is none.
static inline int sluice_hex16(const uint8_t *p, uint8_t *out) {
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
}

#if defined(SLUICE_SSE2)
/// What 16 hexadecimal digits stand for, a byte each; from 16 on where a byte is none.
SLUICE_INLINE __m128i sluice_hex_values(__m128i v) {
    // Digits become 0xF0 to 0xF9, and what lies around them something below: by a difference that saturates.
    const __m128i digits =
        _mm_sub_epi8(_mm_subs_epu8(_mm_add_epi8(v, _mm_set1_epi8((char)0xC6)), _mm_set1_epi8(6)), _mm_set1_epi8((char)0xF0));
    const __m128i letters = _mm_adds_epu8(
        _mm_sub_epi8(_mm_and_si128(v, _mm_set1_epi8((char)0xDF)), _mm_set1_epi8('A')), _mm_set1_epi8(10));
    return _mm_min_epu8(digits, letters);
}

/// Pairs of such values, the high one first, as bytes in the lower halves of lanes, the last pair in the lowest lane.
SLUICE_INLINE __m128i sluice_hex_word(__m128i values) {
    const __m128i pairs = _mm_and_si128(
        _mm_or_si128(_mm_slli_epi16(values, 4), _mm_srli_epi16(values, 8)), _mm_set1_epi16(0x00FF));
    return _mm_shuffle_epi32(_mm_shufflehi_epi16(_mm_shufflelo_epi16(pairs, 0x1B), 0x1B), 0x4E);
}

SLUICE_INLINE __m128i sluice_load4(const uint8_t *p) {
    int32_t part;
    memcpy(&part, p, 4);
    return _mm_cvtsi32_si128(part);
}
#endif

/// A UUID of 36 characters (dashes = 1) or 32 (dashes = 0) at p, all of which may be read, as ClickHouse has it in
/// memory: two words, the high one first, as 16 bytes at `out`. 0 when it is none; what is at `out` then says nothing.
SLUICE_INLINE int sluice_uuid(const uint8_t *p, int dashes, uint8_t *out) {
    if (dashes && (p[8] != '-' || p[13] != '-' || p[18] != '-' || p[23] != '-')) return 0;
#if defined(SLUICE_SSE2)
    // Put together in registers: loads of 16 bytes that were just written in pieces would wait for the writes.
    __m128i first, second;
    if (dashes) {
        first = _mm_unpacklo_epi64(
            _mm_loadl_epi64((const __m128i *)p), _mm_unpacklo_epi32(sluice_load4(p + 9), sluice_load4(p + 14)));
        second = _mm_unpacklo_epi64(
            _mm_unpacklo_epi32(sluice_load4(p + 19), sluice_load4(p + 24)), _mm_loadl_epi64((const __m128i *)(p + 28)));
    } else {
        first = _mm_loadu_si128((const __m128i *)p);
        second = _mm_loadu_si128((const __m128i *)(p + 16));
    }
    first = sluice_hex_values(first);
    second = sluice_hex_values(second);
    if (_mm_movemask_epi8(_mm_adds_epu8(_mm_max_epu8(first, second), _mm_set1_epi8(0x70)))) return 0;
    _mm_storeu_si128((__m128i *)out, _mm_packus_epi16(sluice_hex_word(first), sluice_hex_word(second)));
    return 1;
#else
    uint8_t digits[32], bytes[16];
    if (dashes) {
        memcpy(digits, p, 8);
        memcpy(digits + 8, p + 9, 4);
        memcpy(digits + 12, p + 14, 4);
        memcpy(digits + 16, p + 19, 4);
        memcpy(digits + 20, p + 24, 12);
    } else {
        memcpy(digits, p, 32);
    }
    if (!sluice_hex16(digits, bytes) || !sluice_hex16(digits + 16, bytes + 8)) return 0;
    for (int i = 0; i < 8; i++) {
        out[i] = bytes[7 - i];
        out[8 + i] = bytes[15 - i];
    }
    return 1;
#endif
}

/// 10^exponent for exponents of 0 to 18.
static inline int64_t sluice_power10(int exponent) {
    static const int64_t powers[19] = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL, 10000000000LL,
        100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL, 1000000000000000LL, 10000000000000000LL,
        100000000000000000LL, 1000000000000000000LL};
    return powers[exponent];
}

/// memcpy for lengths that are mostly short: up to 32 bytes are two moves that may overlap, and no call. Reads and
/// writes nothing outside of the `size` bytes.
static inline void sluice_copy(void *to, const void *from, size_t size) {
    uint8_t *t = (uint8_t *)to;
    const uint8_t *f = (const uint8_t *)from;
    if (size > 32) {
        memcpy(t, f, size);
    } else if (size >= 16) {
        uint64_t words[4];
        memcpy(words, f, 16);
        memcpy(words + 2, f + size - 16, 16);
        memcpy(t, words, 16);
        memcpy(t + size - 16, words + 2, 16);
    } else if (size >= 8) {
        uint64_t first, last;
        memcpy(&first, f, 8);
        memcpy(&last, f + size - 8, 8);
        memcpy(t, &first, 8);
        memcpy(t + size - 8, &last, 8);
    } else if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, f, 4);
        memcpy(&last, f + size - 4, 4);
        memcpy(t, &first, 4);
        memcpy(t + size - 4, &last, 4);
    } else if (size > 0) {
        const uint8_t first = f[0], middle = f[size / 2], last = f[size - 1];
        t[0] = first;
        t[size / 2] = middle;
        t[size - 1] = last;
    }
}

/// The `size` (0 to 7) bytes at p as a number that differs for different bytes of the same size. Reads nothing else.
static inline uint64_t sluice_short_word(const void *p, size_t size) {
    const uint8_t *f = (const uint8_t *)p;
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, f, 4);
        memcpy(&last, f + size - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    return size == 0 ? 0 : (uint64_t)f[0] << 16 | (uint64_t)f[size / 2] << 8 | f[size - 1];
}

/// Whether `size` bytes are the same; up to 16 without a call. Reads nothing outside of them.
static inline int sluice_equal(const void *a, const void *b, size_t size) {
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    if (size > 16) return memcmp(x, y, size) == 0;
    if (size < 8) return sluice_short_word(x, size) == sluice_short_word(y, size);
    uint64_t first, last, other, rest;
    memcpy(&first, x, 8);
    memcpy(&last, x + size - 8, 8);
    memcpy(&other, y, 8);
    memcpy(&rest, y + size - 8, 8);
    return first == other && last == rest;
}

/// What `sluice_civil_time` read.
typedef struct {
    int32_t year, month, day, second_of_day;
} sluice_civil;

/// `YYYY-MM-DD hh:mm:ss` (or with a T) at p, 19 bytes that may be read, as numbers within 24 hours and twelve months;
/// whether the month has the day is for the caller to say. 0 when the text is anything else, or the year is: no year 0 is
/// read as that (ClickHouse's IO/ReadHelpers.cpp makes 1970 of it, parseDateTimeBestEffort.cpp a year left out).
static inline int sluice_civil_time(const uint8_t *p, sluice_civil *out) {
    if (p[4] != '-' || p[7] != '-' || (p[10] != ' ' && p[10] != 'T') || p[13] != ':' || p[16] != ':') return 0;
    uint8_t d[14] = {p[0], p[1], p[2], p[3], p[5], p[6], p[8], p[9], p[11], p[12], p[14], p[15], p[17], p[18]};
    unsigned bad = 0;
    for (int i = 0; i < 14; i++) {
        d[i] = (uint8_t)(d[i] - '0');
        bad |= d[i] > 9;
    }
    if (bad) return 0;
    const int hour = d[8] * 10 + d[9], minute = d[10] * 10 + d[11], second = d[12] * 10 + d[13];
    if (hour > 23 || minute > 59 || second > 59) return 0;
    out->year = d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3];
    if (out->year == 0) return 0;
    out->month = d[4] * 10 + d[5];
    out->day = d[6] * 10 + d[7];
    out->second_of_day = hour * 3600 + minute * 60 + second;
    return 1;
}

/// How many of the `size` bytes at p are `byte`. Reads nothing else.
static inline size_t sluice_count(const void *p, size_t size, uint8_t byte) {
    const uint8_t *f = (const uint8_t *)p;
    size_t count = 0;
#if defined(SLUICE_SSE2)
    const __m128i wanted = _mm_set1_epi8((char)byte), zero = _mm_setzero_si128();
    while (size >= 16) {
        // Each of the 16 places counts its own hits, which a byte holds for 255 rounds.
        size_t rounds = size / 16 < 255 ? size / 16 : 255;
        size -= rounds * 16;
        __m128i hits = zero;
        for (; rounds > 0; rounds--, f += 16)
            hits = _mm_sub_epi8(hits, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)f), wanted));
        const __m128i sums = _mm_sad_epu8(hits, zero);
        count += (size_t)_mm_cvtsi128_si32(sums) + (size_t)_mm_extract_epi16(sums, 4);
    }
#elif defined(SLUICE_NEON)
    const uint8x16_t wanted = vdupq_n_u8(byte);
    while (size >= 16) {
        size_t rounds = size / 16 < 255 ? size / 16 : 255;
        size -= rounds * 16;
        uint8x16_t hits = vdupq_n_u8(0);
        for (; rounds > 0; rounds--, f += 16) hits = vsubq_u8(hits, vceqq_u8(vld1q_u8(f), wanted));
        count += vaddlvq_u8(hits);
    }
#endif
    while (size-- > 0) count += *f++ == byte;
    return count;
}

/// Offset of the first such byte in `size` bytes from `p`; -1 when there is none.
static inline ptrdiff_t sluice_find_first(const void *p, size_t size, uint8_t byte) {
    const uint8_t *found = (const uint8_t *)memchr(p, byte, size);
    return found ? found - (const uint8_t *)p : -1;
}

/// Asks for `size` bytes that will be read soon; whatever `p` is, nothing happens but that they may be nearer.
SLUICE_INLINE void sluice_prefetch(const void *p, size_t size) {
    for (size_t at = 0; at < size; at += 64) __builtin_prefetch((const uint8_t *)p + at);
}

/// CRC-32 (IEEE 802.3) of `size` bytes, as zlib has it; `crc` is that of the bytes before them, 0 at the beginning.
uint32_t sluice_crc32(uint32_t crc, const void *p, size_t size);

/// The same with lanes of 16 bytes at most, and without special instructions; for tests.
uint32_t sluice_crc32_narrow(uint32_t crc, const void *p, size_t size);
uint32_t sluice_crc32_portable(uint32_t crc, const void *p, size_t size);

/// Offset of the last such byte in `size` bytes from `p`; -1 when there is none.
ptrdiff_t sluice_find_last(const void *p, size_t size, uint8_t byte);

/// How the C library shall keep memory: few arenas (each thread's own would hoard what it frees) and large buffers
/// given back to the system at once. Does nothing where the C library has no such knobs.
void sluice_tune_malloc(void);

/// Gives memory back to the system that nobody uses and that the C library keeps, between what is used, if it is more than `idle_max` bytes.
/// Takes some milliseconds then, in which others wait for memory. Does nothing where the C library has no such call.
void sluice_give_memory_back(size_t idle_max);

/// Memory of the calling thread: at least `size` bytes, which keep what is written there until the thread asks again or ends. NULL: there
/// is no such memory. A thread keeps the most that it asked for, rounded up to a power of two.
void *sluice_thread_scratch(size_t size);

/// The uid, gid and pid of the process at the other end of a Unix socket. 0, or an errno.
int sluice_peer_credentials(int fd, uint32_t *uid, uint32_t *gid, int32_t *pid);

/// How many supplementary groups that process has, and the first `max` of them, where there is room for all; -1 when the
/// system does not tell.
int32_t sluice_peer_groups(int fd, uint32_t *groups, size_t max);

#endif
