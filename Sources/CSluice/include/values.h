// Values of JSON in the shape that they mostly have: read a word or 16 bytes at a time, without a branch for each byte. What
// has another shape is not read at all, and left to who reads every shape.
#ifndef CSLUICE_VALUES_H
#define CSLUICE_VALUES_H

#include "csluice.h"

// MARK: Words

/// The 8 bytes at p as a number, the first one lowest.
SLUICE_INLINE uint64_t sluice_word(const void *p) {
    uint64_t word;
    memcpy(&word, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/// The `size` (0 to 7) bytes at p as a number, the first one lowest. Reads nothing else.
SLUICE_INLINE uint64_t sluice_part_word(const void *p, size_t size) {
    const uint8_t *f = (const uint8_t *)p;
    if (size >= 4) {
        // Two halves that may overlap.
        uint32_t first, last;
        memcpy(&first, f, 4);
        memcpy(&last, f + size - 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        first = __builtin_bswap32(first);
        last = __builtin_bswap32(last);
#endif
        return first | (uint64_t)last << (8 * (size - 4));
    }
    if (size == 0) return 0;
    return f[0] | (uint64_t)f[size / 2] << (8 * (size / 2)) | (uint64_t)f[size - 1] << (8 * (size - 1));
}

#define SLUICE_EACH(byte) (0x0101010101010101ULL * (byte))

/// The highest bit of each byte that ends the plain part of a JSON string: a quote, a backslash, a control character. Only the
/// lowest of these bits is to be trusted.
SLUICE_INLINE uint64_t sluice_ends_text(uint64_t word) {
    const uint64_t quote = word ^ SLUICE_EACH('"'), slash = word ^ SLUICE_EACH('\\');
    return (((quote - SLUICE_EACH(1)) & ~quote) | ((slash - SLUICE_EACH(1)) & ~slash) | ((word - SLUICE_EACH(0x20)) & ~word))
           & SLUICE_EACH(0x80);
}

#if defined(SLUICE_SSE2)
/// The same of 16 bytes, a bit each, all of which are right.
SLUICE_INLINE unsigned sluice_ends_text_mask(__m128i v) {
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1F)), v);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))), control));
}
#endif

// MARK: Texts

/// A text of up to 15 bytes and the quote behind it as two words, zeros behind that: no two texts have the same words.
typedef struct {
    uint64_t low, high;
    /// Of the text; -1: it is none of these.
    ptrdiff_t length;
} sluice_short_text;

/// The plain string whose opening quote is before p. 16 bytes may be read.
SLUICE_INLINE sluice_short_text sluice_read_short_text(const uint8_t *p) {
    sluice_short_text text = {0, 0, -1};
#if defined(SLUICE_SSE2)
    static const uint8_t masks[32] = {
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    const unsigned hits = sluice_ends_text_mask(v);
    if (!hits) return text;
    const int length = __builtin_ctz(hits);
    if (p[length] != '"') return text;
    const __m128i kept = _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(masks + 15 - length)));
#if defined(__x86_64__)
    text.low = (uint64_t)_mm_cvtsi128_si64(kept);
    text.high = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(kept, kept));
#else
    uint64_t words[2];
    memcpy(words, &kept, 16);
    text.low = words[0];
    text.high = words[1];
#endif
    text.length = length;
#else
    const uint64_t low = sluice_word(p), high = sluice_word(p + 8);
    uint64_t hits = sluice_ends_text(low);
    ptrdiff_t length;
    if (hits) {
        length = __builtin_ctzll(hits) >> 3;
        text.low = low & (~0ULL >> (56 - 8 * length));
    } else {
        hits = sluice_ends_text(high);
        if (!hits) return text;
        const int rest = __builtin_ctzll(hits) >> 3;
        length = 8 + rest;
        text.low = low;
        text.high = high & (~0ULL >> (56 - 8 * rest));
    }
    if (p[length] == '"') text.length = length;
#endif
    return text;
}

/// The words of such a text that no quote need stand behind. Reads nothing but its `length` (0 to 15) bytes.
SLUICE_INLINE sluice_short_text sluice_make_short_text(const void *p, ptrdiff_t length) {
    const uint8_t *f = (const uint8_t *)p;
    sluice_short_text text = {0, 0, length};
    if (length < 8) {
        text.low = sluice_part_word(f, (size_t)length) | (uint64_t)'"' << (8 * length);
    } else {
        text.low = sluice_word(f);
        text.high = sluice_part_word(f + 8, (size_t)length - 8) | (uint64_t)'"' << (8 * (length - 8));
    }
    return text;
}

