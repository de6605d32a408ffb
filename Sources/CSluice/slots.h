// Which field a key is: for what reads rows, and nothing else.
#ifndef CSLUICE_SLOTS_H
#define CSLUICE_SLOTS_H

#include "rows.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
/// The compiler takes functions with many ways out for such as are seldom called, and makes them small. Where in a line of the cache
/// they begin is not left to chance.
#define HOT __attribute__((hot, noinline, aligned(64)))

/// Whether the key at p, whose first 16 bytes are those of this field's, but perhaps for the last one, is the field's, and as much as
/// SLUICE_FIELD_BYTES is behind its name.
static __attribute__((noinline)) int is_long_key(const sluice_field *field, const uint8_t *p, const uint8_t *end) {
    const size_t length = field->key.span - 3;
    return (size_t)(end - p) >= length + SLUICE_FIELD_BYTES && memcmp(p + 1, field->name, length) == 0
           && p[length + 1] == '"';
}

/// Where the slot of a name by its words is looked for first.
SLUICE_INLINE size_t slot_place(const sluice_row *row, uint64_t low, uint64_t high) {
    return (size_t)((low * row->low_factor + high * row->high_factor) >> row->shift);
}

/// From this slot on, the one of a name by its words, or a free one.
SLUICE_INLINE const sluice_field_slot *probe(
    const sluice_row *row, const sluice_field_slot *slot, uint64_t low, uint64_t high) {
    while (1) {
        if (LIKELY((slot->low == low) & (slot->high == high))) return slot;
        // No name begins with a zero.
        if (slot->low == 0) return slot;
        slot = row->slots + ((size_t)(slot - row->slots + 1) & (size_t)(~0ULL >> row->shift));
    }
}

/// The slot of a name, or a free one.
SLUICE_INLINE const sluice_field_slot *find_slot(const sluice_row *row, const uint8_t *name, unsigned bytes) {
    uint64_t low, high;
    sluice_name_words(name, bytes, &low, &high);
    return probe(row, row->slots + slot_place(row, low, high), low, high);
}

#endif
