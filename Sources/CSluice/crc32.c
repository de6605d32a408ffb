// CRC-32 as zlib, Ethernet and PNG have it: polynomial 0x04C11DB7, bits reflected, all ones before and after.
//
// - x86-64 with PCLMULQDQ: four 16-byte lanes are folded by carry-less multiplication, after "Fast CRC Computation for
//   Generic Polynomials Using PCLMULQDQ Instruction" (Gopal et al., Intel, 2009). What is left, 16 bytes that have the
//   same remainder, goes through the tables; so do the last bytes.
// - x86-64 with VPCLMULQDQ and AVX-512: the same with lanes of 64 bytes.
// - aarch64 with the CRC32 extension: its instructions, 8 bytes at once.
// - anything else: eight table look-ups for 8 bytes ("slicing-by-8", Kounavis and Berry, Intel, 2005).
//
// Loads are through memcpy or unaligned intrinsics, and only of the bytes given.
#include "csluice.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static uint32_t tables[8][256];
static int has_instructions, has_wide_instructions;

// Before main, so that no caller has to ask whether it was done.
__attribute__((constructor)) static void prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
        tables[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++) tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xFF];
#if defined(__x86_64__)
    __builtin_cpu_init();
    has_instructions = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    has_wide_instructions =
        has_instructions && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
#elif defined(__aarch64__) && defined(__linux__)
    has_instructions = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

// All three take and give the register as it is between the inversions.

static uint32_t update_by_tables(uint32_t crc, const uint8_t *p, size_t size) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; size >= 8; p += 8, size -= 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
              tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^ tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
    }
#endif
    while (size--) crc = crc >> 8 ^ tables[0][(crc ^ *p++) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
// Moves 16 bytes forward by the distance that the constants stand for, and adds what is there.
__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i x, __m128i constants, __m128i next) {
    return _mm_xor_si128(
        _mm_xor_si128(_mm_clmulepi64_si128(x, constants, 0x00), _mm_clmulepi64_si128(x, constants, 0x11)), next);
}

// x^(512+32) and x^(512-32), then x^(128+32) and x^(128-32), modulo the polynomial, reflected.
#define BY_64 0x1C6E41596, 0x154442BD4
#define BY_16 0x0CCAA009E, 0x1751997D0

// Four lanes that lie one behind the other, and what comes behind them.
__attribute__((target("pclmul,sse4.1"))) static inline uint32_t finish(
    __m128i a, __m128i b, __m128i c, __m128i d, const uint8_t *p, size_t size) {
    const __m128i by16 = _mm_set_epi64x(BY_16);
    a = fold(fold(fold(a, by16, b), by16, c), by16, d);
    for (; size >= 16; p += 16, size -= 16) a = fold(a, by16, _mm_loadu_si128((const __m128i *)p));
    uint8_t rest[16];
    _mm_storeu_si128((__m128i *)rest, a);
    return update_by_tables(update_by_tables(0, rest, 16), p, size);
}

// `size` is at least 64.
__attribute__((target("pclmul,sse4.1"))) static uint32_t update_by_instructions(
    uint32_t crc, const uint8_t *p, size_t size) {
    const __m128i by64 = _mm_set_epi64x(BY_64);
    __m128i a = _mm_loadu_si128((const __m128i *)p), b = _mm_loadu_si128((const __m128i *)(p + 16));
    __m128i c = _mm_loadu_si128((const __m128i *)(p + 32)), d = _mm_loadu_si128((const __m128i *)(p + 48));
    a = _mm_xor_si128(a, _mm_cvtsi32_si128((int)crc));
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64) {
        a = fold(a, by64, _mm_loadu_si128((const __m128i *)p));
        b = fold(b, by64, _mm_loadu_si128((const __m128i *)(p + 16)));
        c = fold(c, by64, _mm_loadu_si128((const __m128i *)(p + 32)));
        d = fold(d, by64, _mm_loadu_si128((const __m128i *)(p + 48)));
    }
    return finish(a, b, c, d, p, size);
}

#define WIDE "avx512f,vpclmulqdq,pclmul,sse4.1"

__attribute__((target(WIDE))) static inline __m512i fold_wide(__m512i x, __m512i constants, const uint8_t *next) {
    __m512i low = _mm512_clmulepi64_epi128(x, constants, 0x00), high = _mm512_clmulepi64_epi128(x, constants, 0x11);
    return _mm512_xor_si512(_mm512_xor_si512(low, high), _mm512_loadu_si512(next));
}

// `size` is at least 256.
__attribute__((target(WIDE))) static uint32_t update_by_wide_instructions(
    uint32_t crc, const uint8_t *p, size_t size) {
    // x^(2048+32) and x^(2048-32).
    const __m512i by256 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x1322D1430, 0x11542778A));
    const __m512i by64 = _mm512_broadcast_i32x4(_mm_set_epi64x(BY_64));
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
        a = fold_wide(a, by256, p);
        b = fold_wide(b, by256, p + 64);
        c = fold_wide(c, by256, p + 128);
        d = fold_wide(d, by256, p + 192);
    }
    uint8_t lanes[192];
    _mm512_storeu_si512(lanes, b);
    _mm512_storeu_si512(lanes + 64, c);
    _mm512_storeu_si512(lanes + 128, d);
    for (int lane = 0; lane < 192; lane += 64) a = fold_wide(a, by64, lanes + lane);
    for (; size >= 64; p += 64, size -= 64) a = fold_wide(a, by64, p);
    return finish(
        _mm512_castsi512_si128(a), _mm512_extracti32x4_epi32(a, 1), _mm512_extracti32x4_epi32(a, 2),
        _mm512_extracti32x4_epi32(a, 3), p, size);
}
#elif defined(__aarch64__) && defined(__linux__)
__attribute__((target("+crc"))) static uint32_t update_by_instructions(uint32_t crc, const uint8_t *p, size_t size) {
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = __crc32d(crc, word);
    }
    while (size--) crc = __crc32b(crc, *p++);
    return crc;
}
#else
static uint32_t update_by_instructions(uint32_t crc, const uint8_t *p, size_t size) {
    return update_by_tables(crc, p, size);
}
#endif

uint32_t sluice_crc32(uint32_t crc, const void *p, size_t size) {
#if defined(__x86_64__)
    if (has_wide_instructions && size >= 256) return ~update_by_wide_instructions(~crc, p, size);
#endif
    return sluice_crc32_narrow(crc, p, size);
}

uint32_t sluice_crc32_narrow(uint32_t crc, const void *p, size_t size) {
    return ~(has_instructions && size >= 64 ? update_by_instructions(~crc, p, size) : update_by_tables(~crc, p, size));
}

uint32_t sluice_crc32_portable(uint32_t crc, const void *p, size_t size) { return ~update_by_tables(~crc, p, size); }