/// Of the words of a text. The upper bits are the better ones.
SLUICE_INLINE uint32_t sluice_short_hash(uint64_t low, uint64_t high) {
    const uint64_t mixed = (low ^ (low >> 32)) * 0x9E3779B97F4A7C15ULL + (high ^ (high >> 32)) * 0xC2B2AE3D27D4EB4FULL;
    return (uint32_t)(mixed >> 32);
}

/// Bytes that `sluice_copy_text` writes at most.
#define SLUICE_COPIED_TEXT_MAX 128

/// Copies the plain string whose opening quote is before p to `out`, where there is room for SLUICE_COPIED_TEXT_MAX bytes, all of
/// which may be written. Returns its length, up to 127; -1: it is longer, or not plain, or ends within 16 bytes before `end`.
SLUICE_INLINE ptrdiff_t sluice_copy_text(const uint8_t *p, const uint8_t *end, uint8_t *out) {
#if defined(SLUICE_SSE2)
    for (ptrdiff_t n = 0; n < SLUICE_COPIED_TEXT_MAX && end - p - n >= 16; n += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(p + n));
        const unsigned hits = sluice_ends_text_mask(v);
        _mm_storeu_si128((__m128i *)(out + n), v);
        if (hits) {
            n += __builtin_ctz(hits);
            return p[n] == '"' ? n : -1;
        }
    }
#else
    for (ptrdiff_t n = 0; n < SLUICE_COPIED_TEXT_MAX && end - p - n >= 16; n += 8) {
        const uint64_t hits = sluice_ends_text(sluice_word(p + n));
        memcpy(out + n, p + n, 8);
        if (hits) {
            n += __builtin_ctzll(hits) >> 3;
            return p[n] == '"' ? n : -1;
        }
    }
#endif
    return -1;
}

/// The number that four hexadecimal digits at p write; -1: one of them is none.
static inline int32_t sluice_hex4(const uint8_t *p) {
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const uint8_t c = p[i], l = c | 0x20;
        if (c >= '0' && c <= '9') value = value << 4 | (c - '0');
        else if (l >= 'a' && l <= 'f') value = value << 4 | (l - 'a' + 10);
        else return -1;
    }
    return value;
}

/// How far `sluice_unescape` came, in its input and its output.
typedef struct {
    const uint8_t *from;
    uint8_t *to;
} sluice_place;

/// Copies the inside of a JSON string from p, whose last byte before `end` is a newline, to [out, out_end), and undoes escapes of one
/// character and of one of UTF-16's units. Stops at whatever is something else: the closing quote, a control character, a backslash
/// before a newline, before half a surrogate pair or what is no hexadecimal number; and where less than 16 bytes are
/// left of either. Reads nothing outside [p, end), writes nothing outside [out, out_end).
static inline sluice_place sluice_unescape(
    const uint8_t *p, const uint8_t *end, uint8_t *out, const uint8_t *out_end) {
    while (end - p >= 16 && out_end - out >= 16) {
#if defined(SLUICE_SSE2)
        const __m128i v = _mm_loadu_si128((const __m128i *)p);
        const unsigned hits = sluice_ends_text_mask(v);
        _mm_storeu_si128((__m128i *)out, v);
        const ptrdiff_t plain = hits ? __builtin_ctz(hits) : 16;
#else
        const uint64_t hits = sluice_ends_text(sluice_word(p));
        memcpy(out, p, 8);
        const ptrdiff_t plain = hits ? __builtin_ctzll(hits) >> 3 : 8;
#endif
        p += plain;
        out += plain;
        if (!hits) continue;
        if (*p != '\\') break;
        // A backslash is not the last byte, which is a newline.
        uint8_t c = p[1];
        if (c >= 'a' || c < ' ') {
            switch (c) {
            case '\n': return (sluice_place){p, out};
            case 'u': {
                const int32_t unit = sluice_hex4(p + 2);
                if (unit < 0 || (unit >= 0xD800 && unit < 0xE000) || out_end - out < 3) return (sluice_place){p, out};
                if (unit < 0x80) {
                    *out++ = (uint8_t)unit;
                } else if (unit < 0x800) {
                    *out++ = (uint8_t)(0xC0 | unit >> 6);
                    *out++ = (uint8_t)(0x80 | (unit & 0x3F));
                } else {
                    *out++ = (uint8_t)(0xE0 | unit >> 12);
                    *out++ = (uint8_t)(0x80 | (unit >> 6 & 0x3F));
                    *out++ = (uint8_t)(0x80 | (unit & 0x3F));
                }
                p += 6;
                continue;
            }
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case 'r': c = '\r'; break;
            case 'b': c = '\b'; break;
            case 'f': c = '\f'; break;
            default: break;
            }
        }
        *out++ = c;
        p += 2;
    }
    return (sluice_place){p, out};
}

