// Keys of JSON objects: whether a certain one is there, and which one is.
#ifndef CSLUICE_KEYS_H
#define CSLUICE_KEYS_H

#include "values.h"

// MARK: One key

#define SLUICE_KEY_BYTES 16

/// A key as rows have it, with its quotes and its colon, but for blank space.
typedef struct {
    /// The first ones of all that.
    uint8_t bytes[SLUICE_KEY_BYTES];
    /// A bit for each of these; the highest one alone: the key is there nowhere.
    uint32_t wanted;
    /// From the opening quote to behind the colon.
    uint32_t span;
} sluice_key;

#define SLUICE_KEY_NOWHERE 0x80000000U

/// The key of this name, which JSON writes without escapes.
static inline sluice_key sluice_make_key(const uint8_t *name, size_t length) {
    sluice_key key = {.bytes = {'"'}, .wanted = SLUICE_KEY_NOWHERE, .span = (uint32_t)length + 3};
    const uint8_t ends[2] = {'"', ':'};
    const size_t count = length + 3 < SLUICE_KEY_BYTES ? length + 3 : SLUICE_KEY_BYTES;
    for (size_t i = 1; i < count; i++) key.bytes[i] = i <= length ? name[i - 1] : ends[i - 1 - length];
    key.wanted = (1U << count) - 1;
    return key;
}

/// What is there nowhere.
static inline sluice_key sluice_no_key(void) {
    const sluice_key key = {.bytes = {0}, .wanted = SLUICE_KEY_NOWHERE, .span = 0};
    return key;
}

/// 0: the 16 bytes at p are those of this key; without its colon where `spaced` is 1, not 0. Of a key with a span of more than 16
/// bytes that says nothing about the others, nor about the last of these.
SLUICE_INLINE uint32_t sluice_key_differs(const sluice_key *key, const uint8_t *p, uint32_t spaced) {
    const uint32_t wanted = key->wanted >> spaced;
#if defined(SLUICE_SSE2)
    const __m128i alike =
        _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)key->bytes));
    return ~(uint32_t)_mm_movemask_epi8(alike) & wanted;
#else
    // As many bytes as bits: two or more.
    const int count = 32 - __builtin_clz(wanted);
    if (count > SLUICE_KEY_BYTES) return 1;
    const uint64_t low = sluice_word(p) ^ sluice_word(key->bytes), high = sluice_word(p + 8) ^ sluice_word(key->bytes + 8);
    if (count <= 8) return low << (64 - 8 * count) != 0;
    return (low | high << (128 - 8 * count)) != 0;
#endif
}

// MARK: All keys

/// A name of up to 15 bytes as `sluice_short_text` has it, or the first 16 bytes of a longer one; zeros: there is none here.
typedef struct {
    uint64_t low, high;
    /// -1: there is none here.
    int32_t number;
    uint32_t length;
} sluice_key_slot;

/// Names without what JSON escapes, by their first 16 bytes: open addressing.
typedef struct {
    /// A power of two of them, half of which are free at least.
    sluice_key_slot *slots;
    /// Odd numbers that spread these names well.
    uint64_t low_factor, high_factor;
    /// By how far a hash is moved down to be the number of a slot.
    uint32_t shift;
} sluice_key_table;

SLUICE_INLINE size_t sluice_key_place(sluice_key_table table, uint64_t low, uint64_t high) {
    return (size_t)((low * table.low_factor + high * table.high_factor) >> table.shift);
}

/// The slot of a name by its words, or a free one.
SLUICE_INLINE const sluice_key_slot *sluice_find_name(sluice_key_table table, uint64_t low, uint64_t high) {
    const size_t last = (size_t)(~0ULL >> table.shift);
    size_t place = sluice_key_place(table, low, high);
    while (1) {
        const sluice_key_slot *slot = table.slots + place;
        if ((slot->low == low && slot->high == high) || slot->number < 0) return slot;
        place = (place + 1) & last;
    }
}

/// Which of 16 bytes from p on are this one, a bit each.
SLUICE_INLINE uint32_t sluice_matches(const uint8_t *p, uint8_t byte) {
#if defined(SLUICE_SSE2)
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8((char)byte)));
#else
    uint32_t matches = 0;
    for (int half = 0; half < 2; half++) {
        const uint64_t word = sluice_word(p + 8 * half) ^ SLUICE_EACH(byte), low = SLUICE_EACH(0x7F);
        // The highest bit of each byte that is one, and then all of these side by side.
        const uint64_t hits = ~(((word & low) + low) | word) & SLUICE_EACH(0x80);
        matches |= (uint32_t)(((hits >> 7) * 0x0102040810204080ULL) >> 56) << (8 * half);
    }
    return matches;
#endif
}

SLUICE_INLINE uint32_t sluice_quotes(const uint8_t *p) { return sluice_matches(p, '"'); }

/// Of the name whose opening quote is before p, how many bytes it has with its closing quote, but 16 at most. 16 bytes may be read. (No
/// name that is looked for has a backslash, so the first quote ends it.)
SLUICE_INLINE unsigned sluice_name_bytes(const uint8_t *p) {
    return (unsigned)__builtin_ctz(sluice_quotes(p) | 0x8000U) + 1;
}

/// The words of a name at p, with so many bytes (1 to 16). 16 bytes may be read.
SLUICE_INLINE void sluice_name_words(const uint8_t *p, unsigned bytes, uint64_t *low, uint64_t *high) {
    // By words, which are sooner there than 16 bytes at once: the rest of a row waits for them.
    static const uint8_t masks[32] = {
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    *low = sluice_word(p) & sluice_word(masks + 16 - bytes);
    *high = sluice_word(p + 8) & sluice_word(masks + 24 - bytes);
}

/// The slot of the name whose opening quote is before p, or a free one. Of a name of 16 bytes and more only the first 16 were looked
/// at. 16 bytes may be read.
SLUICE_INLINE const sluice_key_slot *sluice_find_key(sluice_key_table table, const uint8_t *p) {
    uint64_t low, high;
    sluice_name_words(p, sluice_name_bytes(p), &low, &high);
    return sluice_find_name(table, low, high);
}

#endif
