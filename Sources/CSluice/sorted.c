#include "rows.h"

#if SLUICE_SORTS_ROWS

#include "slots.h"

// A row is `{`, fields with commas between them, and `}`. Where its keys are is only supposed at first: where a quote stands behind a
// comma, in a text or not, with a column's name behind it. Then each value is read, and the one thing that may stand behind it is the
// key that was found next, or the line's end. So nothing was taken for a key that is none, and none was missed.

/// Rows with more that looks like keys, and tables of more columns, are read in their own order.
#define KEYS_MAX 256
#define COLUMNS_MAX 256
/// One row of so many is read in its own order, to see whether it has one by now.
#define SORTED_MAX 32
/// After failures one after the other 2, 4 and up to as many rows as this power of two says are not tried.
#define FAILED_MAX 6

/// From the row's first key on, where a field's key and its value begin.
typedef struct {
    uint32_t key, value;
} found_field;

/// The fields of a row.
typedef struct {
    /// In the row's order; behind the last one, a key where the line ends.
    found_field fields[KEYS_MAX + 1];
    uint32_t count;
    /// Which field each column's number has; one more for what is no column.
    uint8_t places[COLUMNS_MAX + 1];
    /// A bit for each number that has a field; the last word is for what is no column.
    uint64_t numbers[COLUMNS_MAX / 64 + 1];
} found_row;

/// Of 16 bytes from p on, blank space and control characters, a bit each.
SLUICE_INLINE uint32_t blanks16(const uint8_t *p) {
    const __m128i v = _mm_loadu_si128((const __m128i *)p);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x20)), v));
}

SLUICE_INLINE uint64_t blanks64(const uint8_t *p) {
    return blanks16(p) | (uint64_t)blanks16(p + 16) << 16 | (uint64_t)blanks16(p + 32) << 32
           | (uint64_t)blanks16(p + 48) << 48;
}

/// Which of 64 bytes from p on are this one, a bit each.
SLUICE_INLINE uint64_t matches64(const uint8_t *p, uint8_t byte) {
    return sluice_matches(p, byte) | (uint64_t)sluice_matches(p + 16, byte) << 16
           | (uint64_t)sluice_matches(p + 32, byte) << 32 | (uint64_t)sluice_matches(p + 48, byte) << 48;
}

/// The lowest newline of 64 bytes from p on, as its bit; 0: there is none.
SLUICE_INLINE uint64_t newline64(const uint8_t *p) {
    const __m128i newline = _mm_set1_epi8('\n');
    __m128i hits = _mm_setzero_si128();
    for (int i = 0; i < 64; i += 16)
        hits = _mm_or_si128(hits, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + i)), newline));
    if (LIKELY(!_mm_movemask_epi8(hits))) return 0;
    const uint64_t newlines = matches64(p, '\n');
    return newlines & (0 - newlines);
}

/// Where there may be keys from p on, which is at a key's quote.
///
/// @param keys has room for KEYS_MAX and 64.
/// @param line is set to where the line ends, behind which SLUICE_FIELD_BYTES may be read.
/// @return how many there are; KEYS_MAX: perhaps more, or too little is left behind the line.
SLUICE_INLINE uint32_t suppose_keys(const uint8_t *p, const uint8_t *end, uint32_t *keys, uint32_t *line) {
    uint32_t count = 0, at = 0;
    // The first byte is behind a comma, as it were.
    uint64_t carry = 1;
    // Places are numbers of 32 bits.
    if (end - p > INT32_MAX) end = p + INT32_MAX;
    while (end - p - at >= 64 + SLUICE_FIELD_BYTES) {
        const uint64_t commas = matches64(p + at, ','), blanks = blanks64(p + at);
        // A bit behind each comma, which moves over all blank space there when that is added.
        const uint64_t behind = commas << 1 | carry, moved = behind + blanks;
        carry = commas >> 63 | (moved < behind);
        uint64_t found = moved & ~blanks & matches64(p + at, '"');
        const uint64_t newline = newline64(p + at);
        if (UNLIKELY(newline)) found &= newline - 1;
        // Four of them without a branch for each, which would not be guessed.
        for (int i = 0; i < 4; i++) {
            keys[count] = at + (uint32_t)__builtin_ctzll(found | 1ULL << 63);
            count += found != 0;
            found &= found - 1;
        }
        for (; UNLIKELY(found != 0); found &= found - 1) keys[count++] = at + (uint32_t)__builtin_ctzll(found);
        if (UNLIKELY(count >= KEYS_MAX)) return KEYS_MAX;
        if (UNLIKELY(newline)) {
            *line = at + (uint32_t)__builtin_ctzll(newline);
            return count;
        }
        at += 64;
    }
    return KEYS_MAX;
}