// MARK: Numbers

/// Up to eight digits.
typedef struct {
    uint64_t value;
    /// 0: there are none, and the value says nothing.
    int digits;
} sluice_digits;

/// The digits at p, the first eight of them. 8 bytes may be read.
SLUICE_INLINE sluice_digits sluice_read_digits(const uint8_t *p) {
    const uint64_t word = sluice_word(p) ^ SLUICE_EACH('0');
    // Of the lowest of these bits what is below is digits.
    const uint64_t others = ((word + SLUICE_EACH(0x76)) | word) & SLUICE_EACH(0x80);
    const int digits = others ? __builtin_ctzll(others) >> 3 : 8;
    // Zeros before them, then pairs, fours and eights.
    uint64_t value = word << ((64 - 8 * digits) & 63);
    value = value * 10 + (value >> 8);
    value = (((value & 0x000000FF000000FFULL) * 0x000F424000000064ULL)
             + (((value >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL))
            >> 32;
    return (sluice_digits){value & 0xFFFFFFFFULL, digits};
}

/// 10^exponent, exactly, for exponents of 0 to 22.
SLUICE_INLINE double sluice_float_power10(int exponent) {
    static const double powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    return powers[exponent];
}

/// The second of the day that `hh:mm:ss` at p says; -1: there is something else. 8 bytes may be read.
SLUICE_INLINE int32_t sluice_read_clock(const uint8_t *p) {
    const uint64_t word = sluice_word(p) ^ 0x30303A30303A3030ULL;
    // Digits are up to 9 now, and colons 0.
    if (((word + 0x76767F76767F7676ULL) | word) & SLUICE_EACH(0x80)) return -1;
    const uint64_t pairs = word * 10 + (word >> 8);
    const int32_t hour = pairs & 0xFF, minute = (pairs >> 24) & 0xFF, second = (pairs >> 48) & 0xFF;
    if (hour > 23 || minute > 59 || second > 59) return -1;
    return hour * 3600 + minute * 60 + second;
}

// MARK: Blank space

/// A byte with blank space on both of its sides.
typedef struct {
    /// Where it is.
    uint32_t place;
    /// What it and all that blank space are together, in bytes; 16 and more: as many are not looked at.
    uint32_t length;
} sluice_mark;

/// The first byte from p on that is not blank, with no more than 15 bytes (without special instructions, 7) on both of its sides
/// together. 16 bytes may be read, and one more at `place`.
SLUICE_INLINE sluice_mark sluice_find_mark(const uint8_t *p) {
#if defined(SLUICE_SSE2)
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    const __m128i blank = _mm_or_si128(
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(' ')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'))),
        _mm_cmpeq_epi8(v, _mm_set1_epi8('\r')));
    const uint64_t others = ~(uint64_t)(uint32_t)_mm_movemask_epi8(blank);
    return (sluice_mark){(uint32_t)__builtin_ctzll(others), (uint32_t)__builtin_ctzll(others & (others - 1))};
#else
    const uint64_t word = sluice_word(p), low = SLUICE_EACH(0x7F);
    const uint64_t space = word ^ SLUICE_EACH(' '), tab = word ^ SLUICE_EACH('\t'), carriage = word ^ SLUICE_EACH('\r');
    // The highest bit of each byte that is none of them.
    const uint64_t others = (((space & low) + low) | space) & (((tab & low) + low) | tab)
                            & (((carriage & low) + low) | carriage) & SLUICE_EACH(0x80);
    const uint64_t rest = others & (others - 1);
    if (!rest) return (sluice_mark){0, 16};
    return (sluice_mark){(uint32_t)__builtin_ctzll(others) >> 3, (uint32_t)__builtin_ctzll(rest) >> 3};
#endif
}

/// Of blank space, `mark`, and blank space again: how many bytes they are; 0: something else is there, or more than 15 bytes (without
/// special instructions, 7). 17 bytes may be read.
SLUICE_INLINE ptrdiff_t sluice_skip_mark(const uint8_t *p, uint8_t mark) {
    const sluice_mark found = sluice_find_mark(p);
    return found.length < 16 && p[found.place] == mark ? (ptrdiff_t)found.length : 0;
}

#endif