/// 0: the row's first field is not there, or its line is not seen to its end.
static HOT int find_fields(const sluice_row *row, found_row *found) {
    uint32_t keys[KEYS_MAX + 64], line;
    const uint8_t *const p = row->p;
    const uint32_t key_count = suppose_keys(p, row->end, keys, &line);
    if (UNLIKELY(key_count >= KEYS_MAX)) return 0;
    memset(found->numbers, 0, sizeof found->numbers);
    const uintptr_t fields = (uintptr_t)row->fields;
    uint32_t count = 0;
    for (uint32_t i = 0; i < key_count; i++) {
        const uint8_t *const name = p + keys[i] + 1;
        const uint32_t quotes = sluice_quotes(name), bytes = (uint32_t)__builtin_ctz(quotes | 0x8000U) + 1;
        uint64_t low, high;
        sluice_name_words(name, bytes, &low, &high);
        const sluice_field_slot *slot = row->slots + slot_place(row, low, high);
        if (UNLIKELY(row->probes)) slot = probe(row, slot, low, high);
        const uint8_t *behind = name + bytes;
        // No branch where it can be helped: what is no key comes without a rule.
        uint64_t differs = (slot->low ^ low) | (slot->high ^ high);
        if (UNLIKELY(quotes == 0)) {
            if (differs || !slot->field || !is_long_key(slot->field, name - 1, row->end)) continue;
            behind = name - 2 + slot->field->key.span;
        }
        const sluice_mark mark = sluice_find_mark(behind);
        differs |= (uint64_t)(behind[mark.place] ^ ':') | mark.length >> 4;
        // Of a name that is no business of a quick look it is some large number.
        size_t number = (((uintptr_t)slot->field - fields) / sizeof(sluice_field)) | (0 - (uint64_t)(differs != 0));
        if (number > COLUMNS_MAX) number = COLUMNS_MAX;
        found->numbers[number / 64] |= 1ULL << (number % 64);
        found->places[number] = (uint8_t)count;
        found->fields[count] = (found_field){keys[i], (uint32_t)(behind - p) + mark.length};
        count += differs == 0;
    }
    found->fields[count].key = line;
    found->count = count;
    return (count > 0) & (found->fields[0].key == 0);
}

/// The value of a field; NULL: it is faulty.
SLUICE_INLINE const uint8_t *read_value(const sluice_row *row, const sluice_field *field, const uint8_t *value) {
    if (LIKELY(field->read != NULL)) {
        const int64_t known = *(const int64_t *)((const uint8_t *)row->nodes + field->count_offset);
        if (known < row->rows) row->pad(field, row->rows, row->parser);
        if (LIKELY(known <= row->rows)) {
            const uint8_t *const p = field->read(field, row->nodes, value, row->end, row->parser);
            if (LIKELY(p != NULL)) return p;
        }
    }
    return row->look(field - row->fields, row->rows, value, row->end, row->parser);
}

/// 0: it is not, and p where it was.
static HOT int read_sorted(sluice_row *row) {
    if (UNLIKELY(row->field_count > COLUMNS_MAX)) return 0;
    found_row found;
    if (UNLIKELY(!find_fields(row, &found))) return 0;
    const uint8_t *const p = row->p;
    uint32_t count = 0;
    for (size_t word = 0; word < COLUMNS_MAX / 64; word++) {
        for (uint64_t numbers = found.numbers[word]; numbers; numbers &= numbers - 1, count++) {
            const size_t number = 64 * word + (size_t)__builtin_ctzll(numbers);
            const uint32_t place = found.places[number];
            const uint8_t *const end = read_value(row, row->fields + number, p + found.fields[place].value);
            if (UNLIKELY(end == NULL)) return 0;
            const ptrdiff_t mark = sluice_skip_mark(end, place + 1 < found.count ? ',' : '}');
            if (UNLIKELY((mark == 0) | (end + mark != p + found.fields[place + 1].key))) return 0;
        }
    }
    // A field is there twice.
    if (UNLIKELY(count != found.count)) return 0;
    row->p = p + found.fields[found.count].key;
    return 1;
}

sluice_sorting sluice_read_sorted(sluice_row *row) {
    if (UNLIKELY(!read_sorted(row))) {
        if (row->failed < FAILED_MAX) row->failed++;
        row->unsorted = 1 << row->failed;
        return SLUICE_NOT_SORTED;
    }
    row->failed = 0;
    if (++row->sorted == SORTED_MAX) {
        row->sorted = 0;
        row->unsorted = 1;
    }
    return SLUICE_SORTED;
}

#else

sluice_sorting sluice_read_sorted(sluice_row *row) {
    (void)row;
    return SLUICE_NOT_SORTED;
}

#endif
